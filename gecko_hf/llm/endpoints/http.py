"""What an HTTP exchange with an endpoint ended in: an answer, a failure that may pass, or an error that will not.

Connections are aiohttp's, whose requests cost a fifth of the processor time of httpx2's (benchmarks/llm_throughput.py). The
Hub's inference client, which is written for httpx2, sends its requests over the same connections (`OverConnections`).
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, TextGenerationError

from gecko_hf.errors import LLMError
from gecko_hf.llm.endpoints.secret import Secret
from gecko_hf.llm.endpoints.transport import Failure

TOO_BUSY = (429, 503)
MAY_PASS = (408, 409, 424, 425, 429, 500, 502, 503, 504)
SHOWN = 200  # characters of a server's message that an error repeats
HOP = ("content-encoding", "content-length", "transfer-encoding")  # no longer true of a body that was read


class NoRoute(LLMError):
    """A server has no such route, or no such model."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is marked."""
        return self.body.decode(errors="replace")


class Connections:
    """Kept connections to servers, made in a running event loop.

    Args:
        secret: The API key; goes into the authorization header and nowhere else.
        timeout: Seconds that one request may take.
    """

    def __init__(self, secret: Secret, timeout: float) -> None:
        self.secret = secret
        self._session = aiohttp.ClientSession(
            headers=secret.headers(),
            timeout=aiohttp.ClientTimeout(total=timeout),
            connector=aiohttp.TCPConnector(limit=0, ssl=ssl_context()),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; redirects are not followed.

        Raises:
            aiohttp.ClientError: If the connection is lost.
            asyncio.TimeoutError: After the time-out.
        """
        sent = self._session.request(
            method, url, data=body, headers=headers, allow_redirects=False, proxy=proxy_of(url)
        )
        async with sent as response:
            return Answer(response.status, response.headers, await response.read())

    async def json(self, method: str, url: str, body: Any = None) -> Any:
        """Send JSON, or nothing, and read JSON.

        Raises:
            Failure: If another attempt may succeed.
            LLMError: If it would fail in the same way.
        """
        raw = None if body is None else json.dumps(body).encode()
        try:
            answer = await self.send(method, url, raw, None if raw is None else {"Content-Type": "application/json"})
            if answer.status >= 300:
                raise _of_status(answer.status, answer.headers, answer.text, url, self.secret)
            return json.loads(answer.body)
        except Exception as error:
            raise verdict(error, url, self.secret) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


class OverConnections(httpx2.AsyncBaseTransport):
    """Requests of an httpx2 client over `Connections`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        headers = {
            name: value for name, value in request.headers.items() if name not in (*HOP, "host", "accept-encoding")
        }
        answer = await self._connections.send(request.method, str(request.url), await request.aread(), headers)
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP]
        return httpx2.Response(answer.status, headers=kept, content=answer.body, request=request)


@lru_cache(maxsize=1)
def ssl_context() -> ssl.SSLContext:
    """What connections trust; reading the authorities takes some 20 ms, and a chunk of queries has a session of its own."""
    return httpx2.create_ssl_context()


@lru_cache(maxsize=256)
def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for a URL; passed by hand, since aiohttp would read ~/.netrc along with it."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


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
        return _of_status(response.status_code, response.headers, response.text, url, secret)
    if isinstance(error, aiohttp.ClientError | httpx2.TransportError):
        kind = type(error).__name__
        return Failure(f"{kind}: {secret.hide(str(error))[:SHOWN] or 'the connection was lost'}.", kind=kind)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | KeyError | TypeError | IndexError | ValueError):
        return Failure(f"an answer that could not be read ({type(error).__name__}).")
    return error


def _of_status(status: int, headers: Mapping[str, str], text: str, url: str, secret: Secret) -> Exception:
    said = " ".join(secret.hide(text).split())[:SHOWN]
    if status in MAY_PASS:
        seen = f"HTTP {status}"
        reason = f"{seen}: {said.rstrip('.') or 'nothing was said'}."
        return Failure(reason, kind=seen, refused=status in TOO_BUSY, retry_after=retry_after(headers))
    too_long = "If the prompt is too long, lower corpus.max_words or raise the server's token limits."
    advice = {
        400: too_long,
        401: "Set the key: export NAME=... and llm.api_key_env=NAME.",
        403: "The key may not use this model.",
        404: "Look at llm.url, llm.backend and llm.model: this server has no such route or model.",
        413: "The prompt is too large for this server; lower corpus.max_words.",
        422: too_long,
    }.get(status, "The request is not one that this server takes.")
    kind = NoRoute if status in (404, 405) else LLMError
    return kind(f"{url} answered {status}: {said or 'nothing'} {advice}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date. The mapping is one that ignores case."""
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
