"""Tokens, as the API makes and shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import (
    Field,
)

from incident_manager.access.roles import Role
from incident_manager.api.schemas import Command, Model, Moment, Name


class TokenOut(Model):
    """What is known of a token; not its secret."""

    id: str
    name: str
    roles: list[Role]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class NewTokenOut(TokenOut):
    """A new token with its text, which is shown here and never again."""

    token: str


class TokenList(Model):
    """The tokens that the database keeps, revoked ones too, oldest first."""

    tokens: list[TokenOut]


class TokenCreate(Command):
    """A token to be made."""

    name: Name = Field(description="Who or what will hold it; it stands where a change says who made it.")
    roles: Annotated[list[Role], Field(min_length=1, max_length=4)] = Field(
        description="`respond` includes `read`, `admin` includes all others."
    )
    expires_at: Moment | None = Field(default=None, description="From this moment on it opens nothing.")
