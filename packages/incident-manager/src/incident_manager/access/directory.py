"""The tokens that are known, in memory: asked at every request, also while the database is away."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from incident_manager.access.roles import Role, granted
from incident_manager.access.tokens import Token, digest_of
from incident_manager.domain.errors import StoreUnavailableError, UnauthenticatedError
from incident_manager.moments import now_of
from incident_manager.store.database import Store
from incident_manager.store.tokens import all_tokens, note_use
from recloser import Clock

logger = logging.getLogger(__name__)

USE_NOTED_EVERY = timedelta(minutes=1)
_INGEST_ONLY = frozenset({Role.INGEST})


class TokenDirectory:
    """Knows every token of the settings and of the store.

    What the store has is read again every `refresh` seconds, and when `reload` is called. While the store is away,
    the tokens that were read last stay good for `ingest`, however long it takes, so that no alert is turned away; for
    everything else they are good for `stale_after` seconds, so that a revoked one does not open things for ever.

    Args:
        store: Where tokens are kept.
        clock: Time.
        fixed: The tokens of the settings.
        refresh: Seconds between two readings.
        stale_after: Seconds after which what was read last opens only `ingest`.
    """

    def __init__(
        self, store: Store, clock: Clock, fixed: Iterable[Token], *, refresh: float, stale_after: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._fixed = {token.digest: token for token in fixed}
        self._kept: dict[str, Token] = {}
        self._used: dict[str, datetime] = {}
        self._refresh = refresh
        self._stale_after = stale_after
        self._read_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def was_read(self) -> bool:
        """Whether the store's tokens were read at least once."""
        return self._read_at is not None

    @property
    def knows_any(self) -> bool:
        """Whether there is any token, revoked and expired ones too."""
        return bool(self._fixed or self._kept)

    @property
    def fixed(self) -> list[Token]:
        """The tokens of the settings."""
        return list(self._fixed.values())

    async def start(self) -> None:
        """Read the store's tokens if it can be used, and again from time to time until `stop`."""
        with contextlib.suppress(StoreUnavailableError):  # the tokens of the settings are good meanwhile
            await self.reload()
        self._task = asyncio.create_task(self._work(), name="token directory")

    async def stop(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def reload(self) -> None:
        """Read the store's tokens now.

        Raises:
            StoreUnavailableError: What was read last stays.
        """
        kept = {token.digest: token for token in await self._store.read(all_tokens)}
        self._kept, self._read_at = kept, self._clock.monotonic()

    def authenticate(self, text: str) -> tuple[Token, frozenset[Role]]:
        """Find the token with a text.

        Returns:
            The token, and the roles it grants now.

        Raises:
            UnauthenticatedError: There is none, or it opens nothing any more.
        """
        # What is looked up is a digest: whoever measures the time of a look-up learns nothing of the secret.
        digest = digest_of(text)
        token = self._fixed.get(digest) or self._kept.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest):
            raise UnauthenticatedError("the token is not known", given=True)
        return token, self._granted_now(token)

    def recognise(self, token_id: str) -> tuple[Token, frozenset[Role]]:
        """Find the token with an id, which its holder has shown before.

        Returns:
            The token, and the roles it grants now.

        Raises:
            UnauthenticatedError: There is none, or it opens nothing any more.
        """
        token = self._with_id(token_id)
        if token is None:
            raise UnauthenticatedError("the token is not known any more", given=True)
        return token, self._granted_now(token)

    def _granted_now(self, token: Token) -> frozenset[Role]:
        now = self._now()
        problem = token.problem(now)
        if problem is not None:
            raise UnauthenticatedError(problem, given=True)
        roles = granted(token.roles)
        if token.digest in self._fixed:
            return roles
        self._used[token.id] = now
        return roles & _INGEST_ONLY if self._is_stale() else roles

    def _is_stale(self) -> bool:
        return self._read_at is None or self._clock.monotonic() - self._read_at > self._stale_after

    def is_good(self, token_id: str) -> bool:
        """Tell whether a token that was good still is."""
        token = self._with_id(token_id)
        return token is not None and token.problem(self._now()) is None

    def _with_id(self, token_id: str) -> Token | None:
        tokens = (token for known in (self._fixed, self._kept) for token in known.values())
        return next((token for token in tokens if token.id == token_id), None)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._refresh)
            try:
                await self._note_use()
                await self.reload()
            except StoreUnavailableError:
                logger.debug("tokens cannot be read now; those read last stay")
            except Exception:
                logger.exception("tokens could not be read; those read last stay")

    async def _note_use(self) -> None:
        """Write when tokens were last used, each once a minute at most."""
        used = {
            token.id: self._used[token.id]
            for token in self._kept.values()
            if token.id in self._used
            and (token.last_used_at is None or self._used[token.id] - token.last_used_at >= USE_NOTED_EVERY)
        }
        if used:
            await self._store.run(lambda unit: note_use(unit, used))
        self._used = {token_id: at for token_id, at in self._used.items() if token_id not in used}

    def _now(self) -> datetime:
        return now_of(self._clock)
