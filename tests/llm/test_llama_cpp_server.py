"""`openai` against a real llama-cpp-python server, held to an independent computation in 64 bit.

Optional: needs a second Python environment, in which llama-cpp-python is compiled (about ten minutes on two cores):

    python3 -m venv ../llama
    CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF" ../llama/bin/pip install 'llama-cpp-python[server]'
    GECKO_LLAMA_PYTHON=$PWD/../llama/bin/python .venv/bin/pytest tests/llm/test_llama_cpp_server.py

Without GECKO_LLAMA_PYTHON everything here is skipped. The server's model is the tests' tiny Llama, written as GGUF in 32 bit;
its cache is 32 bit too: with the default one of 16 bit a query's mean is off by up to 7e-4 nats, which the probe refuses.
Written with llama-cpp-python 0.3.36 and gguf 0.19.0.
"""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

import httpx2
import pytest
from causal import MULTI_BYTE, TEXTS, Reference, pairs, write_prompts
from gguf_file import write_gguf
from test_endpoints import scores

from gecko_hf.errors import LLMError
from gecko_hf.llm.annotator import PromptedAnnotator
from gecko_hf.llm.base import RELEVANCE_LABELS, LanguageModel, PassagePrompt
from gecko_hf.llm.budget import BudgetRecipe
from gecko_hf.llm.open import open_annotator
from gecko_hf.llm.recipe import LLMRecipe, check_llm

PYTHON = os.environ.get("GECKO_LLAMA_PYTHON", "")
NATS = 1e-4
CONTEXT = 1024  # tokens
PARALLEL = 32
START, STOP = 60.0, 30.0  # seconds that the server may take
LABELS = [f" {label}" for label in RELEVANCE_LABELS]

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="GECKO_LLAMA_PYTHON does not name a Python with llama-cpp-python[server]"
)


@contextmanager
def llama_cpp_server(model: Path, log: Path) -> Iterator[str]:
    """A llama-cpp-python server in a process of its own, started as `docs/llm.md` says; gives its base URL.

    Args:
        model: The GGUF file.
        log: Where its output goes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        PYTHON, "-m", "llama_cpp.server", "--model", str(model), "--host", "127.0.0.1", "--port", str(port),
        "--n_ctx", str(CONTEXT), "--logits_all", "true", "--type_k", "0", "--type_v", "0", "--n_threads", "1",
    ]  # fmt: skip
    # Any of its settings may come from the environment, PORT even in spite of --port: it gets no more than it needs.
    env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=env) as child:
        try:
            wait_for(url := f"http://127.0.0.1:{port}", child, log)
            yield url
        finally:
            child.terminate()
            try:
                child.wait(STOP)
            except subprocess.TimeoutExpired:
                child.kill()


def wait_for(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server lists its model; fail with its output if it ends, or takes too long."""
    end = time.monotonic() + START
    while child.poll() is None and time.monotonic() < end:
        try:
            if httpx2.get(f"{url}/v1/models", timeout=5.0).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    pytest.fail(f"The server does not answer:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")


@pytest.fixture(scope="module")
def url(causal_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("llama-cpp")
    with llama_cpp_server(write_gguf(causal_path, folder), folder / "server.log") as url:
        yield url


@pytest.fixture(scope="module", params=[False, True], ids=["server-tokens", "own-tokens"])
def judge(
    request, url: str, causal_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PromptedAnnotator]:
    """The backend as a recipe's run opens it: probed alone, under load, and beside the same model in this process.

    The probe tolerates no more than these tests do.
    """
    folder = tmp_path_factory.mktemp("judge")
    recipe = LLMRecipe(
        backend="openai",
        url=url,
        model="tiny-llama",
        prompts=str(write_prompts(folder / "prompts")),
        tokenizer=str(causal_path) if request.param else None,
        reference=str(causal_path),
        tolerance=NATS,
        concurrency=PARALLEL,
        give_up=30.0,
    )
    check_llm(recipe, "test")
    judge = open_annotator(recipe, BudgetRecipe(), seed=0, collection=list, answers=folder / "answers.sqlite")
    assert isinstance(judge, PromptedAnnotator)
    yield judge
    judge.model.answers.close()


@pytest.fixture
def llm(judge: PromptedAnnotator) -> LanguageModel:
    return judge.model


def test_32_parallel_scores_agree_with_64_bit_in_every_token(llm: LanguageModel, reference: Reference):
    texts = pairs(PARALLEL)
    assert {len(character.encode()) for _, query in texts for character in query} == {1, 2, 3, 4}
    for (prefix, query), score in zip(texts, scores(llm, texts), strict=True):
        assert score.spans[0].logprobs == pytest.approx(reference.logprobs(prefix, query), abs=NATS)


@pytest.mark.parametrize("first", ["é", "東", "🐍"])
def test_a_text_may_begin_with_a_character_of_several_tokens(llm: LanguageModel, reference: Reference, first: str):
    prefix, query = f"{first} {MULTI_BYTE[0]}\nQuery:", f" {first}{first} is ready"
    (found,) = scores(llm, [(prefix, query)])
    assert found.spans[0].logprobs == pytest.approx(reference.logprobs(prefix, query), abs=NATS)


def test_every_label_agrees_with_64_bit_whatever_its_number_of_tokens(llm: LanguageModel, reference: Reference):
    prefixes = [f"{passage} what\nRelevance:" for passage, _ in pairs(6)]
    texts = [(prefix, label) for prefix in prefixes for label in LABELS]
    for (prefix, label), found in zip(texts, scores(llm, texts), strict=True):
        assert found.spans[0].total == pytest.approx(sum(reference.logprobs(prefix, label)), abs=NATS)


def test_query_likelihoods_and_grades_of_frets_prompts_agree_with_64_bit(
    judge: PromptedAnnotator, reference: Reference
):
    queries = ["where is 寿司 ready?", "что несёт 🐍", "which comes first in chess?"]
    asked = [PassagePrompt(str(i), "Zürich", TEXTS[i], query=query) for i, query in enumerate(queries)]
    for prompt, query, judged in zip(asked, queries, judge.judge(asked, RELEVANCE_LABELS), strict=True):
        of_query = reference.logprobs(judge.prompts.likelihood(prompt), f" {query}")
        of_labels = [sum(reference.logprobs(judge.prompts.relevance(prompt), label)) for label in LABELS]
        assert judged.ql == pytest.approx(fmean(of_query), abs=NATS)
        assert judged.grades == pytest.approx(of_labels, abs=NATS)


def test_a_text_beyond_the_context_is_refused_in_the_servers_words_and_its_neighbour_is_scored(
    llm: LanguageModel, reference: Reference
):
    long, short = ("oven " * CONTEXT + "Query:", " bread"), ("In bread the oven\nQuery:", " bread")
    refused, found = scores(llm, [long, short], return_exceptions=True)
    assert isinstance(refused, LLMError)
    assert re.search(f"/v1/completions answered 400: .*maximum context length is {CONTEXT} tokens", str(refused))
    assert found.spans[0].logprobs == pytest.approx(reference.logprobs(*short), abs=NATS)
