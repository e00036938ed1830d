"""Tokens: made, listed and revoked by those who have the role `admin`."""

from fastapi import APIRouter

from incident_manager.access.caller import Caller
from incident_manager.access.roles import Role
from incident_manager.access.tokens import Token, new_token
from incident_manager.api.authentication import CurrentCaller, requires
from incident_manager.api.errors import ApiError
from incident_manager.api.request_id import current_request_id
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.services import Current, Services
from incident_manager.api.token_schemas import NewTokenOut, TokenCreate, TokenList, TokenOut
from incident_manager.store.audit import AuditEntry, add_audit
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.tokens import add_token, all_tokens, revoke_token

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=StrictRoute, dependencies=[requires(Role.ADMIN)])


@router.get("", responses=errors(503))
async def list_tokens(services: Current) -> TokenList:
    """The tokens that the database keeps; those of the settings are not among them."""
    return TokenList(tokens=[_shown(token) for token in await services.store.read(all_tokens)])


@router.post("", status_code=201, responses=errors(400, 413, 415, 422, 503))
async def create_token(body: TokenCreate, services: Current, caller: CurrentCaller) -> NewTokenOut:
    """Make a token. Its text is in this answer and nowhere else; an `Idempotency-Key` is not looked at, for the same
    reason.
    """
    now = services.now()
    if body.expires_at is not None and body.expires_at <= now:
        raise ApiError(422, "invalid_request", "expires_at: must be in the future", field="expires_at")
    token, text = new_token(body.name, frozenset(body.roles), now, body.expires_at)

    async def work(unit: UnitOfWork) -> None:
        await add_token(unit, token)
        await add_audit(unit, [_entry(services, caller, "token.create", None, token)])

    await services.store.run(work)
    await services.access.directory.reload()
    return NewTokenOut(**dict(_shown(token)), token=text)


@router.delete("/{token_id}", responses=errors(404, 422, 503))
async def revoke(token_id: str, services: Current, caller: CurrentCaller) -> TokenOut:
    """Revoke a token for ever: here at once, in other processes within `access.refresh` seconds."""
    if not token_id.isprintable() or len(token_id) > 100:
        raise ApiError(404, "token_not_found", "no token has this id")

    async def work(unit: UnitOfWork) -> Token:
        before, after = await revoke_token(unit, token_id, services.now())
        if after != before:
            await add_audit(unit, [_entry(services, caller, "token.revoke", before, after)])
        return after

    token = await services.store.run(work)
    await services.access.directory.reload()
    return _shown(token)


def _shown(token: Token) -> TokenOut:
    return TokenOut(
        id=token.id,
        name=token.name,
        roles=sorted(token.roles),
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )


def _entry(services: Services, caller: Caller, action: str, before: Token | None, after: Token) -> AuditEntry:
    old = {} if before is None else _shown(before).model_dump(mode="json")
    new = _shown(after).model_dump(mode="json")
    return AuditEntry(
        at=services.now(),
        token_id=caller.token_id,
        actor=caller.name,
        address=caller.address,
        action=action,
        target=after.id,
        changes={name: {"from": old.get(name), "to": value} for name, value in new.items() if old.get(name) != value},
        request_id=current_request_id(),
    )
