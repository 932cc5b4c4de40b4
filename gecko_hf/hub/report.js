// The browser of FRet rows, and what the pointer shows over a chart. Data only ever becomes text nodes.
"use strict";

const { rows, passages } = JSON.parse(document.getElementById("data").textContent);
const PAGE = 10;
const COMMON = new Set("and are but can for from has have how into its not of that the their them then this was what when where which who will with you your".split(" "));
const byId = (id) => document.getElementById(id);
const state = { q: "", task: "", relabelled: false, page: 1 };
let found = rows;

/** An element with attributes and children; strings become text nodes. */
function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// ---- search -------------------------------------------------------------------------------------------------------

const passageText = new Map(Object.entries(passages).map(([id, p]) => [id, `${p.title}\n${p.text}`.toLowerCase()]));
const rowText = rows.map((row) => `${row.task}\n${row.query}`.toLowerCase());
const termsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

/** Rows in which every word of the search stands, in the query, the task, or one of the passages. */
function search() {
  const terms = termsOf(state.q).map((term) => {
    const ids = new Set();
    for (const [id, text] of passageText) if (text.includes(term)) ids.add(id);
    return { term, ids };
  });
  return rows.filter((row, i) =>
    (!state.relabelled || row.relabelled) && (!state.task || row.task === state.task) &&
    terms.every(({ term, ids }) =>
      rowText[i].includes(term) || ids.has(row.seed_id) || ids.has(row.positive_id) || ids.has(row.negative_id)));
}

// ---- marking ------------------------------------------------------------------------------------------------------

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\\/-]/g, "\\$&");

/** A pattern whose first group is what was searched for and whose second is a word of the query, or null. */
function pattern(query) {
  const words = (query.match(/[\p{L}\p{N}_]{3,}/gu) ?? []).filter((word) => !COMMON.has(word.toLowerCase()));
  const terms = termsOf(state.q);
  if (!words.length && !terms.length) return null;
  const nothing = "(?!)";
  const word = `(?<![\\p{L}\\p{N}_])(?:${words.map(escaped).join("|") || nothing})\\p{L}{0,2}(?![\\p{L}\\p{N}_])`;
  return new RegExp(`(${terms.map(escaped).join("|") || nothing})|(${word})`, "giu");
}

function marked(text, regex) {
  const nodes = [];
  let end = 0;
  for (const match of regex ? text.matchAll(regex) : []) {
    nodes.push(text.slice(end, match.index), el("mark", match[1] ? { class: "found" } : {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)];
}

// ---- rows ---------------------------------------------------------------------------------------------------------

const score = (value) => (value === null ? "–" : value.toFixed(2).replace("-", "−"));

function passageBox(kind, title, id, facts, regex) {
  const passage = passages[id] ?? { title: id, text: "" };
  return el("div", { class: `passage ${kind}` },
    el("h4", {}, title, el("small", {}, facts)),
    el("h5", {}, ...marked(passage.title || "no title", regex)),
    el("p", {}, ...marked(passage.text, regex)));
}

function rowItem(row) {
  const regex = pattern(row.query);
  const searched = state.q.trim() ? pattern("") : null;
  const rank = row.positive_rank === null ? "not retrieved" : `retrieved at ${row.positive_rank}`;
  const best = `QL ${score(row.ql_positive)} · RC ${score(row.rc_positive)} · ${rank}`;
  const boxes = row.relabelled
    ? [passageBox("seed", "Seed", row.seed_id, `fused rank ${row.seed_fused_rank}`, regex),
       passageBox("positive", "Positive", row.positive_id, best, regex)]
    : [passageBox("positive", "Seed, kept as positive", row.positive_id, best, regex)];
  if (row.negative_id !== null) {
    const worst = `QL ${score(row.ql_negative)} · RC ${score(row.rc_negative)}`;
    boxes.push(passageBox("negative", "Hard negative", row.negative_id, worst, regex));
  }
  const whole = el("button", { type: "button", class: "whole", "aria-expanded": "false" }, "Show more");
  const item = el("li", { class: "cut" },
    el("p", { class: "about" }, `Row ${row.id}`, el("span", {}, row.task), ...(row.relabelled ? [el("b", {}, "relabelled")] : [])),
    el("h3", { class: "query" }, ...marked(row.query, searched)),
    el("div", { class: row.relabelled ? "passages" : "passages kept" }, ...boxes),
    whole);
  whole.addEventListener("click", () => {
    const cut = item.classList.toggle("cut");
    whole.textContent = cut ? "Show more" : "Show less";
    whole.setAttribute("aria-expanded", String(!cut));
  });
  return item;
}

function show() {
  found = search();
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  state.page = Math.min(Math.max(1, state.page), pages);
  const first = (state.page - 1) * PAGE;
  byId("list").replaceChildren(...found.slice(first, first + PAGE).map(rowItem));
  for (const item of byId("list").children) {
    const long = [...item.querySelectorAll(".passage p")].filter((p) => p.scrollHeight > p.clientHeight + 4);
    for (const p of long) p.classList.add("more");
    item.querySelector(".whole").hidden = !long.length;
  }
  byId("found").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  byId("page").textContent = `Page ${state.page.toLocaleString("en")} of ${pages.toLocaleString("en")}`;
  byId("previous").disabled = state.page === 1;
  byId("next").disabled = state.page === pages;
}

// ---- controls; the address keeps their state, so that a search can be passed on -----------------------------------

function readAddress() {
  if (!location.hash.startsWith("#rows?")) return false;
  const given = new URLSearchParams(location.hash.slice(6));
  Object.assign(state, { q: given.get("q") ?? "", task: given.get("task") ?? "", relabelled: given.has("relabelled"), page: Number(given.get("page")) || 1 });
  byId("q").value = state.q;
  byId("task").value = state.task;
  byId("relabelled").checked = state.relabelled;
  return true;
}

function change(values) {
  Object.assign(state, { page: 1 }, values);
  const kept = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value && value !== 1) kept.set(key, value === true ? "" : value);
  try {
    history.replaceState(null, "", `#rows?${kept}`);
  } catch { /* a page inside another one may have no address of its own */ }
  show();
}

function turn(by) {
  change({ page: state.page + by });
  byId("rows").scrollIntoView();
}

for (const task of [...new Set(rows.map((row) => row.task))].sort()) byId("task").append(el("option", { value: task }, task));
document.querySelector(".task").hidden = byId("task").options.length < 3;
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("q").addEventListener("input", () => change({ q: byId("q").value }));
byId("task").addEventListener("change", () => change({ task: byId("task").value }));
byId("relabelled").addEventListener("change", () => change({ relabelled: byId("relabelled").checked }));
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
addEventListener("hashchange", () => readAddress() && show());
if (readAddress()) byId("rows").scrollIntoView({ behavior: "instant" });
show();

// ---- what the pointer shows ---------------------------------------------------------------------------------------

document.addEventListener("pointerover", (event) => {
  const target = event.target.closest("[data-tip]");
  const tip = byId("tip");
  tip.hidden = !target;
  if (!target) return;
  tip.textContent = target.dataset.tip;
  const box = target.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${box.top + scrollY - tip.offsetHeight - 6}px`;
});
