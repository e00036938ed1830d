"""Access as the settings ask for it."""

from __future__ import annotations

from incident_manager.access.control import AccessControl, Rates
from incident_manager.access.directory import TokenDirectory
from incident_manager.access.rates import Rate
from incident_manager.access.sessions import Sessions, session_key
from incident_manager.moments import now_of
from incident_manager.settings import RateSettings, Settings
from incident_manager.store.database import Store
from recloser import Clock


def build_access(settings: Settings, store: Store, clock: Clock) -> AccessControl:
    """Who may do what; await `start` of its directory before use."""
    now = now_of(clock)
    fixed = [token.as_token(name, now) for name, token in settings.tokens.items()]
    access = settings.access
    directory = TokenDirectory(store, clock, fixed, refresh=access.refresh, stale_after=access.stale_after)
    rates = Rates(ingest=_rate(access.ingest_rate), other=_rate(access.rate), failures=_rate(access.failure_rate))
    given = access.session_key
    key = session_key(settings.data_dir / "session.key") if given is None else given.get_secret_value().encode()
    sessions = Sessions(directory, clock, key=key, life=access.session_life)
    return AccessControl(directory, sessions, clock, mode=settings.auth, host=settings.host, rates=rates)


def _rate(settings: RateSettings) -> Rate:
    return Rate(settings.per_second, settings.burst)
