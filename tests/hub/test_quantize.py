"""Smaller vectors: what comes back from int8 and from bits, and that what they cost is measured and shown."""

import json
import shutil
import sys

import numpy as np
import pytest

from gecko_hf.hub import quantize
from gecko_hf.hub.facts import quantized
from gecko_hf.run_folder import Paths


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)


def test_int8_is_off_by_half_a_step_at_most_inside_its_range_and_clips_outside(vectors):
    low, high = np.percentile(vectors, quantize.PERCENTILES, axis=0)
    back = quantize.int8(vectors, vectors)
    inside = (vectors >= low) & (vectors <= high)
    assert np.all(np.abs(back - vectors)[inside] <= np.broadcast_to((high - low) / 510 + 1e-6, vectors.shape)[inside])
    assert np.allclose(quantize.int8(vectors + 100, vectors), high, atol=1e-5)


def test_int8_has_at_most_256_values_a_dimension(vectors):
    many = np.random.default_rng(1).normal(size=(5000, 2)).astype(np.float32)
    assert all(len(np.unique(column)) <= 256 for column in quantize.int8(many, vectors[:, :2]).T)


def test_a_dimension_that_never_changes_stays_what_it_is():
    same = np.full((10, 1), 0.25, np.float32)
    assert np.allclose(quantize.int8(same, same), same)


def test_binary_is_the_sign(vectors):
    assert np.array_equal(quantize.binary(vectors, vectors), np.where(vectors > 0, 1, -1))


def test_the_command_measures_and_the_card_shows_it_until_the_model_changes(
    finished_run, tmp_path, monkeypatch, capsys
):
    from gecko_hf.cli.main import main
    from gecko_hf.hub.cards import model_card

    run = shutil.copytree(finished_run, tmp_path / "run")
    paths = Paths(run)
    summary = json.loads((paths.report / "summary.json").read_text())
    assert "| int8 |" not in model_card(summary, paths, "org/gecko", None)
    monkeypatch.setattr(sys, "argv", ["gecko-hf", "quantize", str(run)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    shown = {row["precision"]: row for row in quantized(paths)}
    assert {name: row["bytes"] for name, row in shown.items()} == {"float32": 128, "int8": 32, "binary": 4}
    own = next(s for s in summary["scores"] if s["role"] == "gecko" and s["dim"] == 32)["ndcg_at_10"]
    assert shown["float32"]["score"] == pytest.approx(own, abs=1e-4)
    assert f"| int8 | 32 | {shown['int8']['score']:.4f} |" in model_card(summary, paths, "org/gecko", None)
    record = json.loads((paths.logs / "finetune.json").read_text())
    (paths.logs / "finetune.json").write_text(json.dumps(record | {"key": "another model"}))
    assert quantized(paths) == []
