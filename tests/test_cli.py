"""What a person at the command line sees: quick help, and one clear message for a mistake."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gecko_hf.cli.main import main

ROOT = Path(__file__).parents[1]


def gecko(*arguments: str, **changes: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gecko_hf", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | changes, check=False)


@pytest.fixture
def refused(monkeypatch, capsys):
    """Call a command in this process, which must refuse it; returns its message on one line."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["gecko-hf", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        message = capsys.readouterr().err
        assert stop.value.code == 2, message
        assert "Traceback" not in message
        return " ".join(message.split())

    return call


def test_help_imports_no_torch_and_takes_less_than_twice_what_typer_takes_for_its_own():
    script = (
        "import sys; from gecko_hf.cli.main import app; print(sorted({'torch', 'datasets', 'mteb'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
    seconds = {"gecko_hf": [], "typer": []}
    for _ in range(3):
        for module, taken in seconds.items():
            start = time.monotonic()
            subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, check=True)
            taken.append(time.monotonic() - start)
    assert min(seconds["gecko_hf"]) < 2 * min(seconds["typer"])
    assert "search" in gecko("--help").stdout


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "{model}", "--local", "{data}", "--results", "{file}/x"],
        ["export", "{model}", "--output", "{file}/x"],
    ],
    ids=lambda command: command[0],
)
def test_a_place_that_cannot_be_written_is_named(refused, tiny_model_path, tmp_path, command):
    if command[0] == "export":
        pytest.importorskip("onnxruntime", reason="pip install 'gecko-hf[onnx]'")
    file, data = tmp_path / "file", tmp_path / "data"
    file.write_text("x")
    data.mkdir()
    lines = ['{"text": "an oven", "label": "a"}', '{"text": "a hive", "label": "b"}'] * 8
    for part in ("train", "test"):
        (data / f"{part}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    said = refused(*(part.format(model=tiny_model_path, data=data, file=file) for part in command))
    assert f"{file}/x: Not a directory. Name a place that this user may read and write" in said


def test_another_failure_to_read_shows_where_it_happened(monkeypatch):
    def broken(**_):
        raise FileNotFoundError(2, "No such file or directory", "ours")

    monkeypatch.setattr("gecko_hf.cli.main.app", broken)
    with pytest.raises(FileNotFoundError):
        main()


def test_the_version_is_shown():
    assert gecko("--version").stdout.startswith("gecko-hf 0.")


def write(folder: Path, text: str) -> str:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


class TestMistakesOfAPerson:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (["--embeddings", "30"], "--embeddings 30 is a part of --parameters, which is not given."),
            (["--parameters", "20", "--layers", "2", "--hidden", "8", "--embeddings", "30"], "which is 20.0."),
            (["--parameters", "-5", "--layers", "2", "--hidden", "8"], "greater than or equal to 0"),
        ],
    )
    def test_a_size_of_a_base_that_cannot_be(self, refused, tmp_path, options, says):
        assert says in refused("train", "plan", write(tmp_path, "corpus: {path: d}"), *options)

    def test_a_misspelt_key(self, refused, tmp_path):
        assert "Did you mean fret.rows?" in refused("run", write(tmp_path, "corpus: {path: d}\nfret: {row: 3}"))

    def test_a_wrong_type(self, refused, tmp_path):
        assert "it must be a int" in refused("run", write(tmp_path, "corpus: {path: d}"), "fret.rows=many")

    def test_a_value_out_of_range(self, refused, tmp_path):
        assert "at least 2" in refused("run", write(tmp_path, "corpus: {path: d}"), "fret.candidates=1")

    def test_a_missing_recipe(self, refused):
        assert "There is no recipe at nowhere" in refused("run", "nowhere")

    def test_a_missing_corpus(self, refused, tmp_path, tiny_model_path):
        recipe = write(tmp_path, f"encoder: {{base: '{tiny_model_path}', dims: [8]}}")
        message = refused("run", recipe, f"corpus.path={tmp_path / 'nothing'}", f"output={tmp_path / 'r'}")
        assert "nothing" in message

    def test_a_second_device_that_is_not_there(self, refused, tiny_model_path, library_folder):
        command = [
            "evaluate",
            str(tiny_model_path),
            "--local",
            str(library_folder),
            "--device",
            "cpu",
            "--device",
            "xyz",
        ]
        assert "--device xyz cannot be used" in refused(*command)

    def test_an_empty_corpus(self, refused, tmp_path, tiny_model_path):
        (tmp_path / "docs").mkdir()
        recipe = write(tmp_path, f"encoder: {{base: '{tiny_model_path}', dims: [8]}}")
        message = refused("run", recipe, f"corpus.path={tmp_path / 'docs'}", f"output={tmp_path / 'r'}")
        assert ".md" in message

    def test_duplicate_ids(self, refused, tmp_path, tiny_model_path):
        (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}\n')
        recipe = write(tmp_path, f"encoder: {{base: '{tiny_model_path}', dims: [8]}}")
        message = refused("run", recipe, f"corpus.path={tmp_path / 'rows.jsonl'}", f"output={tmp_path / 'r'}")
        assert "'a'" in message

    def test_a_missing_extra(self, refused, tmp_path):
        message = refused("run", write(tmp_path, "corpus: {path: d}"), "encoder.base=package:no_such_weights")
        assert "No package of the name in 'package:no_such_weights' is installed" in message

    def test_a_base_that_is_not_there_leaves_no_run_folder(self, refused, tmp_path, library_folder):
        recipe = write(tmp_path, f"corpus: {{path: '{library_folder}'}}\noutput: {tmp_path / 'r'}")
        message = refused("run", recipe, "encoder.base=no/such")
        assert "encoder.base is 'no/such', and no encoder loads from there" in message
        assert not (tmp_path / "r").exists()

    def test_a_package_to_read_that_is_not_there(self, refused, tmp_path):
        message = refused("run", write(tmp_path, "corpus: {source: docstrings, packages: [no_such_package]}"))
        assert "no_such_package" in message

    def test_an_output_folder_that_is_something_else(self, refused, tmp_path, tiny_model_path, library_folder):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.doc").write_text("x")
        recipe = write(
            tmp_path, f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', dims: [8]}}"
        )
        message = refused("run", recipe, f"output={tmp_path / 'mine'}")
        assert "is no run folder" in message

    def test_an_output_folder_that_cannot_be_written(self, refused, tmp_path, tiny_model_path, library_folder):
        (tmp_path / "file").write_text("x")
        recipe = write(
            tmp_path, f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', dims: [8]}}"
        )
        message = refused("run", recipe, f"output={tmp_path / 'file' / 'r'}")
        assert "cannot be written" in message

    def test_a_search_in_a_folder_without_a_model(self, refused, tmp_path):
        assert "is no finished run" in refused("search", str(tmp_path), "anything")


@pytest.mark.parametrize("arguments", [["run", "nowhere"], ["search", "nowhere", "anything"]])
def test_a_mistake_in_a_process_of_its_own_ends_it_with_2_and_no_traceback(arguments):
    child = gecko(*arguments)
    assert child.returncode == 2
    assert child.stderr.startswith("Error: ")
    assert "Traceback" not in child.stderr


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, tiny_model_path, library_folder):
    """A recipe, and the message of its run that was stopped by Ctrl-C when training began; the run is beside it."""
    folder = tmp_path_factory.mktemp("interrupted")
    recipe = write(
        folder,
        f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [8]}}\n"
        "prefinetune: {rows: 40, batch_size: 8}\nfret: {rows: 30, candidates: 6}\nfinetune: {batch_size: 8}\n"
        f"evaluation: {{held_out: 0.2}}\noutput: '{folder / 'r'}'",
    )
    command = [sys.executable, "-m", "gecko_hf", "run", recipe]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    for line in child.stdout:
        if line.startswith("prefinetune: "):
            child.send_signal(signal.SIGINT)
            break
    _, message = child.communicate(timeout=60)
    assert child.returncode == 130
    return recipe, message


@pytest.fixture(scope="module")
def resumed(interrupted) -> Path:
    """The same run, after the same command again."""
    recipe, _ = interrupted
    folder = Path(recipe).parent / "r"
    assert (folder / "logs" / "corpus.json").exists()
    assert not (folder / "logs" / "prefinetune.json").exists()
    child = gecko("run", recipe)
    assert child.returncode == 0, child.stderr
    assert "done: passages" in child.stdout
    return folder


def test_ctrl_c_leaves_a_run_that_goes_on(interrupted, resumed):
    _, message = interrupted
    assert "the same command goes on" in message
    assert "Traceback" not in message
    assert (resumed / "report" / "report.html").exists()


@pytest.mark.parametrize("query", ["oven flour", "knight"])
def test_search_shows_both_models_side_by_side(query, resumed):
    child = gecko("search", str(resumed), query, "--top", "3", "--dim", "8", COLUMNS="120")
    assert child.returncode == 0, child.stderr
    assert "(untouched)" in child.stdout
    assert "Gecko" in child.stdout
    assert [line.split()[1] for line in child.stdout.splitlines() if line.startswith(("│ 1", "│ 2", "│ 3"))] == [
        "1",
        "2",
        "3",
    ]


def test_a_query_with_brackets_is_searched_and_shown_as_it_is(resumed):
    child = gecko("search", str(resumed), "what does [/INST] mean in list[int]", COLUMNS="120")
    assert child.returncode == 0, child.stderr
    assert "'what does [/INST] mean in list[int]' at 8 dimensions" in child.stdout
