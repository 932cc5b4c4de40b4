"""Few-shot prompts and the annotator that asks them."""

import asyncio
import re
from dataclasses import replace

import pytest
from causal import write_prompts

from gecko_hf.errors import LLMError, ReplyError
from gecko_hf.llm.annotator import PromptedAnnotator, map_in_order
from gecko_hf.llm.base import (
    RELEVANCE_LABELS,
    Capability,
    Completion,
    Judgement,
    PassagePrompt,
    Sampling,
    Scores,
    SpanScore,
)
from gecko_hf.llm.fewshot import load_prompts
from gecko_hf.llm.reply import parse_reply

PASSAGE = PassagePrompt("p1", "Bees", "A hive\n\nholds  honey.")


class Script:
    """A language model that says what the test wants, and remembers what it was asked."""

    id, revision, capabilities = "script", "1", frozenset(Capability)

    def __init__(self, *replies: str | Completion):
        self.replies, self.prompts, self.samplings, self.open = list(replies), [], [], 0

    async def __aenter__(self):
        self.open += 1
        return self

    async def __aexit__(self, *_):
        self.open -= 1

    async def generate(self, prompt, sampling):
        assert self.open
        self.prompts.append(prompt)
        self.samplings.append(sampling)
        reply = self.replies.pop(0)
        return reply if isinstance(reply, Completion) else Completion(reply, "stop", 10, 5)

    async def score(self, text, spans):
        self.prompts.append([text[:start] for start, _ in spans] + [text[start:end] for start, end in spans])
        return Scores(tuple(SpanScore((-1.0, -2.0, -6.0)) for _ in spans), 9)


def annotator(model, **sampling):
    return PromptedAnnotator(model, load_prompts(), Sampling(**sampling), seed=5)


class TestPrompts:
    def test_p_qg_shows_many_different_tasks(self):
        blocks = load_prompts().heads["p_qg"].strip().split("\n\n")[1:]
        tasks = {parse_reply(block[block.index("Task:") :])[0] for block in blocks}
        assert len(tasks) >= 8
        assert all(task.startswith("Given ") for task in tasks)

    def test_the_multilingual_set_shows_queries_in_the_language_of_the_passage_and_tasks_in_english(self):
        prompts = load_prompts("multilingual")
        assert prompts.hashes.keys() == load_prompts().hashes.keys()
        assert not {*prompts.hashes.values()} & {*load_prompts().hashes.values()}
        assert prompts.tasks == load_prompts().tasks
        foreign = [query for task, query in prompts.written if task.isascii() and not query.isascii()]
        assert len(prompts.written) == 12
        assert len(foreign) >= 8

    def test_p_rc_shows_every_grade_and_not_in_one_order(self):
        grades = re.findall("Relevance: (.+)\n", load_prompts().heads["p_rc"])
        assert {*grades} == {*RELEVANCE_LABELS}
        assert grades not in (sorted(grades), sorted(grades, reverse=True))

    def test_what_is_scored_begins_on_a_token_boundary(self):
        prompts = load_prompts()
        assert prompts.likelihood(PASSAGE).endswith("Title: Bees\nPassage: A hive holds honey.\nQuery:")
        asked = PassagePrompt("p1", "", "Text.", query="what\n holds honey")
        assert prompts.relevance(asked).endswith("\n\nPassage: Text.\nQuery: what holds honey\nRelevance:")

    def test_the_head_comes_first_and_is_the_same_for_all_so_that_a_prefix_cache_holds_it(self):
        prompts = load_prompts()
        for name, ask in (("p_qg", prompts.generation), ("p_ql", prompts.likelihood)):
            assert ask(PASSAGE).startswith(prompts.heads[name])

    def test_a_prompts_hash_is_that_of_its_file(self, tmp_path):
        package = load_prompts()
        folder = write_prompts(tmp_path)
        assert load_prompts(str(folder)).hashes["p_ql"] != package.hashes["p_ql"]
        assert {len(v) for v in package.hashes.values()} == {16}

    @pytest.mark.parametrize("broken", ["p_ql", "p_rc"])
    def test_a_folder_with_a_broken_prompt_is_refused_by_name(self, tmp_path, broken):
        folder = write_prompts(tmp_path)
        (folder / f"{broken}.yaml").write_text("instruction: x\nexamples: [{text: a, query: b, label: Great}]\n")
        if broken == "p_ql":
            (folder / "p_ql.yaml").unlink()
        with pytest.raises(LLMError, match=rf"{broken}\.yaml is no few-shot prompt"):
            load_prompts(str(folder))

    def test_a_prompt_without_examples_is_refused(self, tmp_path):
        folder = write_prompts(tmp_path)
        (folder / "p_qg.yaml").write_text("instruction: Write.\nexamples: []\n")
        with pytest.raises(LLMError, match=r"p_qg\.yaml is no few-shot prompt: ValueError `examples` is empty"):
            load_prompts(str(folder))

    def test_tasks_that_are_left_empty_are_none(self, tmp_path):
        folder = write_prompts(tmp_path)
        with (folder / "p_qg.yaml").open("a") as file:
            file.write("tasks:\n")
        assert load_prompts(str(folder)).tasks == {}


class TestWriting:
    def test_a_free_task_is_written_by_the_model(self):
        model = Script(" Given a question, find an answer\nQuery: who holds honey?")
        assert annotator(model).generate([PASSAGE]) == [
            "Task: Given a question, find an answer\nQuery: who holds honey?"
        ]
        assert model.prompts[0].endswith("honey.\nTask:")
        assert model.samplings[0].stop == ("\n\n",)

    def test_a_given_task_is_read_as_a_sentence_and_kept_under_its_name(self):
        model = Script(" honey storage ")
        asked = PassagePrompt("p1", "Bees", "A hive.", task="search result")
        assert annotator(model).generate([asked]) == ["Task: search result\nQuery: honey storage"]
        assert "might show up as a search result\nQuery:" in model.prompts[0][-90:]
        assert model.samplings[0].stop == ("\n",)

    def test_a_reply_that_does_not_parse_is_asked_for_once_more_with_another_seed(self):
        model = Script("nothing", " A task\nQuery: fine")
        assert annotator(model, temperature=0.0).generate([PASSAGE]) == ["Task: A task\nQuery: fine"]
        first, second = model.samplings
        assert first.seed != second.seed
        assert (first.temperature, second.temperature) == (0.0, 0.7)  # a greedy model would repeat itself

    def test_a_second_one_is_returned_so_that_its_reason_can_be_told(self):
        (reply,) = annotator(Script("nothing", "again nothing")).generate([PASSAGE])
        with pytest.raises(ReplyError, match="again nothing"):
            parse_reply(reply)

    def test_a_query_that_was_cut_off_is_not_taken_for_a_whole_one(self):
        cut = Completion(" A task\nQuery: who holds the", "length", 10, 96)
        (reply,) = annotator(Script(cut, cut)).generate([PASSAGE])
        with pytest.raises(ReplyError, match="cut after 96 tokens"):
            parse_reply(reply)

    def test_seeds_depend_on_the_passage_and_not_on_its_place(self):
        model = Script(*[" T\nQuery: q"] * 3)
        other = PassagePrompt("p2", "", "x")
        annotator(model).generate([PASSAGE, other])
        annotator(model).generate([PASSAGE])
        assert model.samplings[0].seed == model.samplings[2].seed != model.samplings[1].seed


def test_query_likelihood_is_the_mean_over_the_querys_tokens_alone():
    model = Script()
    (judged,) = annotator(model).judge([replace(PASSAGE, query="who\nholds  honey")], RELEVANCE_LABELS)
    assert judged.ql == -3.0
    assert model.prompts[-1] == [load_prompts().likelihood(PASSAGE), " who holds honey"]


def test_a_label_follows_its_prompt_after_a_space_and_all_its_tokens_count():
    model = Script()
    asked = PassagePrompt("p1", "", "x", query="q")
    (judged,) = annotator(model).judge([asked], RELEVANCE_LABELS)
    assert judged.grades == (-9.0,) * 3
    assert model.prompts[:-1] == [[load_prompts().relevance(asked), f" {label}"] for label in RELEVANCE_LABELS]
    with pytest.raises(ValueError, match="no query"):
        annotator(model).judge([PASSAGE], RELEVANCE_LABELS)


def test_all_requests_of_a_pair_are_under_way_together():
    class Waiting(Script):
        async def score(self, text, spans):
            self.under_way = getattr(self, "under_way", 0) + 1
            for _ in range(1000):
                if self.under_way == 8:
                    break
                await asyncio.sleep(0)
            assert self.under_way == 8
            return await super().score(text, spans)

    model = Waiting()
    annotator(model).judge([replace(PASSAGE, query="q"), replace(PASSAGE, query="r")], RELEVANCE_LABELS)
    assert len(model.prompts) == 8


def test_in_one_pass_the_end_of_the_query_is_no_part_of_a_longer_token():
    """Llama 3's and Qwen's tokenizers take signs and the ends of lines behind them for one token."""
    asked = replace(PASSAGE, query="what holds honey?")
    text = load_prompts().relevance(asked, apart=True)
    pieces = re.findall(r" ?[^\s\w]+[\r\n]*|\s*[\r\n]+|\s?\w+|\s+", text)  # of cl100k's rule, what matters here
    assert "".join(pieces) == text
    assert pieces[-4:] == ["?", " \n", "Relevance", ":"]


def test_one_pass_reads_the_query_from_the_first_labels_prompt():
    model = Script()
    asked = PassagePrompt("p1", "Bees", "A hive.", query="who\nholds  honey")
    assert annotator(model).judge([asked], RELEVANCE_LABELS, one_pass=True) == [Judgement(-3.0, (-9.0,) * 3)]
    whole = load_prompts().relevance(asked, apart=True)
    before = whole[: whole.rindex(" who holds honey")]
    assert [seen[len(seen) // 2 :] for seen in model.prompts] == [
        [f" {RELEVANCE_LABELS[0]}", " who holds honey"], *([f" {label}"] for label in RELEVANCE_LABELS[1:])
    ]  # fmt: skip
    assert model.prompts[0][:2] == [whole, before]


def test_provenance_names_sampling_seed_and_prompts():
    settings = annotator(Script(), temperature=0.3).settings
    assert settings["sampling"]["temperature"] == 0.3
    assert settings["prompts"] == load_prompts().hashes
    assert settings["seed"] == 5


def test_answers_keep_the_order_of_the_questions_whatever_ends_first():
    async def ask(item: int) -> int:
        await asyncio.sleep(0.001 * (item * 7 % 5))
        return item

    assert asyncio.run(map_in_order(ask, range(50), window=8)) == list(range(50))


def test_who_waits_is_told_after_each_answer_how_many_there_are():
    async def ask(item: int) -> None:
        await asyncio.sleep(0.001 * (item * 7 % 5))

    told: list[int] = []
    asyncio.run(map_in_order(ask, range(20), window=8, told=told.append))
    assert told == list(range(1, 21))


def test_writing_and_judging_tell_how_far_they_are():
    told: list[int] = []
    annotator(Script(*["query: x"] * 3)).generate([replace(PASSAGE, task="search result")] * 3, told=told.append)
    annotator(Script()).judge([replace(PASSAGE, query="q")] * 2, RELEVANCE_LABELS, told=told.append)
    assert told == [1, 2, 3, 1, 2]


def test_answers_are_read_before_all_questions_are_made_ready():
    answered = 0
    ready: list[int] = []

    async def ask(item: int) -> None:
        nonlocal answered
        ready.append(answered)
        await asyncio.sleep(0)
        answered += 1

    asyncio.run(map_in_order(ask, range(500), window=500))
    assert ready[100] > 0


def test_no_more_items_than_the_window_are_asked_for_at_a_time():
    waiting, most = 0, 0

    async def ask(item: int) -> None:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0.001)
        waiting -= 1

    asyncio.run(map_in_order(ask, range(100), window=24))
    assert most == 24


def test_the_first_error_ends_the_rest():
    started = []

    async def ask(item: int) -> int:
        started.append(item)
        await asyncio.sleep(0)
        if item == 3:
            raise LLMError("dead")
        return item

    with pytest.raises(LLMError, match="dead"):
        asyncio.run(map_in_order(ask, range(1000), window=4))
    assert len(started) < 20
