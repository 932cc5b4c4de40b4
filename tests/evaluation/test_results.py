"""A folder of results as rows: what counts in a score, and what is left out."""

import json

import made_up
import pytest

from gecko_hf.evaluation.results import read_results


def test_a_subset_that_mteb_added_to_a_file_is_not_in_the_score_of_its_record(tmp_path):
    file = made_up.write(tmp_path, "STS17", 0.8, splits={"test": ["en-en"]})
    tree = json.loads(file.read_text())
    other = tree["scores"]["test"][0] | {"hf_subset": "es-es", "main_score": 0.2}
    tree["scores"] = {"test": [*tree["scores"]["test"], other], "validation": [other]}
    file.write_text(json.dumps(tree))
    (score,) = read_results(tmp_path)
    assert (score.value, score.splits) == (0.8, {"test": ["en-en"]})
    next((tmp_path / "records").rglob("STS17.json")).unlink()
    (score,) = read_results(tmp_path)
    assert score.value == pytest.approx(0.4)
    assert score.splits == {"test": ["en-en", "es-es"], "validation": ["es-es"]}
