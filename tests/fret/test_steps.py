"""How far a build is, as it tells while it works."""

from contextlib import contextmanager

import pytest
from bag_workshop import BagWorkshop, steps_of

from gecko_hf.fret.executors import run_steps
from gecko_hf.fret.recipe import ExecutorRecipe, FRetRecipe
from gecko_hf.fret.steps import write_seeds
from gecko_hf.fret.work import WorkFolder
from gecko_hf.llm import unigram

PART, CANDIDATES = 10, 4


@pytest.fixture
def build(passages, tmp_path, monkeypatch):
    """Builds FRet of the library in parts; returns what each step told, as `{step: [(done, total), ...]}`."""
    monkeypatch.setattr(unigram, "TOLD_EVERY", 5)
    shop = BagWorkshop(passages, FRetRecipe(candidates=CANDIDATES, part=PART))
    work = WorkFolder(str(tmp_path))
    write_seeds(work, range(len(passages)), shop.recipe, shop.seed)
    steps = steps_of(shop, work, len(passages))

    def run():
        said = {}

        @contextmanager
        def report_of(name):
            told = said.setdefault(name, [])
            yield lambda done, total: told.append((done, total))

        run_steps(steps, ExecutorRecipe(), report_of)
        return said

    run.folder = tmp_path
    return run


def test_steps_tell_of_the_seeds_of_all_parts_what_has_been_done(build, passages):
    said = build()
    for name in ("write queries", "judge candidates"):
        told = [done for done, _ in said[name]]
        assert told == sorted(told)
        assert told[-1] == len(passages)
        assert {total for _, total in said[name]} == {len(passages)}
    assert [done for done, _ in said["write queries"]][:4] == [5, 10, 15, 20]  # also within a part
    assert len(said["judge candidates"]) > 3 * len(passages) / PART


def test_a_build_that_goes_on_tells_nothing_of_the_parts_that_are_there(build):
    build()
    (build.folder / "queries" / "00002.jsonl").unlink()
    said = build()
    assert [done for done, _ in said["write queries"]] == [25, 30]
    assert said["judge candidates"] == []
