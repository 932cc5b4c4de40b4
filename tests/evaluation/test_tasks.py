"""Which tasks a command means, and what it cannot mean."""

import mteb
import pytest
from mteb.abstasks.aggregate_task_metadata import AggregateTaskMetadata
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.tasks import choose_tasks


def test_one_task_on_different_subsets_at_once_is_refused():
    with pytest.raises(EvaluationError, match=r"STS17 is asked for twice, on .*ar-ar.* and on \{'test': \['en-en'\]\}"):
        choose_tasks(["STS17"], "MTEB(eng, v2)", [], paper=False)
    assert "STS17" in {t.metadata.name for t in choose_tasks([], "MTEB(eng, v2)", [], paper=False)}


def test_a_part_of_an_aggregate_on_other_subsets_than_the_task_by_itself_is_refused(monkeypatch):
    metadata = AggregateTaskMetadata(
        name="Mean",
        description="Of one.",
        tasks=[mteb.get_task("STS17", hf_subsets=["en-en"])],
        main_score="cosine_spearman",
        type="STS",
        eval_splits=["test"],
    )
    aggregate = type("Mean", (AbsTaskAggregate,), {"metadata": metadata})()
    monkeypatch.setattr("gecko_hf.evaluation.tasks.benchmark_tasks", lambda _: [aggregate])
    assert choose_tasks([], "one with a mean", [], paper=False) == [aggregate]
    with pytest.raises(EvaluationError, match="STS17 is asked for twice"):
        choose_tasks(["STS17"], "one with a mean", [], paper=False)


def test_a_task_that_reads_more_than_text_is_refused():
    with pytest.raises(
        EvaluationError, match=r"Only text is measured .*: CIFAR10Clustering \(image\)\. Leave them out"
    ):
        choose_tasks(["SciFact", "CIFAR10Clustering"], None, [], paper=False)
