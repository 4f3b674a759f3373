"""How large a schema may be: each writer chooses one, and every record of the schema costs as much as the schema has.

The jobs have the same limits in SchemaLimits.java.
"""

from __future__ import annotations

import json
from typing import Any

MAX_CHARACTERS = 1 << 20
"""The limit of the schema as text, and so of its names, symbols and branches."""
MAX_FIELDS = 1_000
"""The limit of the fields of all its records together. A field of type null takes no byte of a record, but its time."""
MAX_DEPTH = 32
MAX_FIXED_BYTES = 1 << 20
"""A larger fixed fits in no value, and memory is taken for it before its first byte is read."""


class SchemaTooLarge(ValueError):
    """A schema beyond a limit. The words have room for the schema's name before them: `has more than …`."""


def read_schema(text: str) -> Any:
    """Return the schema of a text. Raises SchemaTooLarge, and ValueError where the text is not JSON."""
    if len(text) > MAX_CHARACTERS:
        msg = f"has {len(text)} characters, and the limit is {MAX_CHARACTERS}"
        raise SchemaTooLarge(msg)
    try:
        schema = json.loads(text)
    except RecursionError:
        raise SchemaTooLarge(_deep()) from None
    check_limits(schema)
    return schema


def check_limits(schema: Any) -> None:
    """Raise SchemaTooLarge where a schema has too many fields, is too deep, or has too large a fixed."""
    fields, waiting = 0, [(schema, 0)]
    while waiting:
        of, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise SchemaTooLarge(_deep())
        if isinstance(of, list):
            waiting += [(branch, depth + 1) for branch in of]
        if not isinstance(of, dict):
            continue
        if of.get("type") == "fixed" and isinstance(of.get("size"), int) and of["size"] > MAX_FIXED_BYTES:
            msg = f"has a fixed of more than {MAX_FIXED_BYTES} bytes"
            raise SchemaTooLarge(msg)
        own = of["fields"] if isinstance(of.get("fields"), list) else []
        fields += len(own)
        if fields > MAX_FIELDS:
            msg = f"has more than {MAX_FIELDS} fields"
            raise SchemaTooLarge(msg)
        waiting += [(field.get("type"), depth + 1) for field in own if isinstance(field, dict)]
        waiting += [(of[inner], depth + 1) for inner in ("items", "values") if inner in of]
        if isinstance(of.get("type"), (dict, list)):
            waiting.append((of["type"], depth + 1))


def _deep() -> str:
    return f"has types inside each other more than {MAX_DEPTH} deep"
