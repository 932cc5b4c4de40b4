"""A causal model as a GGUF file: found, refused, and read as the checkpoint that it was made from."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from causal import pairs
from gguf_file import write_gguf

from gecko_hf.errors import LLMError, MissingExtraError
from gecko_hf.llm.base import Sampling
from gecko_hf.llm.checkpoint import Checkpoint, find_checkpoint
from gecko_hf.llm.endpoints.tokens import load_tokenizer
from gecko_hf.llm.local import LocalModel, require_checkpoint
from gecko_hf.llm.recipe import LLMRecipe

NATS = 1e-4


@pytest.fixture(scope="module")
def gguf_file(causal_path, tmp_path_factory) -> Path:
    return write_gguf(causal_path, tmp_path_factory.mktemp("gguf"))


@pytest.fixture
def package(gguf_file, tmp_path, monkeypatch) -> Path:
    """An installed package with a model, whose import would fail."""
    folder = tmp_path / "tiny_llama_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("import a_package_that_is_not_there\n")
    shutil.copy(gguf_file, folder)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


class TestFinding:
    @pytest.mark.parametrize("name", ["some/folder", "org/model", "../model"])
    def test_a_folder_and_a_hub_id_are_taken_as_they_are(self, name):
        found = find_checkpoint(name)
        assert (found.place, found.options("abc")) == (name, {"revision": "abc"})

    @pytest.mark.parametrize(
        ("name", "place", "file"),
        [
            ("models/a.gguf", "models", "a.gguf"),
            ("a.gguf", ".", "a.gguf"),
            ("./models/4bit/a.gguf", "models/4bit", "a.gguf"),
            ("org/model-GGUF/a.gguf", "org/model-GGUF", "a.gguf"),
            ("org/model-GGUF/4bit/a.gguf", "org/model-GGUF", "4bit/a.gguf"),
        ],
    )
    def test_a_gguf_file_is_named_with_its_folder_or_repository(self, name, place, file, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "models" / "4bit").mkdir(parents=True)
        for local in ("a.gguf", "models/a.gguf", "models/4bit/a.gguf"):
            (tmp_path / local).touch()
        found = find_checkpoint(name)
        assert (found.place, found.options(None)) == (place, {"revision": None, "gguf_file": file})

    def test_what_is_on_this_machine_is_meant_before_the_hub(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "a" / "b" / "c.gguf").touch()
        (tmp_path / "folder.gguf").mkdir()
        assert find_checkpoint("a/b/c.gguf") == Checkpoint("a/b", "c.gguf")
        assert find_checkpoint("~/a/b/c.gguf") == Checkpoint(f"{tmp_path}/a/b", "c.gguf")
        assert find_checkpoint("folder.gguf") == Checkpoint("folder.gguf")
        assert find_checkpoint("~/a") == Checkpoint(f"{tmp_path}/a")

    def test_a_package_is_not_imported(self, package):
        assert find_checkpoint("package:tiny_llama_weights").path == package / "tiny-llama.gguf"
        assert "tiny_llama_weights" not in sys.modules

    @pytest.mark.parametrize("name", ["package:not_there_at_all", "package:a.b", "package:"])
    def test_a_package_that_is_not_installed_is_named(self, name):
        with pytest.raises(LLMError, match=rf"'{name}' is installed"):
            find_checkpoint(name)

    def test_a_package_without_one_gguf_file_is_refused_with_what_it_has(self, package):
        shutil.copy(package / "tiny-llama.gguf", package / "b.gguf")
        with pytest.raises(LLMError, match=r"one GGUF file; found b\.gguf, tiny-llama\.gguf"):
            find_checkpoint("package:tiny_llama_weights")
        with pytest.raises(LLMError, match="found none"):
            find_checkpoint("package:json")

    def test_the_reader_of_gguf_files_is_named_where_it_is_missing(self, gguf_file, monkeypatch):
        monkeypatch.setitem(sys.modules, "gguf", None)
        with pytest.raises(MissingExtraError, match=r"gecko-hf\[gguf\]"):
            require_checkpoint(str(gguf_file), None, "cpu")


class TestReading:
    def test_scores_and_texts_are_those_of_the_checkpoint(self, gguf_file, causal_path, reference):
        llm, other = LocalModel(str(gguf_file), device="cpu"), LocalModel(str(causal_path), device="cpu")

        async def ask(model):
            scores = [model.score(p + c, [(len(p), len(p + c))]) for p, c in pairs(8)]
            return await asyncio.gather(*scores, model.generate(pairs(1)[0][0], Sampling(temperature=0, max_tokens=8)))

        *scored, written = asyncio.run(ask(llm))
        for (prefix, continuation), scores in zip(pairs(8), scored, strict=True):
            assert scores.spans[0].logprobs == pytest.approx(reference.logprobs(prefix, continuation), abs=NATS)
        # Of tokens that the tokenizer lacks a GGUF file needs names.
        assert re.sub(r"\[unused \d+\]", "", written.text) == asyncio.run(ask(other))[-1].text

    def test_it_is_looked_at_before_any_work(self, gguf_file, tmp_path):
        require_checkpoint(str(gguf_file), None, "cpu")
        with pytest.raises(LLMError, match=r"There is no file .*none\.gguf.*llm\.model=ORG/REPOSITORY"):
            require_checkpoint(str(tmp_path / "none.gguf"), None, "cpu")

    def test_packed_weights_are_unpacked(self, causal_path, reference, tmp_path):
        llm = LocalModel(str(write_gguf(causal_path, tmp_path, packed=True)), device="cpu")
        assert {p.dtype for p in llm.model.parameters()} == {torch.float32}
        prefix, continuation = pairs(2)[1]
        scores = asyncio.run(llm.score(prefix + continuation, [(len(prefix), len(prefix + continuation))]))
        expected = reference.logprobs(prefix, continuation)
        assert scores.spans[0].logprobs == pytest.approx(expected, abs=0.2)  # eight bits are not 32
        assert scores.spans[0].logprobs != pytest.approx(expected, abs=NATS)

    @pytest.mark.parametrize("size", [0, 30, 2000])
    def test_a_file_that_was_cut_off_is_told_without_a_traceback(self, gguf_file, tmp_path, size):
        (tmp_path / "cut.gguf").write_bytes(gguf_file.read_bytes()[:size])
        with pytest.raises(LLMError, match=r"cut\.gguf cannot be loaded"):
            LocalModel(str(tmp_path / "cut.gguf"), device="cpu")
        with pytest.raises(LLMError, match=r"llm\.tokenizer .*cut\.gguf cannot be loaded"):
            load_tokenizer(str(tmp_path / "cut.gguf"))

    def test_its_tokenizer_counts_for_a_server_that_serves_it(self, gguf_file, reference):
        text = pairs(1)[0][0]
        assert load_tokenizer(str(gguf_file))(text)["input_ids"] == reference.tokenizer(text)["input_ids"]

    def test_a_missing_package_is_no_fault_of_a_plan(self):
        assert "files" not in LLMRecipe("local", model="package:not_there_at_all").identity()

    def test_rows_depend_on_the_file(self, gguf_file, tmp_path):
        copied = Path(shutil.copy(gguf_file, tmp_path))
        first = LLMRecipe("local", model=str(copied)).identity()["files"]
        revision = LocalModel(str(copied), device="cpu").revision
        with copied.open("r+b") as file:
            file.seek(-8, 2)
            file.write(b"\1" * 8)
        assert LLMRecipe("local", model=str(copied)).identity()["files"] != first
        assert LocalModel(str(copied), device="cpu").revision != revision


@pytest.mark.parametrize("kind", ["checkpoint", "gguf"])
def test_the_revision_of_a_hub_model_is_its_commit(causal_path, gguf_file, tmp_path, kind):
    """In a process of its own, whose cache holds a repository, and which has no connection."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = Path(shutil.copytree(causal_path, repository / "snapshots" / commit))
    name = "org/tiny"
    if kind == "gguf":
        shutil.copy(gguf_file, snapshot)
        name = f"org/tiny/{gguf_file.name}"
    code = f"from gecko_hf.llm.local import LocalModel; print(LocalModel({name!r}, device='cpu').revision)"
    places = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | places, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == commit, done.stderr
