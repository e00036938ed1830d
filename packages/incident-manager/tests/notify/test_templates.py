"""Texts an operator writes: checked before the service starts, bounded, and never a reason not to notify."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.notify.sample import sample_delivery
from incident_manager.notify.slack_message import marked_up
from incident_manager.notify.templates import InvalidTemplateError, MessageTemplate, TemplateKind, Templates

from .conftest import MakeDelivery

LOOP = "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ headline }}", "[P1 high] Disk <full>"),
        ("{{ incident.title | upper }} at {{ incident.labels.host }}", "DISK <FULL> at db-1"),
        ("{{ incident.labels.nowhere or 'unknown' }} {{ incident.annotations['run book'] }}!", "unknown !"),
        ("{% for k, v in incident.labels.items() %}{{ k }}={{ v }};{% endfor %}", "host=db-1;"),
        ("{% if event == 'triggered' %}!{% else %}.{% endif %} {{ destination }} {{ notification_id }}", "! ops msg_1"),
        ("{{ 2 * 3 + 1 }} {{ incident.title.split()[0] }} {{ ['a', 'b'] | join('-') }}", "7 Disk a-b"),
    ],
)
def test_text_is_made_of_the_incident(make_delivery: MakeDelivery, source: str, text: str) -> None:
    template = MessageTemplate(source, TemplateKind.TEXT)
    assert template.render(make_delivery(title="Disk <full>")) == text


def test_values_are_escaped_for_what_the_text_is(make_delivery: MakeDelivery) -> None:
    delivery = make_delivery(title='<!channel> & "x"')
    source = "<b>{{ incident.title }}</b>"
    assert MessageTemplate(source, TemplateKind.HTML).render(delivery) == ("<b>&lt;!channel&gt; &amp; &#34;x&#34;</b>")
    assert MessageTemplate(source, TemplateKind.MRKDWN).render(delivery) == '<b>&lt;!channel&gt; &amp; "x"</b>'
    body = MessageTemplate('{"text": {{ incident.title | tojson }}}', TemplateKind.JSON).render(delivery)
    assert body == r'{"text": "\u003c!channel\u003e \u0026 \"x\""}'


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("a\n{{ incident.titel }}", "line 2: 'dict object' has no attribute 'titel'"),
        ("{{ incidnt }}", "line 1: 'incidnt' is undefined"),
        ("a\n\n{% if %}", "line 3: Expected an expression"),
        ("{{ headline | shout }}", "line 1: No filter named 'shout'"),
        ("{% if event == 'resolved' %}{{ nothing }}{% endif %}x", "line 1: 'nothing' is undefined (in a notification "),
        ("{% macro m() %}{% endmacro %}x", "line 1: 'macro' is not available here"),
        ("{% include 'secrets' %}", "line 1: 'include' is not available here"),
        ("{{ headline ~ headline }}", "line 1: 'concat' is not available here"),
        ("{% set x %}y{% endset %}x", "line 1: 'assignblock' is not available here"),
        ("  ", "gives no text"),
        ("{{ headline.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ incident.update({'a': 1}) }}", "access to attribute 'update' of 'dict' object is unsafe"),
        ("{{ 'a'.center(1000000000) }}", "is not safely callable"),
        ("{{ '%1000000000d' % 1 }}", "'%' takes numbers"),
        ("{{ 'a' * 1000000000 }}", "'*' takes numbers"),
        ("{{ 9 ** 9 }}", "line 1: 'pow' is not available here"),
        (LOOP, "takes more than 20000 steps"),
        ("{% for a in range(9000) %}0123456789{% endfor %}", "gives more than 65536 characters"),
        ("{{ range(9000) | join('0123456789') }}", "gives more than 65536 characters"),
        ("x" * 20_000, "must have at most 16384 characters, not 20000"),
    ],
)
def test_template_that_cannot_work_is_refused_with_its_line(source: str, problem: str) -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        MessageTemplate(source, TemplateKind.TEXT)
    assert problem in str(caught.value)


def test_body_that_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidTemplateError, match=r"must give JSON; write values as {{ incident.title \| tojson }}"):
        MessageTemplate('{"text": {{ incident.title }}}', TemplateKind.JSON)


def test_template_that_fails_for_one_incident_is_replaced_by_the_built_in_text(make_delivery: MakeDelivery) -> None:
    template = MessageTemplate("{{ 10 // (incident.alert_count - 7) }}", TemplateKind.TEXT)
    templates = Templates({"text": template})
    warnings: list[str] = []
    assert templates.render("text", make_delivery(alert_count=8), warnings) == "10"
    assert templates.render("text", make_delivery(alert_count=7), warnings) is None
    assert warnings == ["the template of its text failed and the built-in text was sent (line 1: ZeroDivisionError)"]
    assert templates.render("subject", make_delivery(), warnings) is None
    assert len(warnings) == 1


@given(title=st.text(max_size=300), label=st.text(max_size=50), value=st.text(max_size=50))
def test_nothing_an_alert_says_is_taken_for_markup(title: str, label: str, value: str) -> None:
    delivery = sample_delivery(NotificationEvent.TRIGGERED)
    delivery.payload.update(title=title, labels={label: value})
    source = "|{{ incident.title }}|{% for k, v in incident.labels.items() %}{{ k }}={{ v }}{% endfor %}|"
    html = MessageTemplate(source, TemplateKind.HTML).render(delivery)
    assert not set("<>\"'") & set(html)
    message = marked_up(MessageTemplate(source, TemplateKind.MRKDWN).render(delivery))
    assert not set("<>") & set(message["text"])


def test_long_marked_up_text_is_cut_between_its_pieces() -> None:
    text = marked_up("<https://example.org/x|link> " + "&amp;" * 1000)["text"]
    assert len(text) <= 3000
    assert text.startswith("<https://example.org/x|link> &amp;")
    assert text.endswith("&amp;…")
