"""What only requests has: adapters, urllib3's raw bodies, errors that are OSErrors."""

import pickle

import pytest
import requests
import urllib3
from packages.recloser.tests.integrations.raw_server import END, RawServer, answer, chunk, chunked_head
from requests.adapters import HTTPAdapter

from recloser import CircuitBreaker, CircuitOpenError, Registry
from recloser.integrations.requests import BreakerAdapter, CircuitOpenConnectionError, protect


def only(registry: Registry) -> CircuitBreaker:
    [breaker] = registry
    return breaker


def test_adapter_of_ones_own_retries_within_one_call(server: RawServer, registry: Registry) -> None:
    server.replies = [[answer(500)], [answer(502)]]
    retry = urllib3.Retry(3, status_forcelist=[500, 502], backoff_factor=0)
    with requests.Session() as session:
        session.mount("http://", BreakerAdapter(HTTPAdapter(max_retries=retry), registry=registry))
        assert session.get(server.url).status_code == 200
    assert len(server.requests) == 3
    assert only(registry).stats().calls["success"] == 1


def test_raw_body_read_in_pieces(server: RawServer, registry: Registry) -> None:
    server.otherwise = [answer(body=b"abcdef")]
    with protect(requests.Session(), registry=registry) as session, session.get(server.url, stream=True) as response:
        assert isinstance(response.raw, urllib3.HTTPResponse)
        assert response.raw.read(4) == b"abcd"
        assert only(registry).stats().in_flight == 1
        assert response.raw.read(4) == b"ef"
    assert only(registry).stats().calls["success"] == 1


def test_lines_of_a_stream(server: RawServer, registry: Registry) -> None:
    server.otherwise = [chunked_head(), chunk(b"one\ntw"), chunk(b"o\n"), END]
    with protect(requests.Session(), registry=registry) as session, session.get(server.url, stream=True) as response:
        assert list(response.iter_lines()) == [b"one", b"two"]
    assert only(registry).stats().calls["success"] == 1


def test_each_hop_of_a_redirect_asks_its_own_breaker(server: RawServer, registry: Registry) -> None:
    server.replies = [[answer(302, location=f"http://localhost:{server.port}/")]]
    with protect(requests.Session(), registry=registry) as session:
        assert session.get(server.url).status_code == 200
    assert [breaker.stats().successful for breaker in registry] == [1, 1]


def test_second_protection_is_refused(registry: Registry) -> None:
    with protect(requests.Session(), registry=registry) as session, pytest.raises(ValueError, match="already"):
        protect(session, registry=registry)


def test_rejection_survives_pickling_and_is_no_system_error(server: RawServer, registry: Registry) -> None:
    with protect(requests.Session(), registry=registry) as session:
        session.get(server.url)
        only(registry).force_open("maintenance")
        with pytest.raises(CircuitOpenError) as caught:
            session.get(server.url)
    error = caught.value
    assert isinstance(error, CircuitOpenConnectionError)
    assert error.errno is None
    assert error.request is not None
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.reason) == (type(error), str(error), "forced_open")
