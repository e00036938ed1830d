import asyncio
import ssl
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path

import pytest
from http_receiver import CLOSE, HANG, HttpReceiver, Reply

from incident_manager.notify.endpoint import HttpEndpoint
from incident_manager.notify.errors import DestinationGoneError, PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.ssrf import ForbiddenAddressError, Resolver, resolve
from recloser.testing import FakeClock

CERTIFICATE = Path(__file__).parent.parent / "support" / "hooks.example.test.pem"


def at(*addresses: str) -> Resolver:
    async def give(host: str, port: int) -> Sequence[str]:
        return addresses

    return give


async def post(
    url: str,
    clock: FakeClock | None = None,
    *,
    allow_private: bool = True,
    timeout: float = 10,
    resolver: Resolver = resolve,
    verify: ssl.SSLContext | None = None,
) -> None:
    endpoint = HttpEndpoint(
        url,
        allow_private=allow_private,
        timeout=timeout,
        clock=clock or FakeClock(),
        resolver=resolver,
        verify=verify,
    )
    try:
        endpoint.raise_for(await endpoint.post(b"{}", {"x-test": "1"}))
    finally:
        await endpoint.close()


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_success_is_a_delivery(receiver: HttpReceiver, status: int) -> None:
    receiver.default = Reply(status)
    await post(receiver.url)
    [request] = receiver.requests
    assert (request.method, request.target, request.body) == ("POST", "/hook", b"{}")
    assert request.headers["x-test"] == "1"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_permanent_and_not_followed(receiver: HttpReceiver, status: int) -> None:
    receiver.script.append(Reply(status, {"location": f"http://127.0.0.1:{receiver.port}/elsewhere"}))
    with pytest.raises(PermanentDeliveryError, match="redirects are not followed"):
        await post(receiver.url)
    assert [request.target for request in receiver.requests] == ["/hook"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422])
async def test_refusal_is_permanent(receiver: HttpReceiver, status: int) -> None:
    receiver.default = Reply(status)
    with pytest.raises(PermanentDeliveryError, match=f"answered {status}") as caught:
        await post(receiver.url)
    assert not isinstance(caught.value, DestinationGoneError)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_trouble_of_the_receiver_is_transient(receiver: HttpReceiver, status: int) -> None:
    receiver.default = Reply(status)
    with pytest.raises(TransientDeliveryError, match=f"answered {status}") as caught:
        await post(receiver.url)
    assert caught.value.retry_after is None
    assert caught.value.throttled == (status == 429)


async def test_gone_means_no_more_notifications(receiver: HttpReceiver) -> None:
    receiver.default = Reply(410)
    with pytest.raises(DestinationGoneError, match="answered 410: it wants no more notifications"):
        await post(receiver.url)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds_is_passed_on(receiver: HttpReceiver, status: int) -> None:
    receiver.default = Reply(status, {"Retry-After": "7"})
    with pytest.raises(TransientDeliveryError) as caught:
        await post(receiver.url)
    assert (caught.value.retry_after, caught.value.throttled) == (7.0, True)


async def test_retry_after_as_a_date_is_counted_from_the_clock(receiver: HttpReceiver, clock: FakeClock) -> None:
    receiver.default = Reply(503, {"Retry-After": formatdate(clock.time() + 90, usegmt=True)})
    with pytest.raises(TransientDeliveryError) as caught:
        await post(receiver.url, clock)
    assert (caught.value.retry_after, caught.value.throttled) == (90.0, True)


async def test_refused_connection_is_transient_and_says_so(receiver: HttpReceiver) -> None:
    await receiver.refuse()
    with pytest.raises(TransientDeliveryError, match=f"to 127.0.0.1 port {receiver.port}: Connection refused$"):
        await post(receiver.url)


async def test_connection_closed_without_an_answer_is_transient(receiver: HttpReceiver) -> None:
    receiver.default = CLOSE
    with pytest.raises(TransientDeliveryError, match=r"the connection to 127\.0\.0\.1 broke"):
        await post(receiver.url)


async def test_silent_receiver_is_given_up_after_the_timeout(receiver: HttpReceiver) -> None:
    receiver.default = HANG
    with pytest.raises(TransientDeliveryError, match=r"no answer from 127\.0\.0\.1 within 0\.05 s"):
        await post(receiver.url, timeout=0.05)
    assert len(receiver.requests) == 1


async def test_endless_answer_is_cut(receiver: HttpReceiver) -> None:
    receiver.default = Reply(200, body=b"x" * 1_000_000)
    endpoint = HttpEndpoint(receiver.url, allow_private=True, timeout=10, clock=FakeClock())
    answer = await endpoint.post(b"{}", {})
    await endpoint.close()
    assert len(answer.text) == 16 * 1024


@pytest.mark.parametrize(
    "failure", [Reply(500), Reply(404), Reply(410), Reply(302), CLOSE, None], ids=lambda reply: str(reply)
)
async def test_no_error_holds_the_path_of_the_url(
    receiver: HttpReceiver, failure: Reply | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    if failure is None:
        await receiver.refuse()
    else:
        receiver.default = failure
    with pytest.raises((TransientDeliveryError, PermanentDeliveryError)) as caught:
        await post(f"http://127.0.0.1:{receiver.port}/services/T/B/SECRET?token=SECRET")
    error: BaseException | None = caught.value
    while error is not None:
        assert "SECRET" not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "SECRET" not in caplog.text


async def test_private_address_is_refused_before_a_connection(receiver: HttpReceiver) -> None:
    with pytest.raises(ForbiddenAddressError, match="a loopback address"):
        await post(receiver.url, allow_private=False)
    assert receiver.requests == []


async def test_connection_goes_to_the_checked_address_with_the_name_in_the_host_header(receiver: HttpReceiver) -> None:
    # The reserved domain .test resolves nowhere, so only the pinned address can lead to the receiver.
    await post(f"http://hooks.example.test:{receiver.port}/hook", resolver=at("127.0.0.1"))
    assert receiver.requests[0].headers["host"] == f"hooks.example.test:{receiver.port}"


async def test_name_that_moves_to_a_forbidden_address_is_refused_though_a_connection_is_open(
    receiver: HttpReceiver,
) -> None:
    answers = ["127.0.0.1", "169.254.169.254"]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return [answers.pop(0)]

    endpoint = HttpEndpoint(
        f"http://rebind.example.test:{receiver.port}/",
        allow_private=True,
        timeout=10,
        clock=FakeClock(),
        resolver=rebinding,
    )
    await endpoint.post(b"{}", {})
    with pytest.raises(ForbiddenAddressError, match="a cloud metadata address"):
        await endpoint.post(b"{}", {})
    await endpoint.close()
    assert len(receiver.requests) == 1
    assert answers == []


async def test_next_address_is_tried_when_one_refuses(receiver: HttpReceiver) -> None:
    await post(f"http://hooks.example.test:{receiver.port}/hook", resolver=at("127.0.0.2", "127.0.0.1"))
    assert len(receiver.requests) == 1


async def test_certificate_is_checked_against_the_name_though_the_address_is_pinned() -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(CERTIFICATE)
    trusted = ssl.create_default_context(cafile=str(CERTIFICATE))
    async with HttpReceiver(served) as receiver:
        url = f"https://hooks.example.test:{receiver.port}/hook"
        await post(url, resolver=at("127.0.0.1"), verify=trusted)
        assert receiver.requests[0].server_name == "hooks.example.test"
        with pytest.raises(TransientDeliveryError, match="the certificate was refused"):
            await post(url.replace("hooks", "other"), resolver=at("127.0.0.1"), verify=trusted)
        with pytest.raises(TransientDeliveryError, match="the certificate was refused"):
            await post(url, resolver=at("127.0.0.1"))
        assert len(receiver.requests) == 1


async def test_proxy_of_the_environment_is_not_used(receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await post(receiver.url)
    assert len(receiver.requests) == 1


async def test_cancelled_post_leaves_the_endpoint_usable(receiver: HttpReceiver) -> None:
    endpoint = HttpEndpoint(receiver.url, allow_private=True, timeout=30, clock=FakeClock())
    receiver.script.append(HANG)
    task = asyncio.create_task(endpoint.post(b"{}", {}))
    await receiver.received(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await endpoint.post(b"{}", {})).status == 200
    await endpoint.close()
