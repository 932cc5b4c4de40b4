"""Every answer is kept once under what produced it, and never asked for again."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from gecko_hf.errors import BudgetError, LLMError, OutputError
from gecko_hf.llm.answers import Answers, StoredModel
from gecko_hf.llm.base import Capability, Completion, Sampling, Scores, SpanScore
from gecko_hf.llm.budget import MILLION, Budget, BudgetRecipe


class Counted:
    """Answers with what it was asked, and counts."""

    capabilities = frozenset(Capability)

    def __init__(self, id="m", revision="1"):
        self.id, self.revision, self.asked = id, revision, []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def generate(self, prompt, sampling):
        self.asked.append(prompt)
        return Completion(f"{prompt} ünd {sampling.seed}", "stop", 3, 2)

    async def score(self, text, spans):
        self.asked.append(text)
        return Scores(tuple(SpanScore((-0.1 * end, -1 / 3)) for _, end in spans), 7)


def ask(stored, *coroutines):
    async def run():
        async with stored:
            return [await c for c in coroutines]

    return asyncio.run(run())


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deep" / "answers.sqlite"


def everything(stored):
    return ask(
        stored,
        stored.generate("p", Sampling(seed=1)),
        stored.score("abcdef", [(1, 3), (3, 6)]),
        stored.score("x a", [(1, 3)]),
        stored.score("x bb", [(1, 4)]),
    )


def test_a_second_process_gets_the_same_answers_to_the_last_bit_without_asking(file):
    first, second = Counted(), Counted()
    before = StoredModel(first, Answers(file))
    answers = everything(before)
    before.answers.close()
    after = StoredModel(second, Answers(file))
    assert everything(after) == answers
    assert second.asked == []
    assert (before.usage.requests, before.usage.reused, before.usage.prompt_tokens) == (4, 0, 3 + 7 * 3)
    assert (after.usage.requests, after.usage.reused, after.usage.completion_tokens) == (0, 4, 0)
    after.answers.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda m, s: (Counted(id="other"), s),
        lambda m, s: (Counted(revision="2"), s),
        lambda m, s: (m, replace(s, temperature=0.1)),
        lambda m, s: (m, replace(s, seed=2)),
        lambda m, s: (m, replace(s, stop=("\n",))),
    ],
    ids=["id", "revision", "temperature", "seed", "stop"],
)
def test_another_model_or_sampling_is_another_answer(file, change):
    model, sampling = Counted(), Sampling(seed=1)
    answers = Answers(file)
    ask(StoredModel(model, answers), StoredModel(model, answers).generate("p", sampling))
    other, changed = change(Counted(), sampling)
    stored = StoredModel(other, answers)
    ask(stored, stored.generate("p", changed))
    assert other.asked == ["p"]
    assert len(answers) == 2
    answers.close()


def test_a_kill_loses_no_answer_that_was_given(file):
    script = (
        "from pathlib import Path; from gecko_hf.llm.answers import Answers\n"
        f"answers = Answers(Path({str(file)!r}))\n"
        "for i in range(10**9):\n answers.put(str(i), i)\n print(i, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    seen = [int(child.stdout.readline()) for _ in range(200)]
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    answers = Answers(file)
    assert [answers.get(str(i)) for i in seen] == seen
    answers.close()


def test_a_new_store_waits_for_a_process_that_is_opening_it(file):
    file.parent.mkdir()
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")  # a switch to write-ahead mode now fails at once
        later = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        later.start()
        answers = Answers(file)
        later.join()
    assert answers.put("k", "v") == "v"
    answers.close()


def test_a_file_that_is_no_store_is_told_without_a_traceback(file):
    file.parent.mkdir()
    file.write_text("no database" * 100)
    with pytest.raises(OutputError, match=r"answers.sqlite cannot be opened: file is not a database"):
        Answers(file)


def test_a_store_that_is_locked_for_too_long_is_told_without_a_traceback(file, monkeypatch):
    Answers(file).close()
    monkeypatch.setattr("gecko_hf.llm.answers.BUSY_SECONDS", 0)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutputError, match=r"cannot be opened: it has been locked for 0 seconds\. Make room"):
            Answers(file)


def test_a_store_that_cannot_be_read_is_told_without_a_traceback(file):
    answers = Answers(file)
    answers._db.execute("DROP TABLE answers")
    answers._db.execute("DROP TABLE usage")
    with pytest.raises(OutputError, match=r"cannot be read: no such table: answers"):
        answers.get("k")
    with pytest.raises(OutputError, match=r"cannot be read: no such table: usage"):
        answers.spent()
    answers.close()


def test_two_writers_agree_on_the_first_answer(file):
    one, two = Answers(file), Answers(file)
    assert one.put("k", "first") == "first"
    assert two.put("k", "second") == "first"
    assert one.get("k") == two.get("k") == "first"
    one.close()
    two.close()


def test_a_question_that_is_asked_twice_at_once_is_paid_once_and_answered_alike(file):
    class Fickle(Counted):
        async def generate(self, prompt, sampling):
            self.asked.append(prompt)
            await asyncio.sleep(0.01)
            return Completion(f"reply {len(self.asked)}", "stop", 3, 2)

    model = Fickle()
    stored = StoredModel(model, Answers(file))

    async def run():
        async with stored:
            return await asyncio.gather(*(stored.generate("p", Sampling(seed=1)) for _ in range(3)))

    assert [done.text for done in asyncio.run(run())] == ["reply 1"] * 3
    assert (stored.usage.requests, stored.usage.reused) == (1, 2)
    stored.answers.close()


def test_a_question_whose_first_asking_fails_is_asked_again(file):
    class Failing(Counted):
        async def generate(self, prompt, sampling):
            self.asked.append(prompt)
            await asyncio.sleep(0.01)
            if len(self.asked) == 1:
                raise LLMError("broken")
            return Completion("reply", "stop", 3, 2)

    stored = StoredModel(Failing(), Answers(file))

    async def run():
        async with stored:
            asked = (stored.generate("p", Sampling(seed=1)) for _ in range(2))
            return await asyncio.gather(*asked, return_exceptions=True)

    first, second = asyncio.run(run())
    assert isinstance(first, LLMError)
    assert second.text == "reply"
    stored.answers.close()


@pytest.mark.parametrize(("most", "asked"), [(1.0, 1), (100.0, 5)])
def test_the_most_money_is_not_passed_before_the_first_answer_tells_what_one_costs(file, most, asked):
    class Slow(Counted):
        async def generate(self, prompt, sampling):
            done = await super().generate(prompt, sampling)
            await asyncio.sleep(0.01)
            return done

    model = Slow()
    stored = StoredModel(model, Answers(file), Budget(BudgetRecipe(prompt_price=MILLION / 3, max_cost=most)))

    async def run():
        async with stored:
            prompts = (stored.generate(f"p{i}", Sampling(seed=1)) for i in range(5))
            return await asyncio.gather(*prompts, return_exceptions=True)

    found = asyncio.run(run())
    assert len(model.asked) == asked
    assert sum(isinstance(done, BudgetError) for done in found) == 5 - asked
    stored.answers.close()


def test_half_a_character_that_a_model_wrote_is_kept(file):
    answers = Answers(file)
    answers.put("k", "\ud83d")
    assert answers.get("k") == "\ud83d"
    answers.close()


def test_a_store_that_cannot_be_written_says_what_to_do_and_takes_the_next_answer(file):
    answers = Answers(file)
    answers._db.execute("PRAGMA max_page_count = 8")  # as a disk that is full
    with pytest.raises(OutputError, match=r"cannot be written: database or disk is full\. Make room"):
        answers.put("k", "x" * 100_000)
    assert answers.put("small", "y") == "y"
    answers.close()
