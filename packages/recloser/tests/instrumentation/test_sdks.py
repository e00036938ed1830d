"""The SDKs of model providers in an instrumented process: judged as SDKs, and counted once."""

from typing import Any

import anthropic
import openai
import pytest
from packages.recloser.tests.instrumentation.conftest import Instrument
from packages.recloser.tests.integrations.raw_server import RawServer, answer
from packages.recloser.tests.integrations.sdks import Anthropic, OpenAI

from recloser import CircuitOpenError, Outcome, Registry

PROVIDERS = [OpenAI, Anthropic]


def client_of(provider: Any, server: RawServer, kind: Any = None) -> Any:
    return (kind or provider.sync)(api_key="test", base_url=server.url + provider.path, max_retries=0)


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.name)
def provider(request: pytest.FixtureRequest) -> Any:
    return request.param


def json_answer(provider: Any) -> bytes:
    return answer(200, provider.answer, content_type="application/json")


def test_provider_has_a_breaker_of_its_own_and_none_of_the_client_inside(
    instrument: Instrument, server: RawServer, provider: Any
) -> None:
    registry = instrument().registry
    server.otherwise = [json_answer(provider)]
    with client_of(provider, server) as client:
        provider.create(client)
    assert [(name, stats.successful) for name, stats in registry.stats().items()] == [
        (f"{provider.name}:127.0.0.1:{server.port}", 1)
    ]


async def test_async_client_is_protected(instrument: Instrument, server: RawServer, provider: Any) -> None:
    registry = instrument().registry
    server.otherwise = [json_answer(provider)]
    async with client_of(provider, server, provider.asynchronous) as client:
        await provider.create(client)
    assert registry[f"{provider.name}:127.0.0.1:{server.port}"].stats().successful == 1


def test_open_circuit_is_the_sdks_own_error_with_the_rejection_as_its_cause(
    instrument: Instrument, server: RawServer, provider: Any
) -> None:
    instrument()
    server.otherwise = [answer(500)]
    with client_of(provider, server) as client:
        for _ in range(3):
            with pytest.raises(provider.sdk.InternalServerError) as caught:
                provider.create(client)
    assert isinstance(caught.value.__cause__, CircuitOpenError)
    assert len(server.requests) == 2


def test_refused_key_opens_the_circuit_at_once(instrument: Instrument, server: RawServer, provider: Any) -> None:
    registry = instrument().registry
    server.otherwise = [answer(401)]
    with client_of(provider, server) as client, pytest.raises(provider.sdk.AuthenticationError):
        provider.create(client)
    assert registry[f"{provider.name}:127.0.0.1:{server.port}"].stats().calls[Outcome.CONFIGURATION] == 1


def test_client_that_was_made_before_is_protected(instrument: Instrument, server: RawServer, provider: Any) -> None:
    server.otherwise = [json_answer(provider)]
    with client_of(provider, server) as client:
        provider.create(client)
        registry = instrument().registry
        provider.create(client)
    assert registry[f"{provider.name}:127.0.0.1:{server.port}"].stats().successful == 1


def test_client_that_the_program_protects_itself_is_not_protected_twice(
    instrument: Instrument, server: RawServer, provider: Any
) -> None:
    registry, own = instrument().registry, Registry()
    server.otherwise = [json_answer(provider)]
    with client_of(provider, server) as client:
        provider.protect(client, registry=own)
        provider.create(client)
    assert own[f"{provider.name}:127.0.0.1:{server.port}"].stats().successful == 1
    assert len(registry) == 0


def test_http_client_may_be_left_out_and_the_sdk_on_it_not(
    instrument: Instrument, server: RawServer, provider: Any, tmp_path: Any
) -> None:
    config = tmp_path / "leave-out.yaml"
    config.write_text("instrument: {leave_out: [httpx, httpx2]}")
    registry = instrument(config).registry
    server.otherwise = [json_answer(provider)]
    import httpx2

    with client_of(provider, server) as client, httpx2.Client() as plain:
        provider.create(client)
        plain.get(server.url)
    assert [(breaker.name, breaker.stats().successful) for breaker in registry] == [
        (f"{provider.name}:127.0.0.1:{server.port}", 1)
    ]


def test_sdk_classes_are_as_before_after_uninstrument(instrument: Instrument) -> None:
    import recloser

    before = [
        base.__dict__["request"]
        for sdk in (openai, anthropic)
        for base in (sdk._base_client.SyncAPIClient, sdk._base_client.AsyncAPIClient)
    ]
    instrument()
    recloser.uninstrument()
    after = [
        base.__dict__["request"]
        for sdk in (openai, anthropic)
        for base in (sdk._base_client.SyncAPIClient, sdk._base_client.AsyncAPIClient)
    ]
    assert all(one is other for one, other in zip(before, after, strict=True))
