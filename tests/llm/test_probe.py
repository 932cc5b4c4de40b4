"""An endpoint is asked for known texts before any work, alone and under load."""

import asyncio

import pytest
from causal import save_causal_model
from servers import TestServer, TorchModel
from test_endpoints import client, each_server

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import Completion, Scores, SpanScore
from gecko_hf.llm.endpoints.limiter import START
from gecko_hf.llm.local import LocalModel
from gecko_hf.llm.probe import PROBES, calibrate


def probe(llm, **how):
    async def run():
        async with llm:
            return await calibrate(llm, **{"concurrency": 12, "tolerance": 0.01, **how})

    return asyncio.run(run())


@each_server
def test_a_good_endpoint_passes_and_says_how_well(flavour):
    with TestServer(flavour, latency=0.05) as server:
        found = probe(client(server))
        assert server.most_in_flight >= 8
    assert found.tokens > 100
    assert found.concurrent == 12
    assert found.under_load == 0
    assert found.to_reference is None


@each_server
def test_the_crowd_is_as_large_as_it_is_said_to_be_and_the_limit_starts_low_again_after_it(flavour):
    alone = 2 * len(PROBES)
    with TestServer(flavour, fault=lambda number: "stall" if number >= alone else None, stall=1.0) as server:
        llm = client(server, concurrency=64)
        found = probe(llm, concurrency=64)
    assert (server.most_in_flight, found.concurrent) == (64, 64)
    assert llm.transport.limit == START


@each_server
def test_an_endpoint_that_errs_under_load_is_refused_with_the_numbers(flavour):
    with TestServer(flavour, latency=0.01, muddle=True) as server, pytest.raises(LLMError) as error:
        probe(client(server))
    assert "when 12 requests are sent at once than for one alone" in str(error.value)
    assert "difference 0.5000" in str(error.value)
    assert "Lower llm.concurrency" in str(error.value)


@each_server
def test_an_endpoint_without_prompt_logprobs_is_refused(flavour):
    with (
        TestServer(flavour, prefill=False) as server,
        pytest.raises(LLMError, match="gives no log-probabilities of prompts"),
    ):
        probe(client(server))


def test_a_reference_in_this_process_tells_the_same_model_from_another(causal_path, tmp_path):
    with TestServer("tgi", TorchModel(causal_path)) as server:
        found = probe(client(server), reference=LocalModel(str(causal_path), device="cpu"))
        assert found.to_reference < 1e-4
        other = LocalModel(str(save_causal_model(tmp_path / "other", seed=1)), device="cpu")
        with pytest.raises(
            LLMError, match=r"served and llm\.reference .* give different log-probabilities: .* reference -"
        ):
            probe(client(server), reference=other)


class Drifting:
    """Scores spans of one token too many where something follows them."""

    id = "drifting"

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def generate(self, prompt, sampling):
        return Completion("x", "stop", 1, 1)

    async def score(self, text, spans):
        return Scores(tuple(SpanScore((-1.0,) * (end - start + (end < len(text)))) for start, end in spans), 1)


def test_a_backend_that_loses_a_boundary_is_refused():
    with pytest.raises(LLMError, match=r"does not keep token boundaries: the query 'when does"):
        probe(Drifting())
