"""Our own redaction: secrets are recognised by their form. It finds less than Shield, and needs nobody."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without the secrets that were recognised, and their kinds."""

    text: str
    found: tuple[str, ...]


def redact(text: str) -> Redacted:
    """Replace what looks like a secret by `[REDACTED:<kind>]`. Running it again changes nothing more."""
    found = []
    for kind, pattern, is_secret in _PATTERNS:

        def replace(match: re.Match[str], kind: str = kind, is_secret: Callable[[str], bool] = is_secret) -> str:
            secret = match["secret"]
            if not is_secret(secret):
                return match[0]
            start, end = match.span("secret")
            offset = match.start()
            found.append(kind)
            return f"{match[0][: start - offset]}[REDACTED:{kind}]{match[0][end - offset :]}"

        text = pattern.sub(replace, text)
    return Redacted(text, tuple(dict.fromkeys(found)))


def _always(secret: str) -> bool:
    return True


def _is_new(secret: str) -> bool:
    return not secret.startswith("[REDACTED:")


def _is_card(digits: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1, annex B)."""
    plain = [int(digit) for digit in digits if digit.isdigit()]
    doubled = [
        digit if index % 2 == 0 else (digit * 2 - 9 if digit > 4 else digit * 2)
        for index, digit in enumerate(reversed(plain))
    ]
    return 13 <= len(plain) <= 19 and sum(doubled) % 10 == 0


_PATTERNS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (
        "private-key",
        re.compile(r"(?P<secret>-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))"),
        _always,
    ),
    ("aws-key", re.compile(r"\b(?P<secret>(?:AKIA|ASIA)[0-9A-Z]{16})\b"), _always),
    ("github-token", re.compile(r"\b(?P<secret>gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})\b"), _always),
    ("slack-token", re.compile(r"\b(?P<secret>xox[abeoprs]-[A-Za-z0-9-]{10,250})"), _always),
    ("slack-webhook", re.compile(r"https://hooks\.slack\.com/(?P<secret>services/[A-Za-z0-9/_-]{10,200})"), _always),
    ("api-key", re.compile(r"\b(?P<secret>sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,250})"), _always),
    (
        "jwt",
        re.compile(r"\b(?P<secret>eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,2000})"),
        _always,
    ),
    ("credentials", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,200}:(?P<secret>[^\s/@]{1,200})@"), _is_new),
    ("bearer-token", re.compile(r"(?i)\bbearer\s+(?P<secret>[A-Za-z0-9._~+/-]{8,2000}=*)"), _always),
    (
        "secret",
        re.compile(
            r"(?i)\b(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token|client[_-]?secret)"
            r"[\"']?\s*[:=]\s*[\"']?(?P<secret>[^\s\"',;&]{4,500})"
        ),
        _is_new,
    ),
    ("card-number", re.compile(r"(?<![\d.-])(?P<secret>\d(?:[ -]?\d){12,18})(?![\d.-])"), _is_card),
)
