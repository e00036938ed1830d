"""What every section of the settings has in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from incident_manager.config_errors import shown

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A duration."""


class Section(BaseModel):
    """Base of the sections: a key that does not exist is an error, and no value is in an error's text."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def located(path: list[Any], value: object, rule: str) -> PydanticCustomError:
    """An error in a part of a field that pydantic knows as one value."""
    return PydanticCustomError("located", "{rule}", {"path": path, "value": shown(value), "rule": rule})


def listed(value: Any) -> list[Any]:
    """The value as a list.

    Raises:
        ValueError: It is no list.
    """
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError("must be a list")
    return list(value)
