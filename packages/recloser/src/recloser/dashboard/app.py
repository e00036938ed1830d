"""The ASGI application: which address is answered with what."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from recloser.dashboard import pages, stream
from recloser.dashboard.access import (
    Access,
    Authorize,
    bearer,
    form_cookie,
    form_token,
    fresh_form_token,
    refuse_other_forms,
    refuse_other_origins,
)
from recloser.dashboard.cards import key_of, name_of
from recloser.dashboard.control import Audit, Desk, Order
from recloser.dashboard.frames import MAX_FILTER, STATES, Filter, Frame, Row
from recloser.dashboard.history import KINDS, Entry, History, latest
from recloser.dashboard.http import (
    ClientLeftError,
    HttpError,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    parse_form,
    read_body,
    with_slash,
)
from recloser.dashboard.sampler import Sampler
from recloser.registry import Registry
from recloser.summaries import summary

HISTORY = 1_000
"""How many changes are remembered."""

STREAMS = 100
"""How many viewers may be shown the page live at the same time."""

PATIENCE = 10.0
"""Seconds to wait for a reading of the breakers."""

PAGE = 1_000
"""How many breakers or changes one answer to a program holds at most."""

STATIC = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

Answer = Callable[[Request, Receive], Awaitable[Response]]


class Dashboard:
    """The application that `dashboard` makes. It can be served alone or mounted in another one."""

    def __init__(self, registry: Registry, access: Access, audit: Audit | None, title: str, home: str) -> None:
        self._registry = registry
        self._home = home
        self._access = access
        self._title = title
        self._history = History(HISTORY)
        self._sampler = Sampler(registry, self._history)
        self._desk = Desk(self._history, audit)
        self._stop_listening = registry.add_listener(self._history.note, KINDS)
        self._static = {name: resources.files(__package__).joinpath("static", name).read_bytes() for name in STATIC}
        self._answers: dict[str, dict[str, Answer]] = {
            "/": {"GET": self._index},
            "/breaker": {"GET": self._detail},
            "/control": {"POST": self._control_form},
            "/api/breakers": {"GET": self._list},
            "/api/breaker": {"GET": self._one},
            "/api/changes": {"GET": self._changes},
            "/api/control": {"POST": self._control},
            **{f"/static/{name}": {"GET": self._file} for name in STATIC},
        }

    @property
    def viewers(self) -> int:
        """How many are shown the breakers at the moment."""
        return self._sampler.viewers

    def close(self) -> None:
        """Stop listening to the breakers and end the thread. The application of a server does not need it."""
        self._stop_listening()
        self._sampler.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI 3 has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            await self._respond(scope, receive, send)
        else:
            raise ValueError(f"scope type {scope['type']!r}: must be http, websocket or lifespan")

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                self.close()
                return

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        try:
            request = Request.of(scope)
            if request.path == "/events" and request.method == "GET":
                await self._stream(request, receive, send)
                return
            response = await self._answer_to(request)(request, receive)
        except HttpError as error:
            response = Response.error(error)
        except ClientLeftError:
            return
        await response.send(send, head=head)

    def _answer_to(self, request: Request) -> Answer:
        if not request.path:
            raise HttpError(307, "moved", "the page is at the address with a slash", location=with_slash(request.scope))
        answers = self._answers.get(request.path, {"GET": self._events_head} if request.path == "/events" else None)
        if answers is None:
            raise HttpError(404, "not_found", f"there is nothing at {request.path}")
        answer = answers.get("GET" if request.method == "HEAD" else request.method)
        if answer is None:
            allowed = ", ".join([*answers, *(["HEAD"] if "GET" in answers else [])])
            raise HttpError(405, "method_not_allowed", f"{request.method}: must be one of {allowed}", allow=allowed)
        return answer

    # For people

    async def _index(self, request: Request, receive: Receive) -> Response:
        viewer = await self._viewer(request)
        frame = await self._frame()
        return self._html(request, viewer, pages.index(frame, _filter(request), viewer, stream.clock_time()))

    async def _detail(self, request: Request, receive: Receive) -> Response:
        return await self._detail_page(request, request.query.get("name", ""))

    async def _detail_page(
        self, request: Request, name: str, problem: HttpError | None = None, given: dict[str, str] | None = None
    ) -> Response:
        viewer = await self._viewer(request)
        frame = await self._frame()
        rows = frame.matching(Filter(name=name))
        breaker = self._registry.get(name)
        if not rows or breaker is None:
            detail = "It may have been forgotten: keyed breakers that nobody uses are."
            return Response.html(pages.failure("There is no breaker of this name", detail), 404)
        text = pages.detail(
            frame,
            rows[0],
            breaker.settings,
            viewer,
            stream.clock_time(),
            problem=problem.detail if problem else "",
            given=given or {},
        )
        return self._html(request, viewer, text, problem.status if problem else 200)

    async def _control_form(self, request: Request, receive: Receive) -> Response:
        refuse_other_origins(request.headers)
        if request.content_type != "application/x-www-form-urlencoded":
            raise HttpError(415, "wrong_type", "the form must be sent as application/x-www-form-urlencoded")
        fields = parse_form(await read_body(receive))
        name = name_of(fields.get("key", ""))
        try:
            refuse_other_forms(request, fields.get("form_token", ""))
            who = await self._access.who(request, fields.get("token"))
            order = Order.of({**fields, "breaker": name}, self._registry)
            if fields.get("confirm") != "yes":
                raise HttpError(422, "invalid", "confirm: must be ticked")
        except HttpError as error:
            return await self._detail_page(request, name, error, fields)
        await self._desk.carry_out(order, who)
        return Response(b"", "text/plain", 303, {"location": f"breaker?name={key_of(name)}"})

    async def _file(self, request: Request, receive: Receive) -> Response:
        name = request.path.rpartition("/")[2]
        return Response(self._static[name], STATIC[name])

    async def _stream(self, request: Request, receive: Receive, send: Send) -> None:
        if self._sampler.viewers >= STREAMS:
            raise HttpError(503, "too_many", f"{STREAMS} pages are live already", retry_after="30")
        shown = stream.Stream(_filter(request), self._title)
        await stream.serve(self._sampler, shown, receive, send)

    async def _events_head(self, request: Request, receive: Receive) -> Response:
        return Response(b"", "text/event-stream")

    async def _viewer(self, request: Request) -> pages.Viewer:
        return pages.Viewer(
            title=self._title,
            process=f"process {os.getpid()} on {socket.gethostname()}",
            may_control=await self._access.may_control(request.scope),
            needs_token=self._access.needs_token,
            form_token=form_token(request.headers) or fresh_form_token(),
            home=self._home,
        )

    def _html(self, request: Request, viewer: pages.Viewer, text: str, status: int = 200) -> Response:
        if not viewer.may_control or form_token(request.headers) is not None:
            return Response.html(text, status)
        return Response.html(text, status, set_cookie=form_cookie(viewer.form_token, request.scope))

    async def _frame(self) -> Frame:
        """A reading of all breakers that has begun after the request came."""
        viewer = self._sampler.watch()
        try:
            frame = await viewer.next(PATIENCE)
        finally:
            self._sampler.leave(viewer)
        if frame is None:
            raise HttpError(503, "not_read", f"the breakers could not be read within {PATIENCE:g} s", retry_after="10")
        return frame

    # For programs

    async def _list(self, request: Request, receive: Receive) -> Response:
        limit, offset = _number(request, "limit", 100, 1, PAGE), _number(request, "offset", 0, 0, math.inf)
        frame = await self._frame()
        rows = frame.matching(_filter(request))
        return Response.json(
            {
                "process": os.getpid(),
                "health": {**frame.health.to_dict(), "held": frame.held},
                "matching": len(rows),
                "breakers": [
                    {**summary(row.stats), "groups": list(row.groups)} for row in rows[offset : offset + limit]
                ],
            }
        )

    async def _one(self, request: Request, receive: Receive) -> Response:
        name = request.query.get("name", "")
        rows = (await self._frame()).matching(Filter(name=name))
        if not rows:
            raise HttpError(404, "unknown_breaker", f"name={name!r}: there is no breaker of this name")
        return Response.json({"process": os.getpid(), **_as_json(rows[0])})

    async def _changes(self, request: Request, receive: Receive) -> Response:
        limit = _number(request, "limit", 100, 1, PAGE)
        entries = (await self._frame()).entries
        found = latest(entries, limit, breaker=request.query.get("name"))
        return Response.json({"process": os.getpid(), "changes": [_change(entry) for entry in found]})

    async def _control(self, request: Request, receive: Receive) -> Response:
        refuse_other_origins(request.headers)
        if request.content_type != "application/json":  # no form of another site can send this
            raise HttpError(415, "wrong_type", "the body must be application/json")
        who = await self._access.who(request, bearer(request.headers))
        fields = _object(await read_body(receive))
        if isinstance(fields.get("key"), str):  # the page has names only in this form
            fields["breaker"] = name_of(fields["key"])
        order = Order.of(fields, self._registry)
        record = await self._desk.carry_out(order, who)
        done = {"time": record.time.isoformat(), "who": who, "operation": record.operation, "reason": record.reason}
        return Response.json({"process": os.getpid(), **done, "breaker": summary(order.breaker.stats())})


def _filter(request: Request) -> Filter:
    """What a viewer wants to see.

    Raises:
        HttpError: There is no such state.
    """
    state = request.query.get("state", "")
    if state and state not in STATES:
        raise HttpError(400, "invalid", f"state={state!r}: must be one of {', '.join(STATES)}")
    query = request.query
    return Filter(query.get("q", "").strip()[:MAX_FILTER], state, query.get("group", ""), query.get("name") or None)


def _number(request: Request, name: str, default: int, least: int, most: float) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        bounds = f"from {least} to {most}" if math.isfinite(most) else f"of {least} or more"
        raise HttpError(400, "invalid", f"{name}={text!r}: must be a whole number {bounds}")
    return int(text)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise HttpError(400, "malformed", "the body must be JSON") from None
    if not isinstance(value, dict):
        raise HttpError(422, "invalid", "the body must be an object with breaker, operation and reason")
    return value


def _as_json(row: Row) -> dict[str, Any]:
    latency = row.latency
    seconds = None
    if latency is not None:
        bounds = {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99}
        finite = {name: bound if math.isfinite(bound) else None for name, bound in bounds.items()}
        seconds = {**finite, "recent": latency.recent}
    return {**row.stats.to_dict(), "groups": list(row.groups), "latency": seconds}


def _change(entry: Entry) -> dict[str, Any]:
    event = entry.event
    values = {name: getattr(event, name) for name in type(event).__dataclass_fields__}
    plain = {name: str(value) if isinstance(value, str) else value for name, value in values.items()}
    return {"number": entry.number, "event": type(event).__name__, "who": entry.who, **plain}


def dashboard(
    registry: Registry,
    *,
    token: str | None = None,
    authorize: Authorize | None = None,
    anonymous_control: bool = False,
    audit: Audit | None = None,
    title: str = "Circuit breakers",
    home: str | None = None,
) -> Dashboard:
    """A page that shows the breakers of a registry live, and lets people operate them, as an ASGI application.

        app.mount("/breakers", dashboard(registry, token=os.environ["BREAKERS_TOKEN"]))

    Without `token`, `authorize` or `anonymous_control` it is read-only. Whoever reaches it may read: names and errors
    of your dependencies are on it, so put it where your other internal pages are. It shows the breakers of its own
    process.

    Args:
        registry: The breakers.
        token: What somebody must know to operate a breaker, 16 characters or more: typed into the page, or sent as
            `Authorization: Bearer ...`.
        authorize: `authorize(scope)` returns the name of the person who may operate breakers, or None; it may be async.
            `scope` is the ASGI scope of the request, with the headers, and the session and user that the host
            application's middleware has put there.
        anonymous_control: Whether everybody who reaches the page may operate breakers.
        audit: `audit(record)` is told of every operation, with an `AuditRecord`; it may be async. An error in it is
            logged. Every operation is also logged by `recloser.dashboard`.
        title: What the page is called.
        home: Address of the page that this one belongs to, for a link back: a path, or an http or https address.

    Raises:
        ValueError: The token is too short, more than one way to be allowed was given, or `home` is no such address.
    """
    if home is not None and not home.startswith(("/", "http://", "https://")):
        raise ValueError(f"home={home!r}: must begin with /, http:// or https://")
    return Dashboard(registry, Access(token, authorize, anonymous_control), audit, title, home or "")
