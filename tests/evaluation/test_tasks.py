"""Which tasks a command means, and what it cannot mean."""

import pytest

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.tasks import choose_tasks


def test_one_task_on_different_subsets_at_once_is_refused():
    with pytest.raises(EvaluationError, match=r"STS17 is asked for twice, on .*ar-ar.* and on \{'test': \['en-en'\]\}"):
        choose_tasks(["STS17"], "MTEB(eng, v2)", [], paper=False)
    assert "STS17" in {t.metadata.name for t in choose_tasks([], "MTEB(eng, v2)", [], paper=False)}


def test_a_task_that_reads_more_than_text_is_refused():
    with pytest.raises(
        EvaluationError, match=r"Only text is measured .*: CIFAR10Clustering \(image\)\. Leave them out"
    ):
        choose_tasks(["SciFact", "CIFAR10Clustering"], None, [], paper=False)
