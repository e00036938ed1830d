"""Settings: one file and the environment, checked as a whole before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx2
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from incident_manager.config_errors import InvalidSettingsError, Problem, shown, unknown_key
from incident_manager.config_file import read_config_file
from incident_manager.config_report import Key, Layer, merge, problems_of
from incident_manager.domain.severity import Severity
from incident_manager.notify.ssrf import address_problem, literal_address
from incident_manager.notify.webhook import decode_secret
from incident_manager.protection import UnknownBreakerNameError, breaker_table
from recloser import SettingsError

ENV_PREFIX = "INCIDENT_MANAGER_"
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""Names the settings file when the command line does not."""

_DESTINATION_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})
# What Kubernetes puts into every container beside a service called incident-manager; INCIDENT_MANAGER_PORT among it.
_SERVICE_LINK = re.compile(r"(SERVICE_(HOST|PORT(_.*)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://.*")

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _HttpDestination(_Section):
    allow_private: bool = False
    """Whether the URL may lead to a private or loopback address."""
    url: SecretStr
    """Where to post. Treated as a secret, because the path of a webhook often is one."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        try:
            url = httpx2.URL(value.get_secret_value())
        except (httpx2.InvalidURL, ValueError):
            raise ValueError("must be a URL") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("must be a http:// or https:// URL with a host")
        if url.userinfo:
            raise ValueError("must not hold a user name or password; use headers")
        problem = _host_problem(url.raw_host.decode("ascii"), allow_private=bool(info.data.get("allow_private")))
        if problem is not None:
            raise ValueError(f"leads to {problem}; set allow_private: true if a private address is meant")
        return value


class WebhookDestination(_HttpDestination):
    """A generic webhook, signed as Standard Webhooks says."""

    type: Literal["webhook"] = "webhook"
    secret: SecretStr | None = None
    """`whsec_` and 24 to 64 bytes in base64; without it, requests are not signed."""
    headers: dict[str, SecretStr] = {}
    """More request headers."""
    max_per_second: Annotated[float, Field(gt=0)] | None = None
    """At most this many notifications a second; None for no limit."""

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            decode_secret(value.get_secret_value())
        return value

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            if name.lower() in _OWN_HEADERS or name.lower().startswith("webhook-"):
                raise ValueError(f"{name!r} is set by the service itself")
            text = secret.get_secret_value()
            if not text.isascii() or not (text.isprintable() or "\t" in text):
                raise ValueError(f"the value of {name!r} must be printable ASCII")
        return value


class SlackDestination(_HttpDestination):
    """A Slack incoming webhook."""

    type: Literal["slack"] = "slack"
    max_per_second: Annotated[float, Field(gt=0)] | None = 1.0
    """Slack accepts one message a second and channel."""


DestinationSettings = Annotated[WebhookDestination | SlackDestination, Field(discriminator="type")]


class RouteSettings(_Section):
    """Who is told about incidents of these severities."""

    severities: frozenset[Severity] = frozenset()
    """P0 to P4 or the usual words; empty for every severity."""
    destinations: tuple[str, ...]

    @field_validator("severities", mode="before")
    @classmethod
    def _parse_severities(cls, value: Any) -> Any:
        return [Severity.parse(item) if isinstance(item, str) else item for item in _listed(value)]


class DispatcherSettings(_Section):
    """How notifications are tried. Durations are seconds."""

    batch: Annotated[int, Field(ge=1, le=1000)] = 10
    """Notifications claimed at a time."""
    send_timeout: Seconds = 10.0
    """The longest one send may take."""
    lease: Seconds = 60.0
    """How long a claim lasts; after a crash the claimed notifications are sent again after this."""
    backoff_base: Seconds = 1.0
    """Wait after the first failed attempt; it doubles with each."""
    backoff_max: Seconds = 300.0
    """The longest wait between attempts."""
    give_up_after: Seconds = 72 * 3600.0
    """Age at which a notification that still fails is given up."""
    poll: Seconds = 15.0
    """The longest time without looking for notifications of other processes."""

    @model_validator(mode="after")
    def _check_combinations(self) -> DispatcherSettings:
        if self.lease <= self.send_timeout:
            raise ValueError(f"lease ({self.lease:g} s) must be longer than send_timeout ({self.send_timeout:g} s)")
        if self.backoff_max < self.backoff_base:
            raise ValueError(f"backoff_max ({self.backoff_max:g} s) must not be below backoff_base")
        return self


class Settings(BaseSettings):
    """Everything that can be set. Made by `load_settings`, or directly in tests: the environment is not read then."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one."""
    data_dir: Path = Path("data")
    """Folder of the embedded database."""
    database_url: SecretStr | None = None
    """SQLAlchemy URL; None for SQLite in `data_dir`."""
    destinations: dict[str, DestinationSettings] = {}
    """Who can be told, by name."""
    routes: tuple[RouteSettings, ...] | None = None
    """Who is told what; None tells every destination everything."""
    breakers: dict[str, dict[str, Any]] = {}
    """Changes to the circuit breakers: `database`, and `notify:<destination>` for each destination."""
    dispatcher: DispatcherSettings = DispatcherSettings()

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store. May hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{(self.data_dir / 'incidents.db').absolute()}"

    @field_validator("destinations")
    @classmethod
    def _check_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not _DESTINATION_NAME.fullmatch(name):
                raise _located([name], name, "must be 1 to 63 of a-z, 0-9, '.', '_' and '-', not a mark first")
        return value

    @field_validator("routes")
    @classmethod
    def _check_routes(
        cls, value: tuple[RouteSettings, ...] | None, info: ValidationInfo
    ) -> tuple[RouteSettings, ...] | None:
        known = info.data.get("destinations")
        for index, route in enumerate(value or ()):
            for position, name in enumerate(route.destinations):
                if known is not None and name not in known:
                    there = ", ".join(known) or "none"
                    rule = f"must be the name of a destination; there are: {there}"
                    raise _located([index, "destinations", position], name, rule)
        return value

    @field_validator("breakers")
    @classmethod
    def _check_breakers(cls, value: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        destinations = info.data.get("destinations")
        for name, changes in value.items() if destinations is not None else ():
            try:
                breaker_table(destinations or (), {name: changes})
            except UnknownBreakerNameError as exc:
                raise _located([name], name, exc.rule) from None
            except SettingsError as exc:
                raise _located([name, *exc.field.split(".")], exc.value, exc.rule) from None
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: `load_settings` joins the sources itself, to say where a wrong value came from."""
        return (init_settings,)


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a file, the environment and the command line; each wins over the one before.

    Args:
        config: The YAML or TOML file; None takes the one `INCIDENT_MANAGER_CONFIG` names, if it does. Any text in it
            may hold `${NAME}`, which stands for an environment variable: a place for secrets.
        overrides: Values from the command line, by key; None values are left out.

    Raises:
        InvalidSettingsError: Something is wrong; the message names all of it, without secrets.
    """
    named = config or (Path(value) if (value := os.environ.get(CONFIG_VARIABLE)) else None)
    layers = [
        Layer(lambda _: str(named or "settings"), read_config_file(named, os.environ) if named else {}),
        Layer(_variable, _environment()),
        Layer(lambda _: "command line", {key: value for key, value in (overrides or {}).items() if value is not None}),
    ]
    merged = merge(layers)
    try:
        return Settings(**merged)
    except ValidationError as exc:
        problems = problems_of(exc, layers, lambda path: _known_keys(path, merged))
    raise InvalidSettingsError(problems)


def _environment() -> dict[str, Any]:
    """What the environment says, nested as the settings are.

    Raises:
        InvalidSettingsError: A variable is not of a setting, or is not the JSON it must be.
    """
    problems = []
    source = EnvSettingsSource(Settings)
    kept = dict(source.env_vars)
    for variable, value in os.environ.items():
        name = variable.upper().removeprefix(ENV_PREFIX)
        if not variable.upper().startswith(ENV_PREFIX) or variable.upper() == CONFIG_VARIABLE:
            continue
        key = name.partition("__")[0].lower()
        if _SERVICE_LINK.fullmatch(name) and (key not in Settings.model_fields or _SERVICE_LINK_VALUE.match(value)):
            kept.pop(variable.lower(), None)
        elif key not in Settings.model_fields:
            problems.append(Problem(f"environment variable {variable}", "", unknown_key(key, Settings.model_fields)))
    if problems:
        raise InvalidSettingsError(problems)
    source.env_vars = kept
    try:
        return source()
    except SourceError as exc:
        field = re.search(r'field "(\w+)"', str(exc))
        name = _variable([field[1]]) if field else "environment"
    raise InvalidSettingsError([Problem(name, "", "must be JSON")])


def _variable(path: Sequence[Key]) -> str:
    return f"environment variable {ENV_PREFIX}{'__'.join(str(key) for key in path).upper()}"


def _known_keys(path: Sequence[Key], merged: Mapping[str, Any]) -> Collection[str]:
    """The keys that may stand below a path."""
    match path:
        case ["destinations", name]:
            kind = merged["destinations"][name].get("type")
            return (SlackDestination if kind == "slack" else WebhookDestination).model_fields
        case ["routes", _]:
            return RouteSettings.model_fields
        case ["dispatcher"]:
            return DispatcherSettings.model_fields
        case _:
            return Settings.model_fields


def _host_problem(host: str, *, allow_private: bool) -> str | None:
    """Why a host must not be called, as far as its spelling tells; names are checked again at every send."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return None if allow_private else "this machine itself"
    address = literal_address(host)
    return None if address is None else address_problem(address, allow_private=allow_private)


def _located(path: list[Any], value: object, rule: str) -> PydanticCustomError:
    """An error in a part of a field that pydantic knows as one value."""
    return PydanticCustomError("located", "{rule}", {"path": path, "value": shown(value), "rule": rule})


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError("must be a list")
    return list(value)
