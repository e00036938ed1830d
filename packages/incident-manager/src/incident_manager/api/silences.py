"""Silences: for a time, nobody is told of the incidents they match. Maintenance windows are those that begin later."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.change import AnyChange, differences
from incident_manager.api.errors import ApiError
from incident_manager.api.responses import REPLAYED, errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.services import Current
from incident_manager.api.silence_schemas import LONGEST, SilenceCreate, SilenceList, SilenceOut
from incident_manager.domain.errors import SilenceNotFoundError
from incident_manager.domain.silence import Silence, SilenceState, new_silence
from incident_manager.pipeline import silencing
from incident_manager.store import silences
from incident_manager.store.repository import UnitOfWork

router = APIRouter(prefix="/v1/silences", tags=["silences"], route_class=StrictRoute)

_ID = re.compile(r"sil_[0-9a-f]{32}")
READ = [requires(Role.READ)]
RESPOND = [requires(Role.RESPOND)]


def possible_id(silence_id: str) -> str:
    """Return an id that a silence may have. Raises SilenceNotFoundError for any other text."""
    if not _ID.fullmatch(silence_id):
        raise SilenceNotFoundError(silence_id)  # no silence ever had it, so that nobody need look
    return silence_id


SilenceId = Annotated[str, AfterValidator(possible_id), Path(examples=["sil_0198c0de7a7b7c0f8e9d0a1b2c3d4e5f"])]


@router.get("", responses=errors(422, 503), dependencies=READ)
async def list_silences(
    services: Current,
    state: Annotated[list[SilenceState] | None, Query(description="Only these; may be repeated.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Of those that have ended, how many at most.")] = 50,
) -> SilenceList:
    """Every silence that is active or pending, and the latest of those that have ended, newest first."""
    now = services.now()

    async def read(unit: UnitOfWork) -> list[Silence]:
        found = {silence.id: silence for silence in await silences.ended(unit, now, limit)}
        found |= {silence.id: silence for silence in await silences.current(unit, now)}
        return sorted(found.values(), key=lambda silence: silence.id, reverse=True)

    shown = [_shown(silence, now) for silence in await services.store.read(read)]
    return SilenceList(silences=[one for one in shown if not state or one.state in state])


@router.post(
    "",
    status_code=201,
    response_model=SilenceOut,
    responses={
        **errors(400, 409, 413, 415, 422, 503),
        201: {
            "headers": {
                **REPLAYED,
                "Location": {"description": "Where the silence is.", "schema": {"type": "string"}},
            }
        },
    },
    dependencies=RESPOND,
)
async def create_silence(body: SilenceCreate, services: Current, change: AnyChange) -> Response:
    """Tell nobody of some incidents for a time. They are kept as always; what people would have been told in the
    meantime, and what waits to be sent already, is sent when the silence ends.
    """
    now = services.now()
    starts_at, ends_at = _period(body, now)
    silence = new_silence(
        matchers=body.matchers,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=body.reason,
        by=change.by(body.by),
        at=now,
    )

    async def work(unit: UnitOfWork) -> None:
        await change.before(unit)
        await silencing.begin(unit, silence, now)
        shown = _shown(silence, now)
        await change.record(
            unit,
            action="silence.create",
            target=silence.id,
            changes=differences(None, shown.model_dump(mode="json", exclude={"id", "state"})),
            body=shown.model_dump_json(),
            status=201,
            headers={"Location": f"/v1/silences/{silence.id}"},
        )

    return await change.made(lambda: services.store.run(work))


@router.get("/{silence_id}", responses=errors(404, 422, 503), dependencies=READ)
async def get_silence(silence_id: SilenceId, services: Current) -> SilenceOut:
    """One silence."""
    return _shown(await services.store.read(lambda unit: silences.get(unit, silence_id)), services.now())


@router.delete(
    "/{silence_id}",
    response_model=SilenceOut,
    responses={**errors(404, 409, 422, 503), 200: {"headers": REPLAYED}},
    dependencies=RESPOND,
)
async def end_silence(silence_id: SilenceId, services: Current, change: AnyChange) -> Response:
    """End a silence now; what it held back is sent, unless another silence holds it. One that has ended stays so."""
    now = services.now()
    change.by(None)

    async def work(unit: UnitOfWork) -> None:
        await change.before(unit)
        before = await silences.get(unit, silence_id)
        await silences.end(unit, silence_id, now)
        after = await silences.get(unit, silence_id)
        old, new = _shown(before, now), _shown(after, now)
        changes = differences(old.model_dump(mode="json"), new.model_dump(mode="json"))
        await change.record(
            unit, action="silence.end", target=silence_id, changes=changes or None, body=new.model_dump_json()
        )

    answer = await change.made(lambda: services.store.run(work))
    services.dispatcher.wake()
    return answer


def _period(body: SilenceCreate, now: datetime) -> tuple[datetime, datetime]:
    """When a silence begins and ends.

    Raises:
        ApiError: 422: neither or both of `ends_at` and `duration` are given, or there is no such time.
    """
    starts_at = body.starts_at or now
    if (body.ends_at is None) == (body.duration is None):
        raise _refused("ends_at", "give either ends_at or duration")
    if body.ends_at is None:
        try:
            ends_at = starts_at + timedelta(seconds=body.duration or 0)
        except OverflowError:
            raise _refused("duration", "must end before the year 10000") from None
        field = "duration"
    else:
        ends_at, field = body.ends_at, "ends_at"
    if ends_at <= max(starts_at, now):
        raise _refused(field, "the silence must end after its beginning and the present")
    if (ends_at - starts_at).total_seconds() > LONGEST:
        raise _refused(field, f"a silence may last {LONGEST:.0f} seconds")
    return starts_at, ends_at


def _refused(field: str, rule: str) -> ApiError:
    return ApiError(422, "invalid_request", f"{field}: {rule}", field=field)


def _shown(silence: Silence, at: datetime) -> SilenceOut:
    return SilenceOut(
        id=silence.id,
        state=silence.state(at),
        matchers=silence.matchers,
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        reason=silence.reason,
        created_by=silence.created_by,
        created_at=silence.created_at,
    )
