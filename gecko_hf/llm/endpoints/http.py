"""What an HTTP exchange with an endpoint ended in: an answer, a failure that may pass, or an error that will not."""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import json
import urllib.request
from datetime import UTC, datetime
from typing import Any

import httpx2
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, TextGenerationError

from gecko_hf.errors import LLMError
from gecko_hf.llm.endpoints.secret import Secret
from gecko_hf.llm.endpoints.transport import Failure

TOO_BUSY = (429, 503)
MAY_PASS = (408, 409, 424, 425, 429, 500, 502, 503, 504)
POOL = 8  # ours: connections of one pool
SHOWN = 200  # characters of a server's message that an error repeats


class NoRoute(LLMError):
    """A server has no such route, or no such model."""


class Pools(httpx2.AsyncBaseTransport):
    """Several connection pools that take requests in turn.

    For each request a pool looks at every connection that it holds, so that one pool of hundreds costs more than the request.

    Args:
        connections: How many connections all of them together keep.
    """

    def __init__(self, connections: int) -> None:
        count = -(-connections // POOL)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=POOL)
        context = httpx2.create_ssl_context()  # read once: it takes longer than a request
        self._pools = [httpx2.AsyncHTTPTransport(verify=context, limits=limits) for _ in range(count)]
        self._turn = itertools.cycle(self._pools)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request through the pool whose turn it is."""
        return await next(self._turn).handle_async_request(request)

    async def aclose(self) -> None:
        """Close every pool."""
        for pool in self._pools:
            await pool.aclose()


def open_client(secret: Secret, concurrency: int, timeout: float) -> httpx2.AsyncClient:
    """A client whose connections are kept, as many as there may be requests at once.

    Where the environment names a proxy the library's own single pool goes through it: a transport of ours would go past it.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=concurrency)
    transport = None if urllib.request.getproxies() else Pools(concurrency)
    return httpx2.AsyncClient(
        headers=secret.headers(), transport=transport, limits=limits, timeout=timeout, follow_redirects=False
    )


async def post(client: httpx2.AsyncClient, url: str, body: dict[str, Any], secret: Secret) -> Any:
    """POST JSON and read JSON.

    Raises:
        Failure: If another attempt may succeed.
        LLMError: If it would fail in the same way.
    """
    try:
        response = await client.post(url, json=body)
        response.raise_for_status()
        return response.json()
    except Exception as error:
        raise verdict(error, url, secret) from None


def verdict(error: Exception, url: str, secret: Secret) -> Exception:
    """What an exception of a client means: a `Failure`, an `LLMError`, or itself where it is neither.

    The original is never chained: its request carries the key.
    """
    if isinstance(error, Failure | LLMError):
        return error
    if isinstance(error, asyncio.TimeoutError | httpx2.TimeoutException | InferenceTimeoutError):
        return Failure("no answer within llm.timeout.")
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if isinstance(error, httpx2.HTTPStatusError | HfHubHTTPError | TextGenerationError) and response is not None:
        return _of_status(response, url, secret)
    if isinstance(error, httpx2.TransportError):
        return Failure(f"{type(error).__name__}: {secret.hide(str(error))[:SHOWN] or 'the connection was lost'}.")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | KeyError | TypeError | IndexError | ValueError):
        return Failure(f"an answer that could not be read ({type(error).__name__}).")
    return error


def _of_status(response: httpx2.Response, url: str, secret: Secret) -> Exception:
    status = response.status_code
    said = " ".join(secret.hide(response.text).split())[:SHOWN]
    if status in MAY_PASS:
        return Failure(f"HTTP {status}.", refused=status in TOO_BUSY, retry_after=retry_after(response.headers))
    advice = {
        401: "Set the key: export NAME=... and llm.api_key_env=NAME.",
        403: "The key may not use this model.",
        404: "Look at llm.url, llm.backend and llm.model: this server has no such route or model.",
        413: "The prompt is too large for this server; lower corpus.max_words.",
        422: "If the prompt is too long, lower corpus.max_words or raise the server's token limits.",
    }.get(status, "The request is not one that this server takes.")
    kind = NoRoute if status in (404, 405) else LLMError
    return kind(f"{url} answered {status}: {said or 'nothing'} {advice}")


def retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
