"""What the async SDKs of model providers do behind a breaker; `test_llm_sync.py` says the same of the sync clients."""

import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import httpx2
import pytest
from packages.recloser.tests.integrations.raw_server import CUT, END, HANG, RESET, RawServer, Reply, answer
from packages.recloser.tests.integrations.sdks import PROVIDERS, Anthropic, Async, OpenAI, event, sse
from packages.recloser.tests.support import listen

from recloser import CircuitBreaker, CircuitOpenError, Registry, State, StateChanged
from recloser.integrations.openai import by_model
from recloser.testing import FakeClock

Make = Callable[..., Async]
NETWORK_ERRORS = (httpx.TransportError, httpx2.TransportError)


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.__name__)
def provider(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def make(provider: Any, server: RawServer, registry: Registry) -> AsyncIterator[Make]:
    """Makes protected clients."""
    made: list[Async] = []

    def make(**options: Any) -> Async:
        made.append(Async(options.pop("provider", provider), server.url, registry=registry, **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
async def client(make: Make) -> Async:
    return make()


def only(registry: Registry) -> CircuitBreaker:
    """The one breaker there is."""
    [breaker] = registry
    return breaker


def outcomes(registry: Registry) -> dict[str, int]:
    """How calls ended, without the zeros."""
    return {status: count for status, count in only(registry).stats().calls.items() if count}


def fine(provider: Any) -> Reply:
    return [answer(200, provider.answer, content_type="application/json")]


def error(status: int, code: str = "", message: str = "no", **headers: str) -> Reply:
    body = json.dumps({"error": {"type": code, "code": code, "message": message}}).encode()
    return [answer(status, body, content_type="application/json", **headers)]


# One answer


async def test_answer_is_a_success(client: Async, provider: Any, server: RawServer, registry: Registry) -> None:
    server.otherwise = fine(provider)
    await client.ask()
    assert outcomes(registry) == {"success": 1}
    assert only(registry).name == f"{provider.name}:127.0.0.1:{server.port}"


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 529])
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "stream"])
async def test_failing_status(
    client: Async, provider: Any, server: RawServer, registry: Registry, status: int, streaming: bool
) -> None:
    server.otherwise = error(status, "overloaded_error")
    with pytest.raises(provider.sdk.APIStatusError, match="no"):
        await (client.stream() if streaming else client.ask())
    assert outcomes(registry) == {"failure": 1}


@pytest.mark.parametrize(
    ("status", "code"), [(400, "context_length_exceeded"), (400, "content_filter"), (404, ""), (409, ""), (422, "")]
)
async def test_mistake_of_the_caller_is_ignored(
    client: Async, provider: Any, server: RawServer, registry: Registry, status: int, code: str
) -> None:
    server.otherwise = error(status, code)
    with pytest.raises(provider.sdk.APIStatusError):
        await client.ask()
    assert outcomes(registry) == {"ignored": 1}


@pytest.mark.parametrize(
    ("headers", "open_for"),
    [({"retry_after": "7"}, 7), ({}, 10), ({"retry_after_ms": "1500", "retry_after": "2"}, 1.5)],
)
async def test_rate_limit_opens_for_the_time_asked(
    client: Async, provider: Any, server: RawServer, registry: Registry, headers: dict[str, str], open_for: float
) -> None:
    server.otherwise = error(429, "rate_limit_error", **headers)
    with pytest.raises(provider.sdk.RateLimitError):
        await client.ask()
    assert outcomes(registry) == {"throttled": 1}
    assert only(registry).retry_after == open_for


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "invalid_api_key", "wrong key"),
        (402, "", "pay"),
        (403, "permission_error", "no"),
        (429, "insufficient_quota", "you exceeded your quota"),
        (400, "invalid_request_error", "Your credit balance is too low"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "stream"])
async def test_refused_key_or_account_is_a_configuration_fault(
    make: Make,
    provider: Any,
    server: RawServer,
    registry: Registry,
    status: int,
    code: str,
    message: str,
    streaming: bool,
) -> None:
    """A long open under its own name, and no retry."""
    client = make(retries=2, configuration_open_for=600)
    changes: list[StateChanged] = []
    registry.add_listener(changes.append, (StateChanged,))
    server.otherwise = error(status, code, message, retry_after_ms="1")
    with pytest.raises(provider.sdk.APIStatusError):
        await (client.stream() if streaming else client.ask())
    assert outcomes(registry) in ({"configuration": 1}, {"configuration": 1, "rejected": 1})
    assert len(server.requests) == 1
    assert [(change.reason, change.open_for) for change in changes] == [("configuration", 600)]


async def test_answer_that_is_not_json_is_a_failure(
    client: Async, provider: Any, server: RawServer, registry: Registry
) -> None:
    server.otherwise = [answer(200, b'{"choices": [', content_type="application/json")]
    with pytest.raises(ValueError, match="Expecting value"):
        await client.ask()
    assert outcomes(registry) == {"failure": 1}


async def test_compressed_answers_are_judged_too(
    client: Async, provider: Any, server: RawServer, registry: Registry
) -> None:
    body = gzip.compress(json.dumps({"error": {"code": "insufficient_quota", "message": "pay"}}).encode())
    server.otherwise = [answer(429, body, content_type="application/json", content_encoding="gzip")]
    with pytest.raises(provider.sdk.RateLimitError, match="pay"):
        await client.ask()
    assert outcomes(registry) == {"configuration": 1}


@pytest.mark.parametrize("reply", [[CUT], [RESET], [answer(length=100), CUT]], ids=["cut", "reset", "body cut"])
async def test_broken_connection(
    client: Async, provider: Any, server: RawServer, registry: Registry, reply: Reply
) -> None:
    server.otherwise = reply
    with pytest.raises(provider.sdk.APIConnectionError):
        await client.ask()
    assert outcomes(registry) == {"failure": 1}


async def test_our_own_timeout_is_a_failure(make: Make, provider: Any, server: RawServer, registry: Registry) -> None:
    server.otherwise = [HANG]
    with pytest.raises(provider.sdk.APITimeoutError):
        await make(timeout=0.1).ask()
    assert outcomes(registry) == {"failure": 1}


async def test_impatient_caller_is_ignored(client: Async, provider: Any, server: RawServer, registry: Registry) -> None:
    server.otherwise = [HANG]
    with pytest.raises(provider.sdk.APITimeoutError):
        await client.ask(timeout=0.05)
    assert outcomes(registry) == {"ignored": 1}


# Streams


async def test_whole_stream(client: Async, provider: Any, server: RawServer, registry: Registry) -> None:
    server.otherwise = sse(provider.prelude, *provider.tokens, provider.ending, END)
    assert len([item async for item in await client.stream()]) >= 2
    assert outcomes(registry) == {"success": 1}


async def test_stream_is_complete_at_its_marker(
    client: Async, provider: Any, server: RawServer, registry: Registry
) -> None:
    server.otherwise = sse(*provider.tokens, provider.ending, RESET)
    items = await client.stream()
    await anext(items)
    with pytest.raises((StopAsyncIteration, provider.sdk.APIConnectionError, *NETWORK_ERRORS)):
        while True:
            await anext(items)
    assert outcomes(registry) == {"success": 1}


@pytest.mark.parametrize("last", [CUT, END], ids=["connection cut", "orderly end"])
async def test_stream_without_its_marker_is_a_failure(
    client: Async, provider: Any, server: RawServer, registry: Registry, last: Any
) -> None:
    server.otherwise = sse(*provider.tokens, last)
    seen = 0
    try:
        async for _ in await client.stream():
            seen += 1
    except (provider.sdk.APIConnectionError, *NETWORK_ERRORS):
        assert last == CUT
    assert seen == 2
    assert outcomes(registry) == {"failure": 1}


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("overloaded_error", "failure"),
        ("server_error", "failure"),
        ("rate_limit_exceeded", "throttled"),
        ("insufficient_quota", "configuration"),
        ("content_filter", "ignored"),
    ],
)
async def test_error_event_in_a_stream(
    client: Async, provider: Any, server: RawServer, registry: Registry, code: str, outcome: str
) -> None:
    server.otherwise = sse(provider.tokens[0], provider.error_event(code), END)
    try:
        async for _ in await client.stream():
            pass
    except provider.sdk.APIError as exc:
        assert "sorry" in str(exc)  # noqa: PT017 - one of the SDKs hands the event on instead
    assert outcomes(registry) == {outcome: 1}


async def test_markers_are_found_however_the_bytes_are_cut(
    client: Async, provider: Any, server: RawServer, registry: Registry
) -> None:
    text = b"".join([*provider.tokens, provider.ending]).replace(b"\n", b"\r\n")
    server.otherwise = sse(*(text[at : at + 1] for at in range(len(text))), END)
    assert len([item async for item in await client.stream()]) >= 2
    assert outcomes(registry) == {"success": 1}


async def test_compressed_stream(client: Async, provider: Any, server: RawServer, registry: Registry) -> None:
    text = gzip.compress(b"".join([*provider.tokens, provider.ending]))
    server.otherwise = sse(text[:30], text[30:], END, content_encoding="gzip")
    assert len([item async for item in await client.stream()]) >= 2
    assert outcomes(registry) == {"success": 1}


async def test_stream_closed_early_is_ignored(
    client: Async, provider: Any, server: RawServer, registry: Registry
) -> None:
    server.otherwise = sse(*provider.tokens, HANG)
    stream = await provider.create(client.client, stream=True)
    await anext(aiter(stream))
    assert only(registry).stats().in_flight == 1
    await stream.close()
    assert outcomes(registry) == {"ignored": 1}
    assert only(registry).stats().in_flight == 0


async def test_time_to_the_first_token_is_the_latency(
    client: Async, provider: Any, server: RawServer, registry: Registry, clock: FakeClock
) -> None:
    """Neither the head, nor what comes before the first token, nor what comes after it."""
    seen = threading.Event()

    def pause() -> None:
        assert seen.wait(timeout=60)
        clock.advance(60)

    def think() -> None:
        clock.advance(3)

    first, second = provider.tokens
    server.otherwise = sse(provider.prelude, think, first, pause, second, provider.ending, END)
    async for item in await client.stream():
        if "'one'" in repr(item):  # the first token has come
            seen.set()
    assert only(registry).stats().duration_sum == 3


async def test_silence_within_a_stream_is_a_failure(
    make: Make, provider: Any, server: RawServer, registry: Registry
) -> None:
    server.otherwise = sse(provider.tokens[0], HANG)
    with pytest.raises((provider.sdk.APITimeoutError, *NETWORK_ERRORS)):
        async for _ in await make(idle_timeout=0.1).stream():
            pass
    assert outcomes(registry) == {"failure": 1}


# When it is open


async def test_open_circuit_raises_the_sdks_own_error_at_once(
    make: Make, provider: Any, server: RawServer, registry: Registry
) -> None:
    """Exactly one attempt, which sends nothing."""
    client = make(retries=2)
    server.otherwise = fine(provider)
    await client.ask()
    only(registry).force_open("maintenance")
    for call in (client.ask, client.stream):
        with pytest.raises(provider.sdk.InternalServerError) as caught:
            await call()
        assert caught.value.status_code == 503
        assert isinstance(caught.value.__cause__, CircuitOpenError)
        assert "held open by an operator" in str(caught.value)
    assert len(server.requests) == 1
    assert outcomes(registry) == {"success": 1, "rejected": 2}


async def test_rejection_says_when_to_come_back(
    client: Async, provider: Any, server: RawServer, registry: Registry
) -> None:
    server.otherwise = error(500)
    for _ in range(3):
        with pytest.raises(provider.sdk.InternalServerError):
            await client.ask()
    with pytest.raises(provider.sdk.InternalServerError) as caught:
        await client.ask()
    assert caught.value.response.headers["retry-after"] == "10"
    assert len(server.requests) == 3


async def test_copies_of_a_client_are_protected_too(
    client: Async, provider: Any, server: RawServer, registry: Registry
) -> None:
    server.otherwise = fine(provider)
    copy = client.client.with_options(timeout=20)
    await provider.create(copy)
    only(registry).force_open("maintenance")
    with pytest.raises(provider.sdk.InternalServerError) as caught:
        await provider.create(copy)
    assert isinstance(caught.value.__cause__, CircuitOpenError)
    assert isinstance(copy, provider.asynchronous)


# Retries of the SDK


@pytest.mark.parametrize(("options", "counted"), [({}, 3), ({"count_retries": False}, 1)])
async def test_retries_count_each_or_once(
    make: Make, provider: Any, server: RawServer, registry: Registry, options: dict[str, Any], counted: int
) -> None:
    server.otherwise = error(500, retry_after_ms="1")
    with pytest.raises(provider.sdk.InternalServerError):
        await make(retries=2, **options).ask()
    assert len(server.requests) == 3
    assert outcomes(registry) == {"failure": counted}


async def test_call_that_a_retry_saves_is_one_success(
    make: Make, provider: Any, server: RawServer, registry: Registry
) -> None:
    server.replies = [error(500, retry_after_ms="1"), [CUT]]
    server.otherwise = sse(*provider.tokens, provider.ending, END)
    [item async for item in await make(retries=2, count_retries=False).stream()]
    assert outcomes(registry) == {"success": 1}


# Refusals, and a server made by others


async def test_what_is_no_sdk_client_is_refused(provider: Any) -> None:
    with pytest.raises(TypeError, match="is not a client of the"):
        provider.protect(object())


async def test_second_protection_is_refused(client: Async, provider: Any) -> None:
    with pytest.raises(ValueError, match="is protected already"):
        provider.protect(client.client)


async def test_preset_is_that_of_models(provider: Any, server: RawServer) -> None:
    registry = Registry()
    client = Async(provider, server.url, registry=registry)
    server.otherwise = fine(provider)
    await client.ask()
    await client.close()
    assert (only(registry).settings.failure_threshold, only(registry).settings.open_for) == (3, 120)


async def test_one_breaker_per_model(server: RawServer, registry: Registry) -> None:
    client = Async(OpenAI, server.url, registry=registry, key=by_model)
    server.otherwise = fine(OpenAI)
    await client.ask()
    await client.close()
    assert only(registry).name == f"openai:127.0.0.1:{server.port}/small"


async def test_unknown_streams_need_no_marker(server: RawServer, registry: Registry) -> None:
    client = Async(OpenAI, server.url, registry=registry)
    server.otherwise = sse(event({"type": "partial_image"}, "image_generation.partial_image"), END)
    [item async for item in await client.client.images.generate(prompt="a cat", stream=True)]
    await client.close()
    assert outcomes(registry) == {"success": 1}


@pytest.mark.parametrize("provider_", [OpenAI, Anthropic])
async def test_real_conversation_with_a_mock_provider(llmock: Any, registry: Registry, provider_: Any) -> None:
    client = Async(provider_, llmock.base_url(provider_.name).removesuffix(provider_.path), registry=registry)
    await client.ask()
    assert len([item async for item in await client.stream()]) > 1
    llmock.rate_limit(times=1, retry_after=25)
    changes = listen(only(registry), StateChanged)
    with pytest.raises(provider_.sdk.RateLimitError):
        await client.ask()
    with pytest.raises(provider_.sdk.InternalServerError):
        await client.ask()
    await client.close()
    assert outcomes(registry) == {"success": 2, "throttled": 1, "rejected": 1}
    assert [(change.to_state, change.open_for) for change in changes] == [(State.OPEN, 25)]


@pytest.mark.parametrize("provider_", [OpenAI, Anthropic])
@pytest.mark.parametrize("fault", ["truncate", "disconnect"])
async def test_broken_stream_of_a_mock_provider(llmock: Any, registry: Registry, provider_: Any, fault: str) -> None:
    client = Async(provider_, llmock.base_url(provider_.name).removesuffix(provider_.path), registry=registry)
    getattr(llmock, fault)()
    try:
        async for _ in await client.stream():
            pass
    except (provider_.sdk.APIError, *NETWORK_ERRORS):
        assert fault == "disconnect"
    await client.close()
    assert outcomes(registry) == {"failure": 1}
