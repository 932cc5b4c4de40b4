"""The report page: whole in itself, honest in its headline, safe with any text."""

import json
import re
from html.parser import HTMLParser

import pytest

from gecko_hf.hub.report import SHOWN_CHARS, findings, headline, write_report
from gecko_hf.hub.row_facts import row_facts

TASK_SCORES = [
    {"role": role, "dim": dim, "task": task, "type": kind, "metric": "m", "model": role, "value": 0.5}
    for role in ("base", "gecko")
    for dim in (32, 8)
    for task, kind in (("Local-find", "Retrieval"), ("Local-alike", "STS"))
]
CURVES = {"prefinetune": [{"step": i, "loss": 5.0 / i} for i in range(1, 30)], "finetune": []}


class Page(HTMLParser):
    """Collects what the page would load, its scripts, and its text."""

    def __init__(self, html):
        super().__init__()
        self.loads, self.scripts, self.text, self._tag = [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        values = dict(attrs)
        if tag == "script":
            self.scripts.append([values, ""])
        for name in ("src", "href", "data", "action", "poster"):
            if values.get(name, "#")[0] != "#" and not values[name].startswith("data:"):
                self.loads.append(values[name])

    def handle_endtag(self, tag):
        self._tag = None

    def handle_data(self, data):
        if self._tag == "script":
            self.scripts[-1][1] += data
        elif self._tag != "style":
            self.text.append(data)


@pytest.fixture
def page(summary, rows, texts, tmp_path):
    return Page(write_report(summary, CURVES, row_facts(rows), texts, tmp_path).read_text(encoding="utf-8"))


def test_the_page_loads_nothing_from_anywhere(page, tmp_path):
    assert page.loads == []
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!data:)", html)


def test_hostile_text_stays_text(page):
    assert [attributes.get("type") for attributes, _ in page.scripts] == ["application/json", None]


def test_the_browser_gets_every_row_and_passage_as_they_are(page, rows, texts):
    data = json.loads(page.scripts[0][1])
    assert data["rows"] == rows
    assert data["passages"]["a"] == texts["a"]
    assert data["passages"]["b"] == texts["b"]


def test_of_a_large_fret_the_browser_gets_the_first_rows_and_the_charts_all(
    summary, rows, texts, tmp_path, monkeypatch
):
    monkeypatch.setattr("gecko_hf.hub.row_facts.SHOWN_ROWS", 2)
    many = rows * 20
    page = Page(write_report(summary, CURVES, row_facts(many), texts, tmp_path).read_text(encoding="utf-8"))
    assert json.loads(page.scripts[0][1])["rows"] == many[:2]
    assert f"These are the first 2 of {summary['fret']['rows']:,} rows" in " ".join(" ".join(page.text).split())
    facts = row_facts(many)
    assert facts.total == facts.ranks["positive_rank"].total() == len(many)
    assert len(facts.scores["ql_positive"]) == len(many)


def test_long_passages_are_cut_and_the_page_says_so(page):
    assert len(json.loads(page.scripts[0][1])["passages"]["c"]["text"]) <= SHOWN_CHARS + 2
    assert f"more than {SHOWN_CHARS:,} characters" in " ".join(page.text)


def test_every_model_and_the_honest_notes_are_shown(page):
    text = " ".join(page.text)
    for name in ("BM25", "base (untouched)", "pre-finetuned", "Gecko", "No LLM was used"):
        assert name in text


@pytest.mark.parametrize(
    ("own", "says"), [(0.475, "+7.5 points over"), (0.39, "1.0 points below"), (0.40, "level with")]
)
def test_the_headline_says_so_where_the_model_lost(summary, own, says):
    for row in summary["scores"]:
        if row["role"] == "gecko" and row["dim"] == 32:
            row["ndcg_at_10"] = own
    assert headline(summary) == f"nDCG@10 {own:.3f}, {says} the untouched base model at 32 dimensions"


def test_a_better_bm25_is_not_hidden(summary):
    assert any("BM25" in sentence and "0.500" in sentence for sentence in findings(summary))


@pytest.mark.parametrize("missing", ["bm25", "prefinetuned", "base"])
def test_a_model_that_was_not_scored_is_just_not_there(summary, rows, texts, tmp_path, missing):
    summary["scores"] = [s for s in summary["scores"] if s["role"] != missing]
    assert write_report(summary, CURVES, row_facts(rows), texts, tmp_path).exists()


def test_a_run_without_relabelled_rows_or_negatives_has_a_page(summary, rows, texts, tmp_path):
    summary["fret"] |= {"relabelled": 0, "relabelled_share": 0.0}
    assert write_report(summary, {}, row_facts(rows[1:]), texts, tmp_path).exists()


def test_held_out_tasks_have_a_chart_a_type_on_the_page_and_a_picture_of_their_own(summary, rows, texts, tmp_path):
    summary["task_scores"] = TASK_SCORES
    page = write_report(summary, CURVES, row_facts(rows), texts, tmp_path).read_text(encoding="utf-8")
    for kind in ("Retrieval", "STS", "mean over types"):
        assert f'aria-label="{kind}, points by dimension: untouched base' in page
    assert "<svg" in (tmp_path / "tasks.svg").read_text(encoding="utf-8")


def test_the_chart_lies_beside_the_page_as_a_picture_of_its_own(page, tmp_path):
    svg = (tmp_path / "scores.svg").read_text(encoding="utf-8")
    assert svg.lstrip().startswith("<svg")
    assert "xmlns" in svg


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({}, "The best of the fused ranking became the positive"),
        ({"positive": "ql"}, "The best by QL alone became the positive"),
        ({"positive": "rc"}, "The best by RC alone became the positive"),
        ({"positive": "retriever"}, "What the retriever found first became the positive"),
        ({"positive": "seed"}, "The seed itself became the positive"),
        ({"relevance": "expected"}, "RC the expected grade of relevance; higher is"),
    ],
)
def test_the_page_tells_how_this_run_chose(summary, rows, texts, tmp_path, choice, says):
    summary["recipe"]["fret"] = choice
    text = Page(write_report(summary, CURVES, row_facts(rows), texts, tmp_path).read_text(encoding="utf-8")).text
    assert says in " ".join("".join(text).split())


def test_the_page_says_that_the_base_keeps_the_prompts_of_its_authors(summary, rows, texts, tmp_path):
    page = write_report(summary | {"task_scores": TASK_SCORES}, CURVES, row_facts(rows), texts, tmp_path)
    text = "".join(Page(page.read_text(encoding="utf-8")).text)
    assert "The base (squares) is read with the prompts that its authors saved in it, if any" in text


def test_what_fine_tuning_did_is_not_put_down_to_fret(summary):
    assert any(
        s.startswith("After fine-tuning it is 2.5 points above the model that was only") for s in findings(summary)
    )
