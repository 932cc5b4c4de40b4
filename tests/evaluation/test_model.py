"""Opening the model that is measured: what is refused, and with which words."""

import shutil

import pytest
import transformers
from mteb.models.model_meta import ModelMeta
from transformers import RobertaConfig, RobertaModel

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.model import local_name, open_model
from gecko_hf.model.encoder import load_encoder, save_encoder


@pytest.fixture(scope="module")
def roberta(tiny_model_path, tmp_path_factory):
    """A model that counts its positions from behind the padding's place, which is 1 there."""
    bare, folder = tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp("roberta")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model_path)
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    RobertaModel(RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=66, **small)).save_pretrained(bare)
    tokenizer.save_pretrained(bare)
    save_encoder(load_encoder(str(bare), 48), folder)
    return folder


@pytest.mark.parametrize(("kind", "most"), [("model_folder", 512), ("roberta", 64)])
def test_a_length_that_the_model_has_no_positions_for_is_refused(kind, most, request):
    folder = str(request.getfixturevalue(kind))
    assert open_model(folder, device="cpu", max_length=most).model.max_seq_length == most
    with pytest.raises(EvaluationError, match=rf"--max-length is {most + 1}, and .* has {most} positions"):
        open_model(folder, device="cpu", max_length=most + 1)


def test_another_dtype_is_refused(model_folder):
    with pytest.raises(EvaluationError, match="--dtype is 'int8', which is none of float32, bfloat16, float16"):
        open_model(str(model_folder), dtype="int8", device="cpu")


def test_the_folder_of_a_run_is_told_from_its_model(tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: mine")
    (tmp_path / "model").mkdir()
    with pytest.raises(EvaluationError, match=rf"is the folder of a run. Its model is {tmp_path}/model"):
        open_model(str(tmp_path))


def test_a_folder_that_is_not_there_is_said_to_be_none(tmp_path):
    with pytest.raises(EvaluationError, match=r"There is no folder .*/typo, and it is no Hub id"):
        open_model(str(tmp_path / "typo"))


def test_weights_that_were_cut_off_are_refused(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(EvaluationError, match="No sentence-transformers model loads from"):
        open_model(str(tmp_path / "model"), device="cpu")


@pytest.mark.parametrize("source", ["my runs/my run/model", "my models/my run"])
def test_a_name_with_a_space_is_the_one_that_results_are_read_back_under(source, tmp_path):
    name = local_name(str(tmp_path / source))
    filed = ModelMeta.create_empty({"name": name}).model_name_as_path()
    assert name == "local/my_run" == filed.replace("__", "/", 1)


@pytest.mark.parametrize("device", ["xyz", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(model_folder, device):
    with pytest.raises(EvaluationError, match=f"--device {device} cannot be used: .* Name another"):
        open_model(str(model_folder), device=device)
