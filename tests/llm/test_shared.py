"""Texts of one batch that begin alike: fewer tokens go through the model, and every score is that of the whole text."""

import asyncio
import shutil
from pathlib import Path
from statistics import fmean

import pytest
import torch
import yaml
from causal import MULTI_BYTE, TEXTS, Reference
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BloomConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    RobertaConfig,
)

from gecko_hf.llm.annotator import PromptedAnnotator
from gecko_hf.llm.base import RELEVANCE_LABELS, PassagePrompt, Sampling
from gecko_hf.llm.fewshot import FewShotPrompts, load_prompts
from gecko_hf.llm.local import LocalModel
from gecko_hf.llm.shared import begin_alike, can_share

NATS = 1e-4
WRITTEN = 8  # tokens
ASKED = [
    PassagePrompt(str(i), "Zürich" if i % 3 else "", text, query=query)
    for i, (text, query) in enumerate(zip([*TEXTS[:6], *MULTI_BYTE], [*TEXTS[6:13], MULTI_BYTE[0]], strict=True))
]


def gpt2(causal_path: Path, folder: Path, prompts: FewShotPrompts) -> Path:
    """Learned positions, no more than the longest of the texts below needs."""
    shutil.copytree(causal_path, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [f"{prompts.relevance(asked, apart=True)} {label}" for asked in ASKED for label in RELEVANCE_LABELS]
    longest = max(
        *(len(tokenizer(text)["input_ids"]) for text in texts),
        *(len(tokenizer(prompts.generation(asked))["input_ids"]) + WRITTEN for asked in ASKED[:5]),
    )
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=600, n_embd=32, n_layer=2, n_head=4, n_positions=longest, initializer_range=0.2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def mistral(causal_path: Path, folder: Path, _: FewShotPrompts) -> Path:
    """A window of 16 tokens."""
    shutil.copytree(causal_path, folder)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=600,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=16,
        initializer_range=0.2,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> FewShotPrompts:
    """Each prompt begins with two examples, some hundred tokens."""
    folder = tmp_path_factory.mktemp("prompts")
    examples = [
        {"text": text, "query": query, "task": "Given x, find y", "label": label}
        for text, query, label in zip(TEXTS[13:15], TEXTS[15:17], RELEVANCE_LABELS, strict=False)
    ]
    for name in ("p_qg", "p_ql", "p_rc"):
        tree = {"instruction": f"Do what {name} says.", "examples": examples}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    return load_prompts(str(folder))


@pytest.fixture(scope="module", params=["llama", "gpt2", "mistral"])
def checkpoint(request, causal_path, prompts, tmp_path_factory) -> Path:
    if request.param == "llama":
        return causal_path
    make = {"gpt2": gpt2, "mistral": mistral}[request.param]
    return make(causal_path, tmp_path_factory.mktemp("lm") / request.param, prompts)


def tokens_of(llm: LocalModel, work) -> int:
    """Tokens that went through the model, padding included."""
    counted = []
    hook = llm.model.get_input_embeddings().register_forward_pre_hook(lambda _, given: counted.append(given[0].numel()))
    try:
        work()
    finally:
        hook.remove()
    return sum(counted)


@pytest.mark.parametrize("one_pass", [False, True])
def test_judgements_agree_with_whole_texts_in_64_bit(checkpoint, prompts, one_pass):
    annotator = PromptedAnnotator(LocalModel(str(checkpoint), device="cpu"), prompts, Sampling(), seed=0)
    reference = Reference(checkpoint)
    for asked, judged in zip(ASKED, annotator.judge(ASKED, RELEVANCE_LABELS, one_pass=one_pass), strict=True):
        before, query = annotator.prompts.relevance_parts(asked)
        if not one_pass:
            before = annotator.prompts.likelihood(asked)
        assert judged.ql == pytest.approx(fmean(reference.logprobs(before, query)), abs=NATS)
        for label, grade in zip(RELEVANCE_LABELS, judged.grades, strict=True):
            expected = reference.logprobs(annotator.prompts.relevance(asked, apart=one_pass), f" {label}")
            assert grade == pytest.approx(sum(expected), abs=NATS * len(expected))


def test_what_is_written_does_not_depend_on_who_begins_alike(checkpoint, prompts):
    llm = LocalModel(str(checkpoint), device="cpu")
    texts = [prompts.generation(asked) for asked in ASKED[:5]]
    draws = [Sampling(temperature=1.0, max_tokens=WRITTEN, seed=i) for i in range(5)]

    async def written(numbers):
        return await asyncio.gather(*(llm.generate(texts[i], draws[i]) for i in numbers))

    together = asyncio.run(written(range(5)))
    assert together == [asyncio.run(written([i]))[0] for i in range(5)]
    assert len({done.text for done in together}) > 1


def test_examples_and_passages_are_read_once_for_a_batch(causal_path, prompts):
    llm = LocalModel(str(causal_path), device="cpu", batch_tokens=100_000)
    annotator = PromptedAnnotator(llm, prompts, Sampling(), seed=0)
    shared = tokens_of(llm, lambda: annotator.judge(ASKED, RELEVANCE_LABELS))
    llm._shares = False
    whole = tokens_of(llm, lambda: annotator.judge(ASKED, RELEVANCE_LABELS))
    heads = [len(llm.tokenizer(annotator.prompts.heads[name])["input_ids"]) for name in ("p_ql", "p_rc")]
    own = max(len(llm.tokenizer(f"{a.title}{a.text}{a.query}")["input_ids"]) for a in ASKED)
    assert whole > len(ASKED) * (heads[0] + 3 * heads[1])
    # Of each pair QL's passage and query, RC's, and three labels, padded; of each kind one head.
    assert shared < sum(heads) + len(ASKED) * (2 * (own + 20) + 3 * 20)


def test_examples_are_read_once_for_a_batch_that_is_written(causal_path, prompts):
    llm = LocalModel(str(causal_path), device="cpu", batch_tokens=100_000)
    texts = [prompts.generation(asked) for asked in ASKED]

    async def write():
        await asyncio.gather(*(llm.generate(text, Sampling(temperature=0, max_tokens=2)) for text in texts))

    read = tokens_of(llm, lambda: asyncio.run(write()))
    head = len(llm.tokenizer(prompts.heads["p_qg"])["input_ids"])
    own = max(len(llm.tokenizer(text)["input_ids"]) for text in texts) - head
    assert read <= head + len(texts) * (own + 4)


def test_texts_that_do_not_begin_alike_are_read_whole(causal_path, reference):
    llm = LocalModel(str(causal_path), device="cpu")

    async def score():
        return await asyncio.gather(*(llm.score(text, [(0, len(text))]) for text in MULTI_BYTE))

    for text, scores in zip(MULTI_BYTE, asyncio.run(score()), strict=True):
        assert scores.spans[0].logprobs == pytest.approx(reference.logprobs("", text), abs=NATS)


def test_only_texts_that_begin_alike_are_read_apart_from_their_batch():
    one, other, short = list(range(40)), [9, *range(39)], [1, 2]
    texts = [[*one, 1], [*other, 1], [*one, 2], short, [*one, 3], [*other, 2], [*one, 4]]
    assert begin_alike(texts) == [[0, 2, 4, 6], [1, 5, 3]]


TINY = {"vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
FACTORS = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("config", "shares"),
    [
        (LlamaConfig(**TINY), True),
        (GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=2), True),
        (MistralConfig(**TINY, num_key_value_heads=2, sliding_window=None), True),
        (MistralConfig(**TINY, num_key_value_heads=2, sliding_window=4096), False),
        (GPTNeoConfig(vocab_size=128, hidden_size=32, num_layers=2, attention_types=[[["global", "local"], 1]]), False),
        (Phi3Config(**TINY, pad_token_id=0, rope_parameters={"rope_type": "longrope", **FACTORS}), False),
        (RobertaConfig(**TINY, is_decoder=True), False),
        (BloomConfig(vocab_size=128, hidden_size=32, n_layer=2, n_head=2), False),
        (MambaConfig(vocab_size=128, hidden_size=32, num_hidden_layers=2), False),
    ],
    ids=["llama", "gpt2", "no window", "window", "window of its own", "scaled", "from 2", "no positions", "recurrent"],
)
def test_only_keys_and_values_of_every_token_at_its_position_are_shared(config, shares):
    torch.manual_seed(0)
    config.initializer_range = 0.2
    assert can_share(AutoModelForCausalLM.from_config(config).eval()) is shares
