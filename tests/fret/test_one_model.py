"""A build is written and judged by one model from its first part to its last, whenever it was stopped."""

import shutil

import pytest
from bag_workshop import BagWorkshop, steps_of

from gecko_hf.errors import LLMError
from gecko_hf.fret.recipe import FRetRecipe
from gecko_hf.fret.steps import write_seeds
from gecko_hf.fret.work import WorkFolder
from gecko_hf.llm.two_models import WriterAndJudge


@pytest.fixture
def begin(passages, tmp_path):
    """Opens the steps of one build of two parts, as each start of it would; served by `unigram` at some revision."""

    def begin(revision, judge=None):
        shop = BagWorkshop(passages[:16], FRetRecipe(candidates=4, part=8))
        shop.llm.revision = revision
        if judge:
            shop.llm = WriterAndJudge(shop.llm, BagWorkshop(passages[:16], shop.recipe).llm)
            shop.llm.judging.revision = judge
        work = WorkFolder(str(tmp_path / "work"))
        write_seeds(work, range(16), shop.recipe, 0)
        return [step for step, _ in steps_of(shop, work, 16)]

    begin.work = tmp_path / "work"
    return begin


def test_another_model_is_refused_when_queries_are_still_to_be_written(begin):
    begin("one")[0](None, 0, 2)
    with pytest.raises(LLMError, match=rf"begun with unigram at revision one, .* two answers.*delete {begin.work}"):
        begin("two")[0](None, 1, 2)
    assert not (begin.work / "queries" / "00001.jsonl").exists()


def test_another_model_is_refused_when_candidates_are_still_to_be_judged(begin):
    write, drop, _ = begin("one")
    for step, rank in ((write, 0), (write, 1), (drop, 0)):
        step(None, rank, 2)
    with pytest.raises(LLMError, match="at revision one, and now unigram at revision two"):
        begin("two")[2](None, 0, 2)


def test_another_judge_of_two_models_is_refused(begin):
    begin("one", judge="j1")[0](None, 0, 2)
    with pytest.raises(LLMError, match=r"revision one \(queries\), j1 \(scores\), and now"):
        begin("one", judge="j2")[0](None, 1, 2)


def test_the_same_model_goes_on_and_another_may_begin_anew(begin):
    begin("one")[0](None, 0, 2)
    begin("one")[0](None, 1, 2)
    shutil.rmtree(begin.work)
    begin("two")[0](None, 0, 2)
