from pathlib import Path

import pytest
from causal import Reference, save_causal_model


@pytest.fixture(scope="session")
def causal_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_causal_model(tmp_path_factory.mktemp("causal") / "tiny-llama")


@pytest.fixture(scope="session")
def reference(causal_path) -> Reference:
    return Reference(causal_path)
