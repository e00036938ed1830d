"""Each type of destination: what it needs, what it refuses, and what it is by default."""

from collections.abc import Callable
from pathlib import Path

import pytest

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.settings import EmailDestination, PagerDutyDestination, SlackApiDestination, load_settings

Write = Callable[..., Path]
EMAIL = "type: email, server: mail.example.org, sender: ops@example.org, to: [ada@example.org]"
PAGER = "type: pagerduty, routing_key: 0123456789abcdef0123456789abcdef"


def refusal(path: Path) -> str:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(path)
    return str(caught.value)


def test_defaults(write: Write) -> None:
    text = f"destinations: {{mail: {{{EMAIL}}}, pager: {{{PAGER}}}, slack: {{type: slack_api, token: x, channel: C1}}}}"
    mail, pager, slack = load_settings(write(text)).destinations.values()
    assert isinstance(mail, EmailDestination)
    assert (mail.security, mail.effective_port, mail.pages) == ("starttls", 587, False)
    assert isinstance(pager, PagerDutyDestination)
    assert (pager.host, pager.pages, pager.max_per_second) == ("events.pagerduty.com", True, 2.0)
    assert isinstance(slack, SlackApiDestination)
    assert (slack.host, slack.pages, slack.max_per_second) == ("slack.com", False, 1.0)


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_port_follows_from_the_security(write: Write, security: str, port: int) -> None:
    [mail] = load_settings(write(f"destinations: {{m: {{{EMAIL}, security: {security}}}}}")).destinations.values()
    assert isinstance(mail, EmailDestination)
    assert mail.effective_port == port
    assert (mail.trust() is None) == (security == "none")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("type: email, sender: a@b.org, to: [c@d.org]", "d.server: is required"),
        (EMAIL.replace("mail.example.org", "'http://x'"), "d.server: must be the name of a machine"),
        (EMAIL.replace("mail.example.org", "localhost"), "d.server: leads to this machine itself; set allow_private"),
        (EMAIL.replace("mail.example.org", "10.1.2.3"), "d.server: leads to a private or reserved address"),
        (EMAIL.replace("[ada@example.org]", "[]"), "d.to: "),
        (EMAIL.replace("[ada@example.org]", "[a@b.org, ada]"), "d.to[1]: must be an address such as"),
        (EMAIL.replace("[ada@example.org]", "[a@b.org, a@b.org]"), "d.to[1]: occurs twice"),
        (EMAIL.replace("[ada@example.org]", '["a@b.org\\r\\nBcc: c@d.org"]'), "d.to[0]: must be an address such as"),
        (EMAIL.replace("ops@example.org", '"Ops\\r\\nBcc: c <a@b.org>"'), "d.sender: must be an address such as"),
        (EMAIL.replace("ops@example.org", "Ops"), "d.sender: must be an address such as"),
        (EMAIL + ", port: 0", "d.port: must be greater than or equal to 1"),
        (EMAIL + ", security: ssl", "d.security: must be 'none', 'starttls' or 'tls'"),
        (EMAIL + ", username: ops", "d: username and password belong together"),
        (EMAIL + ", username: o, password: SECRET, security: none", "d: a password is not sent over an unsecured"),
        (EMAIL + ", ca_file: /nowhere.pem", "d.ca_file: cannot be read (No such file or directory)"),
        (EMAIL + ", templates: {subjct: SECRET}", "d.templates.subjct: unknown key; did you mean 'subject'?"),
        (EMAIL + ", templates: {subject: '{{ SECRET }}'}", "d.templates.subject: line 1: 'SECRET' is undefined"),
        (EMAIL + ', templates: {html: "x\\n{{ incident.titel }}"}', "d.templates.html: line 2: 'dict object' has no"),
        (PAGER + ", templates: {summary: '{% if %}'}", "d.templates.summary: line 1: Expected an expression"),
        (
            "type: webhook, url: 'https://x.org/', templates: {body: '{{ headline }}'}",
            "d.templates.body: must give JSON; write values as {{ incident.title | tojson }}",
        ),
        (
            "type: pagerduty, routing_key: SECRET",
            "d.routing_key: must be the 32 letters and digits of an Events API v2",
        ),
        ("type: pagerduty", "d.routing_key: is required"),
        ("type: slack_api, channel: C1", "d.token: is required"),
        ('type: slack_api, channel: C1, token: "SECRET\\n"', "d.token: must be printable ASCII without blanks"),
        ("type: slack_api, channel: 'a b', token: SECRET", "d.channel: "),
    ],
)
def test_mistake_names_the_key_and_the_rule(write: Write, line: str, expected: str) -> None:
    message = refusal(write(f"destinations: {{d: {{{line}}}}}"))
    assert f"destinations.{expected}" in message
    assert "SECRET" not in message.replace("'SECRET' is undefined", "")


def test_ca_file_without_certificates_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    message = refusal(write(f"destinations: {{d: {{{EMAIL}, ca_file: {tmp_path}/empty.pem}}}}"))
    assert "destinations.d.ca_file: holds no certificates in PEM" in message
