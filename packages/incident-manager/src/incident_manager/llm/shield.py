"""Shield: is a text free of secrets, personal data and attacks, and how does it read without them?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from incident_manager.llm.connection import Connection
from incident_manager.llm.errors import MalformedAnswerError

NAME = "shield"

Ratio = Annotated[float, Field(ge=0, le=1)]


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class RiskFactor(_Camel):
    """One thing that a scanner found. `score` is 0..1."""

    description: str
    severity: str
    score: Ratio


class ScannerResult(_Camel):
    """What one scanner says. `risk_score` is 0..1."""

    scanner: str
    is_valid: bool
    risk_score: Ratio
    risk_factors: list[RiskFactor] = []


class Scan(_Camel):
    """What a scan says of a text.

    Attributes:
        is_valid: Nothing was found.
        risk_score: 0..1.
        sanitized_text: The text without what was found.
    """

    is_valid: bool
    risk_score: Ratio
    sanitized_text: str
    scanner_results: list[ScannerResult]

    def clean(self, text: str) -> str:
        """The scanned text as it may be passed on."""
        return text if self.is_valid else self.sanitized_text

    @property
    def findings(self) -> list[str]:
        """Names of the scanners that found something."""
        return [result.scanner for result in self.scanner_results if not result.is_valid]


class _Batch(_Camel):
    results: list[Scan]


class Shield:
    """Scans texts. Every method raises `LlmServiceError`, or `recloser.CircuitOpenError`.

    Args:
        connection: To the server.
        scanners: Names of the scanners to use; none means all.
    """

    def __init__(self, connection: Connection, scanners: Sequence[str] = ()) -> None:
        self.breaker = connection.breaker
        self._connection = connection
        self._scanners = list(scanners)

    async def scan(self, text: str) -> Scan:
        """Scan what goes to people or to a model."""
        return await self._connection.post("/v1/scan/prompt", self._request(prompt=text), Scan)

    async def scan_output(self, prompt: str, output: str) -> Scan:
        """Scan what a model made of a prompt."""
        return await self._connection.post("/v1/scan/output", self._request(prompt=prompt, output=output), Scan)

    async def scan_batch(self, texts: Sequence[str], max_concurrent: int = 4) -> Sequence[Scan]:
        """Scan several texts; one result for each, in order.

        Raises:
            MalformedAnswerError: There is not one result for each text.
        """

        def read(answer: _Batch) -> Sequence[Scan]:
            if len(answer.results) != len(texts):
                raise MalformedAnswerError(NAME, f"{len(answer.results)} results for {len(texts)} texts")
            return answer.results

        body = {"items": [self._request(prompt=text) for text in texts], "maxConcurrent": max_concurrent}
        return await self._connection.ask("/v1/scan/batch", body, _Batch, read)

    async def health(self) -> None:
        """Return when it is well."""
        await self._connection.check("/health")

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    def _request(self, **texts: str) -> dict[str, Any]:
        return {**texts, "scanners": self._scanners, "cacheEnabled": True}
