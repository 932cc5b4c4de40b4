"""`local` against an independent computation in 64 bit."""

import asyncio
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
from causal import MULTI_BYTE, pairs, save_causal_model
from transformers import T5Config

from gecko_hf.errors import BoundaryError, LLMError
from gecko_hf.llm.annotator import PromptedAnnotator
from gecko_hf.llm.base import RELEVANCE_LABELS, PassagePrompt, Sampling
from gecko_hf.llm.fewshot import load_prompts
from gecko_hf.llm.local import LocalModel, require_checkpoint

NATS = 1e-4


@pytest.fixture(scope="module")
def llm(causal_path) -> LocalModel:
    return LocalModel(str(causal_path), device="cpu", batch_tokens=2048)


def together(*coroutines):
    async def run():
        return await asyncio.gather(*coroutines)

    return asyncio.run(run())


def score_all(llm, texts):
    return together(*(llm.score(p + c, [(len(p), len(p + c))]) for p, c in texts))


class TestScores:
    def test_every_token_agrees_with_64_bit_whatever_shares_its_batch(self, llm, reference):
        texts = pairs(32)
        for (prefix, continuation), scores in zip(texts, score_all(llm, texts), strict=True):
            expected = reference.logprobs(prefix, continuation)
            assert scores.spans[0].logprobs == pytest.approx(expected, abs=NATS)
            assert scores.spans[0].mean == pytest.approx(sum(expected) / len(expected), abs=NATS)

    def test_several_spans_of_one_text_cost_one_pass(self, llm, reference):
        (a, b), c = pairs(2)[1], " and more"
        text = a + b + c
        (scores,) = together(llm.score(text, [(len(a), len(a + b)), (len(a + b), len(text)), (len(a), len(text))]))
        assert scores.spans[0].logprobs == pytest.approx(reference.logprobs(a, b), abs=NATS)
        assert scores.spans[1].logprobs == pytest.approx(reference.logprobs(a + b, c), abs=NATS)
        assert scores.spans[2].logprobs == scores.spans[0].logprobs + scores.spans[1].logprobs

    def test_a_whole_text_is_scored_given_its_begin_token(self, llm, reference):
        (scores,) = together(llm.score(MULTI_BYTE[0], [(0, len(MULTI_BYTE[0]))]))
        assert scores.spans[0].logprobs == pytest.approx(reference.logprobs("", MULTI_BYTE[0]), abs=NATS)
        assert scores.prompt_tokens == len(scores.spans[0].logprobs) + 1

    def test_numbers_that_are_not_finite_are_refused(self, causal_path):
        """What a model gives that overflows float16."""
        broken = LocalModel(str(causal_path), device="cpu", batch_tokens=2048)
        broken.model.lm_head.weight.data.fill_(math.nan)
        with pytest.raises(LLMError, match=r"not finite in torch.float32.*llm.dtype=bfloat16 or float32"):
            score_all(broken, pairs(1))

    @pytest.mark.parametrize("cut", ["Query: |next", "Qu|ery", "aa|bb of the"])
    def test_a_span_that_cuts_a_token_is_refused_not_guessed(self, llm, cut):
        before, after = cut.split("|")
        text = f"In bread the oven. {before}{after}"
        at = text.index(before) + len(before)
        ids = llm.tokenizer(text)["input_ids"]
        if ids[: len(llm.tokenizer(text[:at])["input_ids"])] == llm.tokenizer(text[:at])["input_ids"]:
            together(llm.score(text, [(at, len(text))]))
        else:
            with pytest.raises(BoundaryError, match="begin the continuation with a space"):
                together(llm.score(text, [(at, len(text))]))

    @pytest.mark.parametrize("span", [(3, 3), (4, 2), (-1, 2), (0, 99)])
    def test_a_span_that_is_none_is_refused(self, llm, span):
        with pytest.raises(LLMError, match="is not a part of a text of 5 characters"):
            together(llm.score("bread", [span]))

    def test_a_text_longer_than_the_model_is_refused_with_what_to_lower(self, llm):
        with pytest.raises(LLMError, match=r"takes 4096\. Lower corpus\.max_words"):
            together(llm.score("oven " * 5000, [(4, 9)]))

    def test_a_bad_request_does_not_harm_its_neighbours(self, llm, reference):
        async def run():
            good = llm.score("the oven is hot", [(8, 15)])
            return await asyncio.gather(good, llm.score("x", [(0, 9)]), return_exceptions=True)

        good, bad = asyncio.run(run())
        assert good.spans[0].logprobs == pytest.approx(reference.logprobs("the oven", " is hot"), abs=NATS)
        assert isinstance(bad, LLMError)


def test_labels_agree_with_64_bit_whatever_their_number_of_tokens(llm, reference):
    prefix = pairs(1)[0][0] + " something\nRelevance:"
    labels = [f" {label}" for label in RELEVANCE_LABELS]
    found = together(*(llm.score(prefix + label, [(len(prefix), len(prefix + label))]) for label in labels))
    for label, scores in zip(labels, found, strict=True):
        expected = reference.logprobs(prefix, label)
        assert scores.spans[0].total == pytest.approx(sum(expected), abs=NATS * len(expected))


def test_both_scores_of_one_pass_agree_with_64_bit(llm, reference):
    annotator = PromptedAnnotator(llm, load_prompts(), Sampling(), seed=0)
    asked = PassagePrompt("p", "Zürich", "東京の寿司 is ready.", query="where is 寿司 ready?")
    (judged,) = annotator.judge([asked], RELEVANCE_LABELS, one_pass=True)
    before, query = annotator.prompts.relevance_parts(asked)
    assert judged.ql == pytest.approx(fmean(reference.logprobs(before, query)), abs=NATS)
    for label, grade in zip(RELEVANCE_LABELS, judged.grades, strict=True):
        expected = reference.logprobs(f"{before}{query} \nRelevance:", f" {label}")
        assert grade == pytest.approx(sum(expected), abs=NATS * len(expected))


class TestGeneration:
    def test_greedy_is_the_most_likely_token_at_each_step(self, llm, reference):
        prompt = pairs(2)[1][0]
        (done,) = together(llm.generate(prompt, Sampling(temperature=0, max_tokens=8)))
        known, torch = reference.tokenizer(prompt)["input_ids"], reference.torch
        for _ in range(done.completion_tokens):
            known.append(int(reference.model(torch.tensor([known])).logits[0, -1].argmax()))
        assert done.text == reference.tokenizer.decode(known[-done.completion_tokens :], skip_special_tokens=True)
        assert (done.finish_reason, done.completion_tokens) == ("length", 8)

    def test_a_seed_gives_the_same_text_alone_and_in_company(self, llm):
        prompts = [p for p, _ in pairs(6)]
        drawn = [Sampling(temperature=1.0, top_p=0.95, max_tokens=12, seed=i) for i in range(6)]
        company = together(*(llm.generate(p, s) for p, s in zip(prompts, drawn, strict=True)))
        alone = [together(llm.generate(p, s))[0] for p, s in zip(prompts, drawn, strict=True)]
        assert company == alone
        other = together(llm.generate(prompts[0], Sampling(temperature=1.0, top_p=0.95, max_tokens=12, seed=99)))
        assert other != alone[:1]

    def test_draws_follow_the_models_probabilities(self, llm, reference):
        prompt, draws = "In bread the", 300
        done = together(*(llm.generate(prompt, Sampling(temperature=1.0, max_tokens=1, seed=i)) for i in range(draws)))
        torch = reference.torch
        with torch.no_grad():
            logits = reference.model(torch.tensor([reference.tokenizer(prompt)["input_ids"]])).logits[0, -1]
        p = Counter()  # several tokens may read alike
        for token, value in enumerate(logits.softmax(-1).tolist()):
            p[reference.tokenizer.decode([token], skip_special_tokens=True)] += value
        drawn = Counter(d.text for d in done)
        for text, expected in p.most_common(3):
            assert drawn[text] / draws == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws))

    def test_a_stop_string_ends_a_text_and_is_not_part_of_it(self, llm):
        prompt = pairs(2)[1][0]
        (whole,) = together(llm.generate(prompt, Sampling(temperature=0, max_tokens=20)))
        stop = whole.text[6:9]
        (cut,) = together(llm.generate(prompt, Sampling(temperature=0, max_tokens=20, stop=(stop,))))
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.finish_reason == "stop"
        assert cut.completion_tokens <= whole.completion_tokens

    def test_a_text_costs_its_tokens_up_to_the_stop_string_whatever_its_company(self, causal_path, tmp_path):
        folder = Path(shutil.copytree(causal_path, tmp_path / "padded"))
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": "<s>"}))
        llm = LocalModel(str(folder), device="cpu")
        prompts = [p for p, _ in pairs(6)]
        whole = together(*(llm.generate(p, Sampling(temperature=0, max_tokens=20)) for p in prompts))
        stopping = Sampling(temperature=0, max_tokens=20, stop=(whole[1].text[3:5],))
        company = together(*(llm.generate(p, stopping) for p in prompts))
        assert company == [together(llm.generate(p, stopping))[0] for p in prompts]
        assert len({done.completion_tokens for done in company}) > 1

    def test_what_a_checkpoint_would_have_generate_do_is_not_done(self, llm, causal_path, tmp_path):
        folder = Path(shutil.copytree(causal_path, tmp_path / "own-ways"))
        ways = {
            "repetition_penalty": 1.5,
            "no_repeat_ngram_size": 1,
            "suppress_tokens": [*range(300)],
            "min_length": 900,
        }
        (folder / "generation_config.json").write_text(json.dumps({**ways, "eos_token_id": [1, 7]}))
        other = LocalModel(str(folder), device="cpu")
        asked = Sampling(temperature=0, max_tokens=12)
        prompt = pairs(2)[1][0]
        assert together(other.generate(prompt, asked)) == together(llm.generate(prompt, asked))
        assert other._end == [1, 7]  # which say what the model was trained to end with


class TestIdentity:
    def test_the_revision_of_a_folder_is_that_of_its_weights(self, llm, causal_path, tmp_path):
        same = LocalModel(str(save_causal_model(tmp_path / "same")), device="cpu")
        other = LocalModel(str(save_causal_model(tmp_path / "other", seed=1)), device="cpu")
        assert llm.revision == same.revision != other.revision
        assert llm.id == str(causal_path)

    @pytest.mark.parametrize("device", ["gpu", "cuda:99"])
    def test_a_device_that_is_not_there_is_refused_before_weights_are_read(self, causal_path, device):
        with pytest.raises(LLMError, match=rf"llm\.device is '{device}'.*llm\.device=auto"):
            require_checkpoint(str(causal_path), None, device)
        with pytest.raises(LLMError, match=rf"llm\.device is '{device}'"):
            LocalModel(str(causal_path), device=device)

    def test_a_model_that_is_not_causal_is_refused_by_its_configuration(self, causal_path, tmp_path):
        folder = Path(shutil.copytree(causal_path, tmp_path / "t5"))
        T5Config().save_pretrained(folder)
        with pytest.raises(LLMError, match=r"t5.*causal language model.*llm\.model=PATH"):
            require_checkpoint(str(folder), None, "cpu")
        require_checkpoint(str(causal_path), None, "cpu")

    def test_a_package_that_a_tokenizer_lacks_is_told_without_a_traceback(self, causal_path, monkeypatch):
        def lacks(*_, **__):
            raise ImportError("SentencePiece was not found.")

        monkeypatch.setattr("gecko_hf.llm.local.AutoTokenizer.from_pretrained", lacks)
        with pytest.raises(LLMError, match=r"cannot be loaded.*SentencePiece was not found"):
            require_checkpoint(str(causal_path), None, "cpu")

    def test_a_folder_without_a_model_is_refused_with_what_to_give(self, tmp_path):
        with pytest.raises(LLMError, match=r"cannot be loaded as a causal language model.*llm\.model=PATH"):
            LocalModel(str(tmp_path))
