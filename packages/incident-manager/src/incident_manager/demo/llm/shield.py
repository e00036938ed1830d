"""A Shield: finds what follows `password:` and `ssn:`."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

_SECRETS = re.compile(r"(?i)(?:password|ssn):\s*(\S+)")


def scan(text: str) -> dict[str, Any]:
    """What it says of a text."""
    found = [match.span(1) for match in _SECRETS.finditer(text)]
    clean = _SECRETS.sub(lambda match: match[0].replace(match[1], "[REMOVED]"), text)
    score = 0.9 if found else 0.0
    factors = [{"description": "a secret", "severity": "high", "score": score}] if found else []
    entities = [
        {"entityType": "SECRET", "text": text[start:end], "start": start, "end": end, "confidence": 0.9}
        for start, end in found
    ]
    result = {
        "scanner": "secrets",
        "isValid": not found,
        "riskScore": score,
        "riskFactors": factors,
        "entities": entities,
        "executionTimeMs": 1,
    }
    return {
        "isValid": not found,
        "riskScore": score,
        "sanitizedText": clean,
        "scannerResults": [result],
        "scanTimeMs": 1,
        "cacheHit": False,
    }


async def _prompt(request: Request) -> JSONResponse:
    return JSONResponse(scan((await request.json())["prompt"]))


async def _output(request: Request) -> JSONResponse:
    return JSONResponse(scan((await request.json())["output"]))


async def _batch(request: Request) -> JSONResponse:
    results = [scan(item["prompt"]) for item in (await request.json())["items"]]
    return JSONResponse({"results": results, "totalTimeMs": 1, "successCount": len(results), "failureCount": 0})


async def _health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "healthy"})


ROUTES: list[BaseRoute] = [
    Route("/v1/scan/prompt", _prompt, methods=["POST"]),
    Route("/v1/scan/output", _output, methods=["POST"]),
    Route("/v1/scan/batch", _batch, methods=["POST"]),
    Route("/health", _health),
]
