"""Reading the settings from their sources: a file, the environment and the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource
from pydantic_settings import SettingsError as SourceError

from incident_manager.config_errors import InvalidSettingsError, Problem, unknown_key
from incident_manager.config_file import ConfigFile, read_config_file
from incident_manager.config_report import Key, Layer, merge, problems_of
from incident_manager.settings.settings import ENV_PREFIX, Settings

CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""Names the settings file when the command line does not."""

URL_VARIABLE, TOKEN_VARIABLE, TOKEN_FILE_VARIABLE = (f"{ENV_PREFIX}{name}" for name in ("URL", "TOKEN", "TOKEN_FILE"))
"""Where a running service is, and the token for it: for commands that ask one. No settings of the service."""

_NO_SETTINGS = (CONFIG_VARIABLE, URL_VARIABLE, TOKEN_VARIABLE, TOKEN_FILE_VARIABLE)

# What Kubernetes puts into every container beside a service called incident-manager; INCIDENT_MANAGER_PORT among it.
_SERVICE_LINK = re.compile(r"(SERVICE_(HOST|PORT(_.*)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://.*")


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """Where the settings of a process come from, to read them again.

    Attributes:
        config: The file that the command line names; None takes the one of the environment, if there is one.
        overrides: Values from the command line.
    """

    config: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path | None:
        """The settings file; None if there is none."""
        return _named(self.config)

    def load(self) -> Settings:
        """Read them. Raises as `load_settings`."""
        return load_settings(self.config, self.overrides)


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a file, the environment and the command line; each wins over the one before.

    Args:
        config: The YAML or TOML file; None takes the one `INCIDENT_MANAGER_CONFIG` names, if it does. Any text in it
            may hold `${NAME}`, which stands for an environment variable: a place for secrets.
        overrides: Values from the command line, by key; None values are left out.

    Raises:
        InvalidSettingsError: Something is wrong; the message names all of it, without secrets.
    """
    named = _named(config)
    file = read_config_file(named, os.environ) if named else ConfigFile()
    layers = [
        Layer(lambda _: str(named or "settings"), file.values, file.positions),
        Layer(_variable, _environment()),
        Layer(lambda _: "command line", {key: value for key, value in (overrides or {}).items() if value is not None}),
    ]
    merged = merge(layers)
    try:
        return Settings(**merged)
    except ValidationError as exc:
        problems = problems_of(exc, layers, lambda path: _known_keys(path, merged))
    raise InvalidSettingsError(problems)


def _named(config: Path | None) -> Path | None:
    return config or (Path(value) if (value := os.environ.get(CONFIG_VARIABLE)) else None)


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
        if not variable.upper().startswith(ENV_PREFIX) or variable.upper() in _NO_SETTINGS:
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
    models: list[type[BaseModel]] = [Settings]
    values: Any = merged
    for key in path:
        values = values[key]
        fields = [model.model_fields[key] for model in models if key in model.model_fields]
        if fields:
            models = [model for field in fields for model in _models_in(field.annotation, *field.metadata)]
        kind = values.get("type") if isinstance(values, Mapping) else None
        models = [model for model in models if kind in _kinds(model)] or models
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models_in(*annotations: Any) -> Iterator[type[BaseModel]]:
    """The sections that may stand in a field, in containers and unions as well."""
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            yield from _models_in(*get_args(annotation))


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["type"].annotation) if "type" in model.model_fields else ()
