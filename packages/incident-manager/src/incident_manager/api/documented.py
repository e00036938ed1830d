"""A body that OpenAPI describes and that somebody else reads."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class DocumentedAs:
    """Marks an ``Any``: whatever comes is passed on as it is, and the documentation shows ``kind``.

    The adapters of `ingest` read their payloads themselves, with errors that name the field in the sender's terms.
    """

    kind: Any

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validation: none."""
        return core_schema.any_schema()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Documentation: that of ``kind``."""
        return handler(TypeAdapter(self.kind).core_schema)
