"""Keeping requests out of the networks the service itself stands in (server-side request forgery).

Whoever may name a destination could otherwise make the service call its neighbours: the cloud's metadata service, a
database, an admin page. Names are resolved here, every address is checked, and the caller connects to a *checked
address*, never to the name again, so an answer that changes between check and connection (DNS rebinding) gains
nothing. Checking resolved addresses also covers each odd spelling (`2130706433`, `0x7f.1`, `127.1`): the resolver
turns it into the address it means.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from incident_manager.notify.errors import TransientDeliveryError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""`await resolve(host, port)`: addresses as text, best first. Raises OSError when there are none."""

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google Cloud, OpenStack, DigitalOcean
        "169.254.170.2",  # AWS container credentials
        "fd00:ec2::254",  # AWS over IPv6
        "100.100.100.200",  # Alibaba Cloud
        "192.0.0.192",  # Oracle Cloud
        "168.63.129.16",  # Azure's host agent: a public address that never leaves the machine's host
    )
)
_NOT_PUBLIC = tuple(ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST_IPV6 = ipaddress.ip_network("2000::/3")


class ForbiddenAddressError(TransientDeliveryError):
    """The destination stands at an address that must not be called.

    Transient, because the cure is a settings change or a corrected DNS record, and what waits is then delivered.
    """


def address_problem(address: Address, *, allow_private: bool) -> str | None:
    """Why an address must not be called, in a few words; None when it may.

    Args:
        address: Where a connection would go.
        allow_private: Whether the destination was declared to be in a private network. Metadata services, multicast
            and unspecified addresses stay forbidden: no receiver of notifications is there.
    """
    address = _unwrap(address)
    if address in _METADATA:
        return "a cloud metadata address"
    if address.is_unspecified or address.is_multicast or address == ipaddress.ip_address("255.255.255.255"):
        return "not the address of one machine"
    if allow_private:
        return None
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if not _is_public(address):
        return "a private or reserved address"
    return None


def literal_address(host: str) -> Address | None:
    """The address a URL's host spells out, in any of the forms a resolver accepts; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        # The C library's own reading of "127.1", "0x7f000001", "017700000001" and "2130706433".
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError, UnicodeError):
        return None


async def resolve(host: str, port: int) -> Sequence[str]:
    """Addresses of a host from the system's resolver, in its order of preference.

    Raises:
        OSError: The name could not be resolved.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def checked_addresses(host: str, port: int, *, allow_private: bool, resolver: Resolver = resolve) -> list[str]:
    """Addresses of a host that may be called, to connect to directly.

    Args:
        host: A name or an address in any spelling.
        port: The port to be called.
        allow_private: See `address_problem`.
        resolver: Where addresses come from.

    Raises:
        TransientDeliveryError: The name could not be resolved.
        ForbiddenAddressError: It stands only at addresses that must not be called.
    """
    try:
        found = await resolver(host, port)
    except (OSError, UnicodeError):
        raise TransientDeliveryError(f"the name {host} could not be resolved") from None
    allowed: list[str] = []
    problem = None
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        reason = address_problem(address, allow_private=allow_private)
        if reason is None:
            allowed.append(text)
        else:
            problem = f"{host} is at {address}, {reason}"
    if allowed:
        return allowed
    if problem is None:
        raise TransientDeliveryError(f"the name {host} has no address")
    hint = "" if allow_private else "; if it is meant, set allow_private: true for this destination"
    raise ForbiddenAddressError(f"not called: {problem}{hint}")


def _unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, if it is one of the forms that do."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST_IPV6:
        return False
    return address.is_global and not address.is_reserved and not any(address in net for net in _NOT_PUBLIC)
