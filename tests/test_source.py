"""Whether local data and models are still what they were: a run begins anew for what it reads, and for nothing beside it."""

import httpx2
import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.source import model_state, pinned, read_source, state
from gecko_hf.source_recipe import SourceRecipe

HEAD = "---\nconfigs:\n- config_name: default\n  data_files: rows/*.jsonl\n---\n"


@pytest.fixture
def write(tmp_path):
    """Writes a file of the folder `source`; returns the folder."""

    def write(name, text):
        file = tmp_path / "source" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return str(tmp_path / "source")

    return write


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.md", f"{HEAD}# Another report\n\n---\n"),
        ("rows/.DS_Store", "x"),
        (".cache/rows.jsonl", "{}\n"),
        ("picture.svg", "<svg/>"),
    ],
)
def test_what_lies_beside_the_rows_changes_nothing(write, name, text):
    write("README.md", f"{HEAD}# A report\n")
    before = state(write("rows/a.jsonl", '{"text": "a"}\n'))
    assert state(write(name, text)) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows/a.jsonl", '{"text": "b"}\n'),
        ("rows/b.parquet", "x"),
        ("qrels/test.tsv", "q\td\t1\n"),
        ("README.md", HEAD.replace("rows/*", "rows/a")),  # `datasets` reads there which files are meant
        ("README.md", "# A report without a head\n"),
    ],
)
def test_other_rows_are_another_source(write, name, text):
    write("README.md", f"{HEAD}# A report\n")
    before = state(write("rows/a.jsonl", '{"text": "a"}\n'))
    assert state(write(name, text)) != before


@pytest.mark.parametrize("name", ["README.md", "onnx/model.onnx", ".DS_Store", ".cache/config.json"])
def test_a_card_or_an_export_beside_a_model_leaves_it_the_same(write, name):
    before = model_state(write("config.json", "{}"))
    assert model_state(write(name, "new")) == before != []


@pytest.mark.parametrize("name", ["config.json", "1_Pooling/config.json", "model.safetensors"])
def test_other_weights_or_modules_are_another_model(write, name):
    before = model_state(write("config.json", "{}"))
    assert model_state(write(name, "new")) != before


def test_a_file_that_is_named_itself_is_known_whatever_it_is_called(write):
    for read in (state, model_state):
        folder = write("notes", "a")
        before = read(f"{folder}/notes")
        assert read(f"{write('notes', 'b')}/notes") != before != []
        assert read(f"{folder}/nowhere") == []


def test_two_folders_of_one_name_and_one_card_are_two_sources(tmp_path):
    """`datasets` by itself would give the rows of the first for those of the second."""
    found = []
    for run, texts in (("a", ["one"]), ("b", ["two", "three"])):
        folder = tmp_path / run / "fret"
        (folder / "rows").mkdir(parents=True)
        (folder / "README.md").write_text(HEAD, encoding="utf-8")
        (folder / "rows" / "a.jsonl").write_text("".join(f'{{"text": "{t}"}}\n' for t in texts), encoding="utf-8")
        found.append(read_source(SourceRecipe(), str(folder), "mine", "corpus", ["text"])["text"][:])
    assert found == [["one"], ["two", "three"]]


def test_rows_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows.jsonl").write_text('{"query": "a", "positive": "b"}\n', encoding="utf-8")
    recipe = SourceRecipe(source="~/rows.jsonl")
    assert pinned(recipe, recipe.source, "mine") == recipe
    assert state(recipe.source) == state(str(tmp_path / "rows.jsonl")) != []
    assert read_source(recipe, recipe.source, "mine", "pairs", ["query", "positive"])["query"] == ["a"]


def test_rows_at_the_home_of_nobody_are_refused():
    source = "~no-such-user/rows.jsonl"
    recipe = SourceRecipe(source=source)
    for read in (
        lambda: pinned(recipe, source, "mine"),
        lambda: state(source),
        lambda: read_source(recipe, source, "mine", "pairs", ["query"]),
    ):
        with pytest.raises(RecipeError, match="there is no home folder of that user"):
            read()


def test_a_branch_of_a_hub_data_set_is_resolved_to_its_commit(monkeypatch):
    asked = []

    class Hub:
        def dataset_info(self, source, revision):
            asked.append((source, revision))
            return type("Info", (), {"sha": "c" * 40})()

    monkeypatch.setattr("gecko_hf.source.HfApi", Hub)
    assert pinned(SourceRecipe(source="org/set", revision="main"), "org/set", "mine").revision == "c" * 40
    assert pinned(SourceRecipe(source="org/set", revision="d" * 40), "org/set", "mine").revision == "d" * 40
    assert asked == [("org/set", "main")]


def test_a_hub_that_does_not_answer_is_a_users_error_and_no_traceback(monkeypatch):
    class Unreachable:
        def dataset_info(self, *_, **__):
            raise httpx2.ConnectError("[Errno 111] Connection refused")

    monkeypatch.setattr("gecko_hf.source.HfApi", Unreachable)
    with pytest.raises(RecipeError, match=r"mine: no data set loads from 'org/set': .*refused Give a \.jsonl"):
        pinned(SourceRecipe(source="org/set"), "org/set", "mine")
