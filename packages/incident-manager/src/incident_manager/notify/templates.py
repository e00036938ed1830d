"""Texts of notifications that an operator writes: Jinja2, in a sandbox, bounded in work and size.

Only the part of Jinja's language is taken whose cost can be bounded: text, expressions, `if`, `for` and `set`. Macros,
blocks, includes and `~` are not, each loop is counted, and so is what comes out. A template cannot reach anything but
what `variables` gives it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sized
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.filters import FILTERS, do_join
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_eval_context

from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.notify.sample import sample_delivery
from incident_manager.notify.wording import as_text, headline

SOURCE_LIMIT = 16 * 1024
"""Characters of a template."""
OUTPUT_LIMIT = 64 * 1024
"""Characters of what it gives, and of any text it makes on the way."""
STEP_LIMIT = 20_000
"""Loop rounds, look-ups and pieces of output in one rendering."""

_LARGEST_NUMBER = 10**15
_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.For,
    nodes.Assign,
    nodes.Name,
    nodes.Const,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Pos,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
)
# fmt: off
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items",
    "last", "length", "list", "lower", "max", "min", "reject", "rejectattr", "reverse", "round", "select",
    "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode",
)
# fmt: on
_TEXT_METHODS = frozenset({"endswith", "lower", "lstrip", "rstrip", "split", "startswith", "strip", "title", "upper"})


class InvalidTemplateError(ValueError):
    """A template is wrong, or gave nothing usable. The text repeats nothing of the template or the incident."""


class TemplateKind(StrEnum):
    """What a template's output is; decides how values are escaped."""

    TEXT = "text"
    HTML = "html"
    MRKDWN = "mrkdwn"
    JSON = "json"


class _Steps:
    """What is left of one rendering's budget."""

    def __init__(self) -> None:
        self._left = STEP_LIMIT

    def spend(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0:
            raise SecurityError(f"takes more than {STEP_LIMIT} steps")


_steps: ContextVar[_Steps] = ContextVar("steps of the rendering under way")


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        _steps.get().spend()
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        _steps.get().spend()
        return super().getitem(obj, argument)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _steps.get().spend()
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        both = (left, right)
        if operator == "+" and all(hasattr(value, "__len__") for value in both):
            _check_size(len(left) + len(right))
        elif not all(isinstance(value, int | float) and abs(value) <= _LARGEST_NUMBER for value in both):
            raise SecurityError(f"{operator!r} takes numbers up to {_LARGEST_NUMBER}")
        return super().call_binop(context, operator, left, right)

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(getattr(obj, "__self__", None), str):
            return obj.__name__ in _TEXT_METHODS
        return super().is_safe_callable(obj)


class MessageTemplate:
    """One template, compiled and checked.

    Args:
        source: What the operator wrote.
        kind: What it gives.

    Raises:
        InvalidTemplateError: It cannot be parsed, or cannot be rendered for a sample incident at one of the events.
            The message names the line.
    """

    def __init__(self, source: str, kind: TemplateKind) -> None:
        if len(source) > SOURCE_LIMIT:
            raise InvalidTemplateError(f"must have at most {SOURCE_LIMIT} characters, not {len(source)}")
        self._kind = kind
        environment = _ENVIRONMENTS[kind]
        try:
            tree = environment.parse(source)
            _restrict(tree)
            self._template = environment.from_string(tree)
        except TemplateSyntaxError as exc:
            raise InvalidTemplateError(f"line {exc.lineno}: {exc.message}") from None
        for event in NotificationEvent:
            try:
                self.render(sample_delivery(event))
            except InvalidTemplateError as exc:
                raise InvalidTemplateError(f"{exc} (in a notification that an incident is {event})") from None

    def render(self, delivery: Delivery) -> str:
        """Return the text for one notification.

        Raises:
            InvalidTemplateError: It cannot be rendered for this incident.
        """
        token = _steps.set(_Steps())
        problem: str | None
        try:
            pieces: list[str] = []
            size = 0
            for piece in self._template.generate(variables(delivery)):
                _steps.get().spend()
                size += len(piece)
                _check_size(size)
                pieces.append(piece)
            text = as_text("".join(pieces))
        except Exception as exc:  # noqa: BLE001 - whatever an operator's text meets must not lose a notification
            problem = _problem(exc)
        else:
            problem = self._output_problem(text)
        finally:
            _steps.reset(token)
        if problem is not None:
            raise InvalidTemplateError(problem)
        return text

    def _output_problem(self, text: str) -> str | None:
        if not text.strip():
            return "gives no text"
        if self._kind is TemplateKind.JSON:
            try:
                json.loads(text)
            except ValueError:
                return "must give JSON; write values as {{ incident.title | tojson }}"
        return None


class Templates:
    """The templates of one destination.

    Args:
        templates: By the part of the message they are for.
    """

    def __init__(self, templates: Mapping[str, MessageTemplate] | None = None) -> None:
        self._templates = dict(templates or {})

    def render(self, part: str, delivery: Delivery, warnings: list[str]) -> str | None:
        """Return the text of a part; None when the built-in one is to be used.

        A template that fails is no reason not to notify: the failure is added to `warnings`.
        """
        template = self._templates.get(part)
        if template is None:
            return None
        try:
            return template.render(delivery)
        except InvalidTemplateError as exc:
            warnings.append(f"the template of its {part} failed and the built-in text was sent ({exc})")
            return None


def variables(delivery: Delivery) -> dict[str, Any]:
    """What a template can use: `incident`, `event`, `headline`, `destination` and `notification_id`."""
    labels, annotations = (_Lenient(delivery.payload.get(key) or {}) for key in ("labels", "annotations"))
    return {
        "incident": {
            "group": None,
            "service": None,
            **delivery.payload,
            "id": delivery.incident_id,
            "labels": labels,
            "annotations": annotations,
        },
        "event": str(delivery.event),
        "headline": headline(delivery),
        "destination": delivery.destination,
        "notification_id": delivery.id,
    }


class _Lenient(dict[str, Any]):
    """Labels: which there are differs from incident to incident, so one that is missing is empty text."""

    def __missing__(self, key: str) -> str:
        return ""


def _restrict(tree: nodes.Template) -> None:
    """Refuse what cannot be bounded, and count the rounds of each loop."""
    for node in _all(tree):
        if not isinstance(node, _NODES):
            raise TemplateSyntaxError(f"{type(node).__name__.lower()!r} is not available here", node.lineno)
        if isinstance(node, nodes.For):
            node.iter = nodes.Filter(node.iter, "counted", [], [], None, None, lineno=node.lineno)


def _all(node: nodes.Node) -> list[nodes.Node]:
    return [node, *(below for child in node.iter_child_nodes() for below in _all(child))]


def _counted(values: Iterable[Any]) -> list[Any]:
    if isinstance(values, Sized):
        _steps.get().spend(len(values))
        return list(values)
    counted = []
    for value in values:
        _steps.get().spend()
        counted.append(value)
    return counted


@pass_eval_context
def _bounded_join(
    context: EvalContext, values: Iterable[Any], separator: str = "", attribute: str | None = None
) -> str:
    items = _counted(values)
    _check_size(sum(len(str(item)) + len(separator) for item in items))
    return str(do_join(context, items, separator, attribute))


def _bounded_replace(text: Any, old: str, new: str) -> str:
    whole = str(text)
    _check_size(len(whole) + whole.count(old) * max(0, len(new) - len(old)))
    return whole.replace(old, new)


def _check_size(characters: int) -> None:
    if characters > OUTPUT_LIMIT:
        raise SecurityError(f"gives more than {OUTPUT_LIMIT} characters")


def _problem(exc: Exception) -> str:
    """What went wrong, with the line. Errors that are not Jinja's may hold anything, so only their kind is told."""
    line = None
    traceback = exc.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    text = (exc.message or "cannot be rendered") if isinstance(exc, TemplateError) else type(exc).__name__
    return text if line is None else f"line {line}: {text}"


def _escape_mrkdwn(value: Any) -> Any:
    return value if hasattr(value, "__html__") else _escaped(as_text(value))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _environment(kind: TemplateKind) -> _Environment:
    finalize: Callable[..., Any] | None = {TemplateKind.MRKDWN: _escape_mrkdwn}.get(kind)
    environment = _Environment(undefined=StrictUndefined, autoescape=kind is TemplateKind.HTML, finalize=finalize)
    environment.globals = {"range": environment.globals["range"]}
    environment.filters = {name: FILTERS[name] for name in _FILTERS}
    environment.filters |= {"counted": _counted, "join": _bounded_join, "replace": _bounded_replace}
    return environment


_ENVIRONMENTS = {kind: _environment(kind) for kind in TemplateKind}
