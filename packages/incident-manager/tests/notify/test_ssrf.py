import ipaddress
import socket
from collections.abc import Sequence

import pytest

from incident_manager.notify.errors import TransientDeliveryError
from incident_manager.notify.ssrf import (
    ForbiddenAddressError,
    address_problem,
    checked_addresses,
    literal_address,
    resolve,
)

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "203.0.113.5",
    "240.0.0.1",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "2001:db8::1",
    "64:ff9b:1::a00:1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "0.0.0.0",
    "::",
    "255.255.255.255",
    "224.0.0.1",
    "ff02::1",
]


def answering(*addresses: str) -> "Answering":
    return Answering(list(addresses))


class Answering:
    """A resolver that gives these addresses and counts how often it was asked."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.addresses


@pytest.mark.parametrize("text", PUBLIC)
def test_public_address_may_be_called(text: str) -> None:
    assert address_problem(ipaddress.ip_address(text), allow_private=False) is None


@pytest.mark.parametrize("text", PRIVATE)
def test_private_address_may_be_called_only_if_declared(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert address_problem(address, allow_private=False) is not None
    assert address_problem(address, allow_private=True) is None


@pytest.mark.parametrize("text", NEVER)
def test_metadata_multicast_and_unspecified_addresses_are_never_called(text: str) -> None:
    assert address_problem(ipaddress.ip_address(text), allow_private=True) is not None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1"]
)
def test_every_spelling_of_an_ipv4_address_is_read_as_the_resolver_reads_it(host: str) -> None:
    assert literal_address(host) == ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize("host", ["example.org", "hooks.slack.com", "1.2.3.4.5", "0x7g", "münchen.example"])
def test_name_is_not_read_as_an_address(host: str) -> None:
    assert literal_address(host) is None


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "localhost"])
async def test_odd_spelling_of_this_machine_is_refused_by_the_real_resolver(host: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="a loopback address; if it is meant, set allow_private: true"):
        await checked_addresses(host, 80, allow_private=False)


async def test_real_resolver_gives_the_loopback_address() -> None:
    assert "127.0.0.1" in await resolve("localhost", 80)


async def test_name_at_a_private_address_is_refused_and_the_address_named() -> None:
    with pytest.raises(ForbiddenAddressError, match=r"hooks\.example is at 10\.0\.0\.7, a private or reserved address"):
        await checked_addresses("hooks.example", 443, allow_private=False, resolver=answering("10.0.0.7"))


async def test_only_the_public_addresses_of_a_name_are_given() -> None:
    found = await checked_addresses(
        "hooks.example", 443, allow_private=False, resolver=answering("::1", "8.8.8.8", "10.0.0.1", "2606:2800::1")
    )
    assert found == ["8.8.8.8", "2606:2800::1"]


async def test_scoped_link_local_address_is_refused() -> None:
    with pytest.raises(ForbiddenAddressError, match="a link-local address"):
        await checked_addresses("hooks.example", 443, allow_private=False, resolver=answering("fe80::1%eth0"))


async def test_name_that_does_not_resolve_is_tried_again_later() -> None:
    async def failing(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with pytest.raises(TransientDeliveryError, match=r"the name hooks\.example could not be resolved"):
        await checked_addresses("hooks.example", 443, allow_private=False, resolver=failing)


async def test_name_without_addresses_is_tried_again_later() -> None:
    with pytest.raises(TransientDeliveryError, match="has no address"):
        await checked_addresses("hooks.example", 443, allow_private=False, resolver=answering())
