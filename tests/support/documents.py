"""JSON that commands write, held against the schemas in the package."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from tfmpq.schemas import schema_text


def checked(text: str, command: str) -> dict[str, Any]:
    """The document, if it keeps the command's schema and has no key that the schema does not describe."""
    document = json.loads(text)
    assert document["schema"].startswith(f"tfmpq/{command}/")
    Draft202012Validator(_closed(json.loads(schema_text(document["schema"])))).validate(document)
    return document


def _closed(schema: Any) -> Any:
    """The schema without room for further keys: what is written is to be described."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **closed} if isinstance(schema.get("properties"), dict) else closed
