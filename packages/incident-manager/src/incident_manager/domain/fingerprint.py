"""Which alerts are the same trouble: one stable fingerprint for each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping


def fingerprint(source: str, title: str, labels: Mapping[str, str], dedup_key: str | None = None) -> str:
    """Return 64 hexadecimal digits that are equal exactly for alerts about the same trouble.

    The first of these that the alert has decides, and it is always namespaced by `source`:

    1. `dedup_key`: the sender's own key or fingerprint; the sender knows best.
    2. `labels`: all of them, names and values, whatever their order.
    3. `title`: for alerts with neither, which would otherwise all fall together.

    Each part is preceded by its length, so no two different inputs read the same
    (`{"a": "b,c=d"}` against `{"a": "b", "c": "d"}`), and each case by its name, so a key never equals a label set.
    """
    if dedup_key:
        return _digest("key", source, dedup_key)
    if labels:
        pairs = (part for item in sorted(labels.items()) for part in item)
        return _digest("labels", source, *pairs)
    return _digest("title", source, title)


def _digest(*parts: str) -> str:
    return hashlib.sha256(b"".join(_length_prefixed(parts))).hexdigest()


def _length_prefixed(parts: Iterable[str]) -> Iterable[bytes]:
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        yield len(encoded).to_bytes(8, "big")
        yield encoded
