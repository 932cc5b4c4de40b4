"""ONNX files: they give torch's vectors without torch, have the names that others look for, and go when the model changes."""

import json
import re
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from families import bare_checkpoint  # noqa: F401
from hub_server import WRITE_TOKEN
from sentence_transformers import SentenceTransformer
from test_push import head

from gecko_hf.cli.main import main
from gecko_hf.errors import ExportError
from gecko_hf.hub import onnx_check, onnx_export
from gecko_hf.hub.cards import model_card
from gecko_hf.hub.facts import onnx_files, quantized
from gecko_hf.hub.onnx_encoder import OnnxEncoder
from gecko_hf.model.build import build_encoder
from gecko_hf.model.encoder import save_encoder
from gecko_hf.run_folder import Paths

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs: pip install 'gecko-hf[onnx]'")

NO_TORCH = "import sys\nfor name in ('torch', 'transformers', 'sentence_transformers'):\n    sys.modules[name] = None\n"


def command(monkeypatch, capsys, *arguments):
    """`gecko-hf ARGUMENTS` in this process: exit code and what it said."""
    monkeypatch.setattr(sys, "argv", ["gecko-hf", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return SimpleNamespace(code=stop.value.code, out=said.out, err=" ".join(said.err.split()))


def exported(model, folder, targets=()):
    save_encoder(model, folder)
    return onnx_check.export_onnx(model.eval(), folder, targets, lambda _: None)


def names(session):
    return [entry.name for entry in session.get_inputs()], [entry.name for entry in session.get_outputs()]


@pytest.fixture(scope="module")
def exported_run(finished_run, tmp_path_factory):
    """A finished run, a tiny BERT, after `gecko-hf export RUN`."""
    run = shutil.copytree(finished_run, tmp_path_factory.mktemp("onnx") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gecko-hf", "export", str(run)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code == 0
    return run


@pytest.fixture
def folder(exported_run, tmp_path):
    """The exported run's model, to be changed."""
    return shutil.copytree(exported_run / "model", tmp_path / "model")


class TestTheFiles:
    @pytest.mark.parametrize("family", ["modernbert", "eurobert"])
    def test_agree_with_torch_for_every_prompt_behind_a_projection(self, bare_checkpoint, tmp_path, family):  # noqa: F811
        model = build_encoder(bare_checkpoint(family), 16, max_seq_length=48)
        (file,) = exported(model, tmp_path / "model")
        assert len(model.prompts) > 10
        assert file.difference < 1e-5
        encoder = OnnxEncoder(tmp_path / "model", tmp_path / "model" / file.file)
        assert names(encoder.session) == (["input_ids", "attention_mask"], ["last_hidden_state"])
        for texts in (["bees"], ["honey and wax " * 40, "a", "queen"] * 3):  # other batches and lengths than exported
            assert np.allclose(encoder.encode(texts), model.encode(texts), atol=1e-5)

    def test_read_token_types_where_the_tokenizer_gives_them_and_keep_large_weights_beside_them(
        self, tiny_model, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(onnx_export, "ONE_FILE", 0)
        tiny_model.tokenizer.model_input_names = list(onnx_export.NAMES)
        whole, small = exported(tiny_model, tmp_path / "model", ["arm64"])
        files = sorted(file.name for file in (tmp_path / "model" / "onnx").iterdir())
        assert files == ["model.onnx", "model.onnx_data", "model_qint8_arm64.onnx"]
        assert whole.bytes > (tmp_path / "model" / "onnx" / "model.onnx_data").stat().st_size > small.bytes / 2
        session = OnnxEncoder(tmp_path / "model", tmp_path / "model" / whole.file).session
        assert names(session)[0] == ["input_ids", "attention_mask", "token_type_ids"]
        assert {tuple(entry.shape) for entry in session.get_inputs()} == {("batch_size", "sequence_length")}

    def test_of_int8_are_smaller_close_and_named_as_sentence_transformers_names_them(self, exported_run):
        whole, small = onnx_files(Paths(exported_run))
        assert (whole["file"], small["file"]) == ("onnx/model.onnx", "onnx/model_quint8_avx2.onnx")
        assert small["bytes"] < whole["bytes"] / 1.35
        assert small["difference"] > whole["difference"]
        assert 0.9 < small["least_cosine"] <= small["cosine"] < 1

    def test_go_when_the_model_is_saved_again(self, folder):
        save_encoder(SentenceTransformer(str(folder), device="cpu"), folder)
        assert not (folder / "onnx").exists()


class TestWhatDiffers:
    def test_stops_the_export_and_leaves_what_was_there(self, folder, monkeypatch):
        good = folder / "onnx" / "model.onnx"
        before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        model = SentenceTransformer(str(folder), device="cpu")
        model.state_dict()["0.model.embeddings.word_embeddings.weight"].mul_(3)
        monkeypatch.setattr(
            onnx_check, "export_float", lambda _, made: made.mkdir() or shutil.copy(good, made / "model.onnx")
        )
        with pytest.raises(ExportError, match=r"With the prompt '' the ONNX file gives other vectors .* by up to \d"):
            onnx_check.export_onnx(model, folder, [], lambda _: None)
        assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before

    def test_is_seen_with_each_prompt(self, folder, monkeypatch):
        model = SentenceTransformer(str(folder), device="cpu")
        encoder = OnnxEncoder(folder, folder / "onnx" / "model.onnx")
        onnx_check.check_difference(model, encoder)
        monkeypatch.setattr(
            encoder, "encode", lambda t, p: OnnxEncoder.encode(encoder, t, p.replace("search", "honey"))
        )
        with pytest.raises(ExportError, match="With the prompt 'query'"):
            onnx_check.check_difference(model, encoder)


@pytest.mark.parametrize("config", [{"pooling_mode": "cls"}, {"pooling_mode_cls_token": True}])
def test_a_model_that_pools_its_first_token_is_read_as_torch_reads_it(folder, config):
    file = folder / "1_Pooling" / "config.json"
    width = {"word_embedding_dimension": json.loads(file.read_text())["word_embedding_dimension"]}
    file.write_text(json.dumps(width | config))
    expected = SentenceTransformer(str(folder), device="cpu").encode(["a pawn", "wind and sail"])
    encoder = OnnxEncoder(folder, folder / "onnx" / "model.onnx")
    assert np.allclose(encoder.encode(["a pawn", "wind and sail"]), expected, atol=1e-5)


def test_pooling_that_is_not_computed_here_is_refused(folder):
    file = folder / "1_Pooling" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pooling_mode": "max"}))
    with pytest.raises(ExportError, match="pools by max; mean and cls"):
        OnnxEncoder(folder, folder / "onnx" / "model.onnx")


class TestTheCard:
    def test_shows_the_files_of_this_model_and_what_they_score(self, exported_run, finished_run):
        paths = Paths(exported_run)
        summary = json.loads((paths.report / "summary.json").read_text())
        own = next(s for s in summary["scores"] if s["role"] == "gecko" and s["dim"] == 32)["ndcg_at_10"]
        whole, small = onnx_files(paths)
        assert whole["score"] == pytest.approx(own, abs=1e-3)
        assert small["lost"] == pytest.approx(100 * (own - small["score"]), abs=0.1)
        card = model_card(summary, paths, "org/gecko", None)
        cosines = f"{small['cosine']:.4f} | {small['least_cosine']:.4f}"
        row = f"| `onnx/model_quint8_avx2.onnx` | {small['bytes'] / 1e6:.1f} | {cosines} |"
        assert f"{row} {small['score']:.4f} | {small['lost']:.1f} |" in card
        assert quantized(paths) == []
        assert "onnx" not in model_card(summary, Paths(finished_run), "org/gecko", None).lower()

    def test_does_not_show_files_of_another_model(self, exported_run, tmp_path):
        paths = Paths(shutil.copytree(exported_run, tmp_path / "run"))
        record = json.loads((paths.logs / "finetune.json").read_text())
        (paths.logs / "finetune.json").write_text(json.dumps(record | {"key": "another model"}))
        assert onnx_files(paths) == []

    def test_shows_lines_that_run_without_torch_and_give_torchs_vectors(self, exported_run, clients, hub):
        child = clients.gecko("push", "model", exported_run, "org/onnx", token=WRITE_TOKEN)
        assert child.returncode == 0, child.stderr
        commit = hub.store.repos["model", "org/onnx"].commits[head(hub, "model", "org/onnx")]
        assert {"onnx/model.onnx", "onnx/model_quint8_avx2.onnx"} <= set(commit.files)
        blocks = re.findall(r"```python\n(.*?)```", commit.files["README.md"].data.decode(), re.DOTALL)
        torch, onnx = blocks[0], next(block for block in blocks if "onnxruntime" in block)
        expected = clients.python(torch + "print(json.dumps(queries[0].tolist()))", token=WRITE_TOKEN)
        ours = clients.python(NO_TORCH + onnx + "print(json.dumps(vectors[0].tolist()))", token=WRITE_TOKEN)
        assert ours == pytest.approx(expected, abs=1e-5)


class TestTheCommand:
    def test_writes_a_model_that_is_no_folder_into_a_new_one_or_nothing(self, folder, tmp_path, monkeypatch, capsys):
        new, told = tmp_path / "new", []
        monkeypatch.setattr("gecko_hf.evaluation.model.resolve_base", lambda _: str(folder))
        monkeypatch.setattr(onnx_check, "export_onnx", lambda *arguments: told.append(arguments[1:3]) or [])
        assert command(monkeypatch, capsys, "export", "package:x", "--output", new, "--int8", "none").code == 0
        assert told == [(new, [])]
        assert SentenceTransformer(str(new)).prompts == SentenceTransformer(str(folder)).prompts
        assert json.loads((new / "sentence_bert_config.json").read_text())["max_seq_length"]  # which others look for

        def differs(*_):
            raise ExportError("other vectors")

        monkeypatch.setattr(onnx_check, "export_onnx", differs)
        said = command(monkeypatch, capsys, "export", "package:x", "--output", tmp_path / "bad")
        assert (said.code, said.err) == (2, "Error: other vectors")
        assert not (tmp_path / "bad").exists()

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["package:x"], "package:x is no folder that files can be put into. Say where to: --output FOLDER"),
            (["{folder}", "--output", "{folder}"], "is not empty. Give a new folder"),
            (["{folder}", "--int8", "vnni"], "no int8 file for 'vnni'. Take one of: avx2, avx512, avx512_vnni, arm64"),
        ],
    )
    def test_refuses_before_it_loads_anything(self, folder, monkeypatch, capsys, arguments, says):
        said = command(monkeypatch, capsys, "export", *(a.format(folder=folder) for a in arguments))
        assert said.code == 2
        assert says in said.err

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (
                lambda model: (model / "modules.json").unlink(),
                "it has no modules.json. Let one be written into a new folder",
            ),
            (lambda model: (model / "sentence_bert_config.json").unlink(), "it has no sentence_bert_config.json."),
            (
                lambda model: (model / "tokenizer_config.json").write_text('{"model_max_length": 48}'),
                "names no pad_token",
            ),
        ],
    )
    def test_refuses_a_folder_that_holds_no_whole_model_before_the_export(
        self, folder, monkeypatch, capsys, change, says
    ):
        monkeypatch.setattr(onnx_check, "export_float", lambda *_: pytest.fail("exported"))
        change(folder)
        said = command(monkeypatch, capsys, "export", folder)
        assert said.code == 2, said.err
        assert says in said.err

    def test_names_the_extra_that_is_missing(self, folder, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "onnxscript", None)
        said = command(monkeypatch, capsys, "export", folder)
        assert said.code == 2
        assert "pip install 'gecko-hf[onnx]'" in said.err
