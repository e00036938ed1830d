"""The decision at the door: who asks, may they, and not too often."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass

from incident_manager.access.caller import ANONYMOUS, Caller
from incident_manager.access.directory import TokenDirectory
from incident_manager.access.exposure import AuthMode, is_loopback
from incident_manager.access.rates import Rate, RateLimiter
from incident_manager.access.roles import EVERYTHING, Role, granted
from incident_manager.access.sessions import Sessions
from incident_manager.domain.errors import (
    ForbiddenError,
    RateLimitedError,
    StoreUnavailableError,
    UnauthenticatedError,
    UnprotectedError,
)
from recloser import Clock

logger = logging.getLogger(__name__)

_SOON = 1.0
_MEANWHILE = granted([Role.INGEST, Role.READ])


@dataclass(frozen=True, slots=True)
class Rates:
    """How often one token may ask, and how often one address may fail to say who it is."""

    ingest: Rate
    other: Rate
    failures: Rate


class AccessControl:
    """Knows callers by their tokens and holds them to their roles and rates.

    Args:
        directory: The tokens.
        sessions: The browsers that have shown one.
        clock: Time.
        mode: `tokens` asks everybody; `none` asks nobody; `auto` asks everybody as soon as there is a token, and
            without one lets the programs of this machine do everything.
        host: The address that is listened on.
        rates: The limits. Without a token there are none: whoever may do everything needs no limit.
    """

    def __init__(
        self,
        directory: TokenDirectory,
        sessions: Sessions,
        clock: Clock,
        *,
        mode: AuthMode,
        host: str,
        rates: Rates,
    ) -> None:
        self.directory = directory
        self.sessions = sessions
        self._clock = clock
        self._mode = mode
        self._host = host
        self._had_tokens = False
        self._ingest = RateLimiter[str](rates.ingest)
        self._other = RateLimiter[str](rates.other)
        self._failures = RateLimiter[str](rates.failures)

    @property
    def asks(self) -> bool:
        """Whether callers must show a token. Once there was a token, they must until the process ends."""
        if self._mode != "auto":
            return self._mode == "tokens"
        self._had_tokens = self._had_tokens or self.directory.knows_any
        return self._had_tokens or not self.directory.was_read

    @property
    def cannot_tell(self) -> bool:
        """Whether the database, which has not been read since the start, says if this machine is asked for tokens.

        Until then its alerts are taken, for they would be lost, and it sees how things stand; all else waits for the
        database anyway.
        """
        unknown = self._mode == "auto" and not self._had_tokens
        return unknown and not self.directory.knows_any and not self.directory.was_read and is_loopback(self._host)

    @property
    def is_open_to_this_machine(self) -> bool:
        """Whether nobody is asked only because nobody but programs of this machine is expected."""
        return self._mode == "auto" and not self.asks

    def check_exposure(self) -> None:
        """Say how the service is protected. Call it once, when the tokens have been read.

        Raises:
            UnprotectedError: It would listen to a network and ask nobody, and nobody said that this is meant.
        """
        if self.asks:
            if not self.directory.knows_any:
                logger.warning("callers need a token and there is none yet: make one with `incident-manager tokens`")
        elif self._mode == "none":
            logger.warning("auth is none: whoever reaches %s may do everything", self._host)
        elif is_loopback(self._host):
            logger.warning(
                "no token is set: every program of this machine may do everything; make a token with"
                " `incident-manager tokens create` to change that"
            )
        else:
            raise UnprotectedError(
                f"host {self._host} is open to the network and no token is set: make one with `incident-manager tokens"
                " create` or under `tokens` in the settings, or say `auth: none` if nobody shall be asked"
            )

    def identify(self, token: str | None, address: str) -> Caller:
        """Return who asks.

        Args:
            token: What was shown; None for nothing.
            address: The client's IP address.

        Raises:
            UnauthenticatedError: Nothing was shown, or what opens nothing.
            RateLimitedError: The same, too often from this address.
        """
        if token is None:
            if self.cannot_tell:
                withheld = EVERYTHING - _MEANWHILE
                return Caller(token_id=None, name=ANONYMOUS, roles=_MEANWHILE, address=address, withheld=withheld)
            if self.asks:
                self._count_failure(address)
                raise UnauthenticatedError("a token is needed", given=False)
            return Caller(token_id=None, name=ANONYMOUS, roles=EVERYTHING, address=address)
        try:
            known, roles = self.directory.authenticate(token)
        except UnauthenticatedError:
            self._count_failure(address)
            raise
        withheld = granted(known.roles) - roles
        return Caller(token_id=known.id, name=known.name, roles=roles, address=address, withheld=withheld)

    def resume(self, session: str, address: str) -> Caller:
        """Return who asks with the session that a browser keeps.

        Args:
            session: What was shown.
            address: The client's IP address.

        Raises:
            UnauthenticatedError: It is none of ours, or is over. Nobody can guess one, so that it does not count.
        """
        found, known, roles = self.sessions.resume(session)
        withheld = granted(known.roles) - roles
        return Caller(
            token_id=known.id, name=known.name, roles=roles, address=address, withheld=withheld, session=found
        )

    def require(self, caller: Caller, role: Role) -> None:
        """Let a caller do what needs a role, and count it.

        Raises:
            ForbiddenError: The caller's roles do not include it.
            RateLimitedError: The caller asked too often.
            StoreUnavailableError: Nobody can say now whether the caller still has the role.
        """
        if role in caller.withheld:
            raise StoreUnavailableError("the token cannot be checked while the database is away", _SOON)
        if role not in caller.roles:
            has = ", ".join(sorted(caller.roles)) or "none"
            raise ForbiddenError(f"the role {role} is needed; {caller.name!r} has {has}")
        if caller.token_id is not None:
            limiter = self._ingest if role is Role.INGEST else self._other
            wait = limiter.take(caller.key, self._clock.monotonic())
            if wait:
                raise RateLimitedError(f"{caller.name!r} asks too often", wait)

    def is_still_good(self, caller: Caller) -> bool:
        """Tell whether a caller who was let in would be let in again."""
        if caller.token_id is None:
            return not self.asks
        if caller.session is not None and self.sessions.is_over(caller.session):
            return False
        return self.directory.is_good(caller.token_id)

    def _count_failure(self, address: str) -> None:
        wait = self._failures.take(network_of(address), self._clock.monotonic())
        if wait:
            raise RateLimitedError("too many requests without a good token from this address", wait)


def network_of(address: str) -> str:
    """Return what one client cannot change at will: the IPv4 address, or the first 64 bits of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))
