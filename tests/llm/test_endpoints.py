"""TGI, OpenAI-style servers and SGLang, over test servers that serve the same tiny model."""

import asyncio
import logging
import random
import traceback

import pytest
from causal import pairs
from servers import HashModel, TestServer, TorchModel

from gecko_hf.errors import BoundaryError, EndpointError, LLMError
from gecko_hf.llm.base import RELEVANCE_LABELS, Sampling
from gecko_hf.llm.endpoints.http import Connections
from gecko_hf.llm.endpoints.model import READY
from gecko_hf.llm.endpoints.openai import OpenAIModel
from gecko_hf.llm.endpoints.secret import Secret
from gecko_hf.llm.endpoints.sglang import SGLangModel
from gecko_hf.llm.endpoints.tgi import TGIModel
from gecko_hf.llm.endpoints.transport import Failure

NATS = 1e-4
BACKENDS = {"tgi": TGIModel, "vllm": OpenAIModel, "llama": OpenAIModel, "sglang": SGLangModel}
each_server = pytest.mark.parametrize("flavour", BACKENDS)


def client(server, **options):
    return BACKENDS[server.flavour]([server.url], model="served", **options)


def together(llm, *asked, **how):
    """Run what the functions start, all at once, in one session."""

    async def run():
        async with llm:
            return await asyncio.gather(*(start() for start in asked), **how)

    return asyncio.run(run())


def scores(llm, texts, **how):
    return together(llm, *(lambda p=p, c=c: llm.score(p + c, [(len(p), len(p + c))]) for p, c in texts), **how)


@pytest.fixture(scope="module")
def served(causal_path):
    return TorchModel(causal_path)


@each_server
@pytest.mark.parametrize("own_tokenizer", [False, True], ids=["server-tokens", "own-tokens"])
def test_32_parallel_scores_agree_with_64_bit_in_every_token(flavour, own_tokenizer, served, reference, causal_path):
    texts = pairs(32)
    with TestServer(flavour, served) as server:
        llm = client(server, tokenizer=str(causal_path) if own_tokenizer else None)
        found = scores(llm, texts)
        asked_for_tokens = sum(n for path, n in server.requests.items() if "tokenize" in path)
    for (prefix, continuation), score in zip(texts, found, strict=True):
        assert score.spans[0].logprobs == pytest.approx(reference.logprobs(prefix, continuation), abs=NATS)
    assert (asked_for_tokens == 0) == own_tokenizer


def test_texts_are_made_ready_as_places_become_free_and_special_tokens_are_looked_at_once(causal_path, monkeypatch):
    llm = OpenAIModel(["http://127.0.0.1:9"], model="m", tokenizer=str(causal_path), concurrency=3)
    counted: list[str] = []
    count = llm.tokens._count
    monkeypatch.setattr(llm.tokens, "_count", lambda texts: counted.extend(texts) or count(texts))

    async def session():
        gate = asyncio.Event()

        async def answer(url, text, ids):
            await gate.wait()
            return [None, *[-1.0] * (len(ids) - 1)]

        monkeypatch.setattr(llm, "_prompt_logprobs", answer)
        async with llm:
            asked = [
                asyncio.create_task(llm.score(f"{p} {i}{c}", [(len(p), len(p) + 2)])) for i, (p, c) in enumerate(texts)
            ]
            while sum("bread" in text for text in counted) < READY * 3:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # time in which all others could be counted, were they let in
            ready = set(counted)
            gate.set()
            await asyncio.gather(*asked)
        return ready

    texts = [("Query:", " bread")] * 40
    ready = asyncio.run(session())
    assert len([text for text in ready if "bread" in text]) == READY * 3
    assert len([text for text in counted if "bread" in text]) == 40
    assert [counted.count(text) for text in ("a", "7")] == [1, 1]


@each_server
def test_labels_agree_with_64_bit(flavour, served, reference):
    prefix, labels = pairs(1)[0][0] + " what\nRelevance:", [f" {label}" for label in RELEVANCE_LABELS]
    with TestServer(flavour, served) as server:
        llm = client(server)
        found = scores(llm, [(prefix, label) for label in labels])
    for label, score in zip(labels, found, strict=True):
        expected = reference.logprobs(prefix, label)
        assert score.spans[0].total == pytest.approx(sum(expected), abs=NATS * len(expected))


@each_server
def test_a_greedy_completion_ends_before_the_stop_string(flavour):
    with TestServer(flavour) as server:
        llm = client(server)
        how = Sampling(temperature=0, max_tokens=50, stop=("\n",))
        done, cut = together(
            llm,
            lambda: llm.generate("Query:", how),
            lambda: llm.generate("Query:", Sampling(temperature=0, max_tokens=4)),
        )
    assert done.text.startswith(" words ")
    assert "\n" not in done.text
    assert done.finish_reason == "stop"
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == (" wor", "length", 4)


@each_server
def test_a_seeded_draw_sends_seed_temperature_and_stop(flavour):
    with TestServer(flavour) as server:
        llm = client(server)
        together(
            llm, lambda: llm.generate("Q:", Sampling(temperature=0.7, top_p=0.9, max_tokens=20, stop=("\n",), seed=77))
        )
        (sent,) = server.seen
    how = {**sent, **sent.get("parameters", {}), **sent.get("sampling_params", {})}
    assert (how["temperature"], how["top_p"], how["stop"]) == (0.7, 0.9, ["\n"])
    assert how.get("seed", how.get("sampling_seed")) == 77


@each_server
def test_a_server_without_prompt_logprobs_is_refused_with_what_to_switch_on(flavour):
    with TestServer(flavour, prefill=False) as server:
        llm = client(server)
        with pytest.raises(LLMError, match=r"gives no log-probabilities of prompts\.") as error:
            scores(llm, [("Query:", " x")])
        assert flavour != "tgi" or "--enable-prefill-logprobs" in str(error.value)
        done = together(llm, lambda: llm.generate("Query:", Sampling(temperature=0, max_tokens=4)))  # still useful
    assert done[0].text == " wor"


@pytest.mark.parametrize("flavour", ["vllm", "llama", "sglang"])
def test_a_server_that_tells_no_tokens_needs_the_tokenizer_by_name(flavour, causal_path, served, reference):
    with TestServer(flavour, served, tokenizes=False) as server:
        with pytest.raises(LLMError, match=r"llm\.tokenizer=FOLDER_OR_HUB_ID"):
            scores(client(server), [("Query:", " x")])
        (found,) = scores(client(server, tokenizer=str(causal_path)), [("Query:", " bread")])
    assert found.spans[0].logprobs == pytest.approx(reference.logprobs("Query:", " bread"), abs=NATS)


@pytest.mark.parametrize("flavour", ["tgi", "sglang"])
def test_another_models_tokenizer_is_noticed(flavour, causal_path):
    with TestServer(flavour) as server:
        llm = client(server, tokenizer=str(causal_path), give_up=0.3)
        with pytest.raises((LLMError, EndpointError), match="tokens"):
            scores(llm, [("Query:", " bread")])


def test_a_span_that_cuts_a_token_is_refused(served):
    with TestServer("tgi", served) as server, pytest.raises(BoundaryError, match="A token reaches over"):
        scores(client(server), [("In bread: ", "oven")])


def test_a_prompt_that_is_too_long_is_refused_with_the_servers_words_and_ours():
    with (
        TestServer("tgi", longest=50) as server,
        pytest.raises(LLMError, match=r"422: .*less than 50.*corpus\.max_words"),
    ):
        scores(client(server), [("long " * 20, " x")])


def test_tgi_tells_what_it_serves_and_a_recipes_name_is_kept():
    with TestServer("tgi") as server:
        unnamed, named = TGIModel([server.url], model=None), TGIModel([server.url], model="mine", revision="v2")
        for llm in (unnamed, named):
            together(llm, llm.identify)
    assert (unnamed.id, unnamed.revision) == ("hash", "abc123")
    assert (named.id, named.revision) == ("mine", "v2")


class TestTheKey:
    KEY = "sk-never-to-be-seen-123456"

    @each_server
    def test_it_is_sent_and_comes_from_the_environment(self, flavour, monkeypatch):
        monkeypatch.setenv("GECKO_TEST_KEY", self.KEY)
        with TestServer(flavour, key=self.KEY) as server:
            found = scores(client(server, secret=Secret("GECKO_TEST_KEY")), [("Query:", " x")])
        assert found[0].spans[0].total < 0

    @each_server
    def test_it_stands_in_no_error_log_or_repr_even_if_the_server_repeats_it(self, flavour, monkeypatch, caplog):
        monkeypatch.setenv("GECKO_TEST_KEY", self.KEY)
        caplog.set_level(logging.DEBUG)
        secret = Secret("GECKO_TEST_KEY")
        with TestServer(flavour, key="another") as server:
            llm = client(server, secret=secret)
            with pytest.raises(LLMError, match="401") as error:
                scores(llm, [("Query:", " x")])
            with pytest.raises(LLMError, match="401") as other:
                together(llm, lambda: llm.generate("Query:", Sampling()))
        shown = "".join(
            "".join(traceback.format_exception(e.value)) for e in (error, other)
        ) + caplog.text + repr(secret) + repr(llm) + repr(vars(llm))  # fmt: skip
        assert self.KEY not in shown
        assert "***" in str(error.value)

    def test_a_variable_that_is_not_set_is_not_named(self):
        with pytest.raises(LLMError, match="is not set") as error:
            Secret("SK_PASTED_KEY")
        assert "SK_PASTED_KEY" not in str(error.value)

    def test_without_a_key_the_users_hub_token_is_not_sent(self, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_private")
        with TestServer("tgi", key="hf_private") as server, pytest.raises(LLMError, match="401"):
            together(llm := client(server), lambda: llm.generate("Q:", Sampling()))


class TestFaults:
    KINDS = ("reset", "429", "503", "stall", "truncated", "malformed", "count")

    @each_server
    def test_whatever_goes_wrong_on_the_way_the_scores_are_those_of_a_calm_run(self, flavour):
        def fault(number: int) -> str | None:
            draw = random.Random(number)
            return draw.choice(self.KINDS) if draw.random() < 0.3 else None

        texts = [(f"Passage {i} ü\nQuery:", f" number {i * 7} é") for i in range(100)]
        with TestServer(flavour) as calm:
            expected = scores(client(calm), texts)
        with TestServer(flavour, fault=fault, stall=6.0, latency=0.002) as wild:
            llm = client(wild, timeout=2)
            found = scores(llm, texts)
        assert found == expected
        seen = " ".join(llm.transport.traffic.reasons)
        for sign in ("HTTP 429", "HTTP 503", "no answer within", "could not be read", "tokens"):
            assert sign in seen

    def test_a_dead_endpoint_ends_the_run_within_the_limit(self):
        with TestServer("tgi") as server:
            url = server.url
        llm = TGIModel([url], model="m", give_up=0.5)
        loop_time = asyncio.run(_timed(scores_in(llm)))
        assert 0.4 < loop_time < 5

    @each_server
    def test_a_run_that_a_failing_server_ends_repeats_the_servers_words(self, flavour):
        with TestServer(flavour, fault=lambda _: "503") as server:
            llm = client(server, give_up=0.3)
            with pytest.raises(EndpointError, match=r'HTTP 503: \{"error": "busy", "error_type": "overloaded"\}'):
                scores(llm, [("Query:", " x")])
        assert list(llm.transport.traffic.reasons) == ["HTTP 503"]

    def test_one_dead_endpoint_of_two_costs_nothing_but_time(self):
        with TestServer("vllm") as dead:
            gone = dead.url
        with TestServer("vllm") as alive:
            llm = OpenAIModel([gone, alive.url], model="m", give_up=5)
            found = scores(llm, [(f"P {i}:", " x") for i in range(60)])
            expected = scores(client(alive), [(f"P {i}:", " x") for i in range(60)])
        assert found == expected


async def _timed(work) -> float:
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(EndpointError, match=r"Nothing was answered for .* kept; the same command goes on"):
        await work
    return loop.time() - start


async def scores_in(llm):
    async with llm:
        await asyncio.gather(*(llm.score(f"P {i}: x", [(2, 4)]) for i in range(20)))


def test_hash_model_is_sane():
    model = HashModel()
    ids = model.ids("ü x")
    assert len(model.logprobs(ids)) == len(ids) == 5


class Snake(HashModel):
    """Goes on with a character of four tokens, whole even where one token is asked for."""

    def complete(self, prompt: str, max_tokens: int) -> list[int]:
        return list("🐍".encode())


def test_a_server_that_writes_a_character_to_its_end_whatever_max_tokens_says_is_read():
    texts = [("Query:", " x")]
    with TestServer("llama", Snake()) as server, TestServer("llama") as usual:
        assert scores(client(server, give_up=0.3), texts) == scores(client(usual), texts)


def listed(tokens, values, ids, head):
    """What `openai` makes of a server's list for a text of these ids, the first `head` of them special."""
    model = OpenAIModel(["http://127.0.0.1:9"], model="served")
    model._head = head
    usage = {"prompt_tokens": len(ids), "completion_tokens": 1}
    logprobs = {"tokens": tokens, "token_logprobs": values}
    answer = {"choices": [{"text": "For example it", "logprobs": logprobs}], "usage": usage}

    async def post(url, body):
        return answer

    model._post = post
    return asyncio.run(model._prompt_logprobs("http://127.0.0.1:9", "For example", ids))


class TestBosThatIsLeftOut:
    """llama-cpp-python lists the tokens of a prompt without BOS."""

    def test_the_text_of_its_own_first_token_may_begin_with_a_space(self):
        """Llama 2's, Mistral's: the list is as long as the text's ids, by the token that was written."""
        assert listed([" For", " example", " it"], [None, -1.0, -9.0], [1, 5, 6], head=1) == [None, None, -1.0]

    def test_a_server_that_lists_bos_is_read_as_it_is(self):
        tokens = ["<s>", "For", " example", " it"]
        assert listed(tokens, [None, -2.0, -1.0, -9.0], [1, 5, 6], head=1) == [None, -2.0, -1.0]

    def test_probabilities_of_a_model_without_bos_are_refused(self):
        """Qwen's: llama-cpp-python puts each token beside what follows it."""
        with pytest.raises(LLMError, match=r"as llama-cpp-python does for models without a token that begins a text"):
            listed(["For", " example"], [None, -1.0], [5, 6], head=0)

    def test_a_list_that_lacks_another_token_is_no_answer(self):
        with pytest.raises(Failure, match=r"log-probabilities of 2 tokens for a text of 3"):
            listed(["<s>", " example", " it"], [None, -1.0, -9.0], [1, 5, 6], head=1)


def test_a_proxy_that_the_environment_names_is_gone_through(monkeypatch):
    with TestServer("vllm") as proxy:
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)

        async def ask() -> int:
            connections = Connections(Secret(None), 5.0)
            try:
                return (await connections.send("GET", "http://models.invalid/v1/models")).status
            finally:
                await connections.close()

        assert asyncio.run(ask()) == 404  # the proxy's answer: the host itself does not exist
        assert list(proxy.requests) == ["http://models.invalid/v1/models"]
