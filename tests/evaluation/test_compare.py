"""Two models on the same tasks: differences, and how sure they are."""

import made_up
import numpy as np
import pytest
from typer.testing import CliRunner

from gecko_hf.cli.main import app
from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.compare import compare, comparison_markdown, find_contender, type_means
from gecko_hf.evaluation.results import read_results

QUERIES = 200


def answers(mean: float, seed: int) -> dict[str, float]:
    values = np.random.default_rng(seed).normal(mean, 0.2, QUERIES)
    return {f"q{i}": float(v) for i, v in enumerate(values)}


@pytest.fixture
def folder(tmp_path):
    base = answers(0.6, 0)
    better = {query: value + 0.05 + (0.02 if int(query[1:]) % 2 else -0.02) for query, value in base.items()}
    made_up.write(tmp_path, "SciFact", 0.60, model="local/base", queries=base)
    made_up.write(tmp_path, "SciFact", 0.65, model="local/mine", queries=better)
    made_up.write(tmp_path, "NFCorpus", 0.30, model="local/base", queries=answers(0.3, 1))
    made_up.write(tmp_path, "NFCorpus", 0.30, model="local/mine", queries=answers(0.3, 2))
    made_up.write(tmp_path, "STS12", 0.70, model="local/base")
    made_up.write(tmp_path, "STS12", 0.71, model="local/mine")
    made_up.write(tmp_path, "STS13", 0.80, model="local/mine")
    return tmp_path


def contenders(folder):
    scores = read_results(folder)
    return find_contender("base", scores), find_contender("local/mine", scores)


def test_a_steady_gain_has_an_interval_above_zero_and_noise_has_not(folder):
    rows = {row.task: row for row in compare(*contenders(folder))}
    assert rows["SciFact"].points == pytest.approx(5.0)
    low, high = rows["SciFact"].interval
    assert 4.5 < low < 5.0 < high < 5.5
    assert rows["SciFact"].queries == QUERIES
    low, high = rows["NFCorpus"].interval
    assert low < 0 < high


def test_a_task_without_queries_has_no_interval(folder):
    (row,) = compare(*contenders(folder), ["STS12"])
    assert row.interval is None
    assert row.points == pytest.approx(1.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """95 % of intervals over samples from a known difference hold it (binomial: 88 to 100 of 100)."""
    from gecko_hf.evaluation.compare import _interval

    rng, held = np.random.default_rng(3), 0
    for seed in range(100):
        a = {str(i): float(v) for i, v in enumerate(rng.normal(0.5, 0.2, 80))}
        b = {key: value + float(rng.normal(0.03, 0.1)) for key, value in a.items()}
        (low, high), _ = _interval(a, b, seed)
        held += low <= 3.0 <= high
    assert 88 <= held <= 100


def test_the_interval_of_several_subsets_is_that_of_their_mean(tmp_path):
    """A small subset counts as much as a large one in the score, and so in its interval."""
    rng = np.random.default_rng(5)

    def parts(gain, noise=0.0):
        """20 German queries that gain something, 500 English ones that do not."""
        sizes = {"test/de": (20, gain), "test/en": (500, 0.0)}
        return {
            part: {f"q{i}": 0.5 + own + float(rng.normal(0, noise)) for i in range(count)}
            for part, (count, own) in sizes.items()
        }

    made_up.write(tmp_path, "SciFact", 0.50, model="local/base", parts=parts(0.0))
    made_up.write(tmp_path, "SciFact", 0.75, model="local/mine", parts=parts(0.5))
    (row,) = compare(*contenders(tmp_path))
    assert row.points == pytest.approx(25.0)
    assert row.interval == (pytest.approx(25.0), pytest.approx(25.0))
    made_up.write(tmp_path, "SciFact", 0.75, model="local/mine", parts=parts(0.5, noise=0.1))
    (row,) = compare(*contenders(tmp_path))
    low, high = row.interval
    assert 20 < low < 25 < high < 30


def test_only_common_tasks_count_in_the_means(folder):
    means = {kind: (count, first, other) for kind, count, first, other in type_means(compare(*contenders(folder)))}
    assert means["STS"] == (1, pytest.approx(70.0), pytest.approx(71.0))
    assert means["Retrieval"] == (2, pytest.approx(45.0), pytest.approx(47.5))
    assert means["all"][0] == 3


def test_the_comparison_in_markdown(folder):
    first, other = contenders(folder)
    text = comparison_markdown(first, other, compare(first, other))
    assert "| task | metric | base:32 | mine:32 | difference | 95 % interval |" in text
    assert "| STS12 | cosine_spearman | 70.00 | 71.00 | +1.00 |  |" in text
    assert "(200 queries)" in text


def test_the_command_prints_and_writes_it(folder, tmp_path):
    command = [
        "compare",
        "base",
        "mine",
        "--results",
        str(folder),
        "--tasks",
        "SciFact,STS12",
        "--markdown",
        str(tmp_path / "c.md"),
    ]
    assert "+5.00" in CliRunner().invoke(app, command, catch_exceptions=False).output
    assert "NFCorpus" not in (tmp_path / "c.md").read_text()


def test_a_width_and_a_revision_can_be_named(folder):
    made_up.write(folder, "SciFact", 0.5, model="local/mine", dim=8)
    made_up.write(folder, "SciFact", 0.4, model="local/mine", revision="fff000000000")
    scores = read_results(folder)
    assert find_contender("mine@abc:8", scores).scores["SciFact"].value == 0.5
    with pytest.raises(EvaluationError, match=r"Say which: NAME@REVISION"):
        find_contender("mine", scores)
    with pytest.raises(EvaluationError, match="measured at 8, 32, not at 16"):
        find_contender("mine@abc:16", scores)
    with pytest.raises(EvaluationError, match="There are no results of 'nobody'"):
        find_contender("nobody", scores)
    with pytest.raises(EvaluationError, match="the width is 'full'; give a number after the colon"):
        find_contender("mine@abc:full", scores)


def test_two_revisions_of_a_model_are_told_apart(folder):
    made_up.write(folder, "SciFact", 0.4, model="local/mine", revision="fff000000000")
    scores = read_results(folder)
    assert [find_contender(f"mine@{rev}", scores).label for rev in ("abc", "fff")] == ["mine@abc:32", "mine@fff:32"]


def test_a_task_that_nobody_was_measured_on_is_named_with_those_that_there_are(folder):
    with pytest.raises(EvaluationError, match=r"No result of SciFakt\. There are: NFCorpus, STS12, STS13, SciFact"):
        compare(*contenders(folder), ["SciFact", "SciFakt"])
    with pytest.raises(EvaluationError, match=r"all of these models: base:32 on NFCorpus, STS12, SciFact; mine:32 on"):
        compare(*contenders(folder), ["STS13"])


@pytest.mark.parametrize("recorded", [True, False])  # mteb alone leaves no record
def test_scores_on_different_data_are_not_compared(folder, recorded):
    file = folder / "results" / "local__mine" / "abc123def456" / "STS12.json"
    file.write_text(file.read_text().replace('"dataset_revision": "', '"dataset_revision": "x'))
    if not recorded:
        (folder / "records" / "local__mine" / "abc123def456" / "STS12.json").unlink()
        (file.parent / "model_meta.json").write_text('{"embed_dim": 32}')
    with pytest.raises(EvaluationError, match="STS12 was measured on different data"):
        compare(*contenders(folder))


def test_scores_over_different_subsets_are_not_compared(folder):
    made_up.write(folder, "STS17", 0.7, model="local/base")
    made_up.write(folder, "STS17", 0.8, model="local/mine", splits={"test": ["en-en"]})
    with pytest.raises(EvaluationError, match=r"STS17 was measured on .*ar-ar.* of base:32 and on .* of mine:32"):
        compare(*contenders(folder))


def test_the_parts_of_an_aggregate_are_not_counted_beside_it(folder):
    for name, parts in (("base", '["STS12"]'), ("mine", '["STS12"]')):
        file = folder / "records" / f"local__{name}" / "abc123def456" / "SciFact.json"
        file.write_text(file.read_text().replace('"parts": []', f'"parts": {parts}'))
    assert {row.task for row in compare(*contenders(folder))} == {"SciFact", "NFCorpus"}
    made_up.write(folder, "STS12", 0.6, model="local/mine", dim=8)  # where the aggregate was not measured
    assert find_contender("mine:8", read_results(folder)).scores.keys() == {"STS12"}


def test_no_results_are_refused(tmp_path):
    with pytest.raises(EvaluationError, match="holds no results"):
        read_results(tmp_path)
