"""The check before a push: a model that a stranger could not use, or would use with other vectors, does not go out."""

import json
import shutil

import numpy as np
import pytest

from gecko_hf.errors import HubError
from gecko_hf.hub import check
from gecko_hf.run_folder import Paths


@pytest.fixture
def model(finished_run, tmp_path):
    return shutil.copytree(Paths(finished_run).model, tmp_path / "model")


def test_a_class_of_another_package_is_refused(model):
    modules = json.loads((model / "modules.json").read_text())
    modules[-1]["type"] = "gecko_hf.model.task_prefix.TaskPrefix"
    (model / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(HubError, match=r"does not load in a fresh process without gecko_hf"):
        check.check_loads_anywhere(model)


def test_other_vectors_there_are_refused(model, monkeypatch):
    from sentence_transformers import SentenceTransformer

    here = SentenceTransformer(str(model), device="cpu")
    other = {name: here.encode(list(check.TEXTS), prompt_name=name) + np.float32(1e-6) for name in here.prompts}
    monkeypatch.setattr(check, "_vectors_of_a_stranger", lambda _: other)
    with pytest.raises(HubError, match=r"With the prompt 'query', .* gives other vectors"):
        check.check_loads_anywhere(model)


def test_prompts_that_are_not_the_same_are_refused(model, monkeypatch):
    monkeypatch.setattr(check, "_vectors_of_a_stranger", lambda _: {})
    with pytest.raises(HubError, match="has the prompts"):
        check.check_loads_anywhere(model)
