"""JSON that this project keeps in files and topics: read as the type that was written, or refused.

A file may be cut short or edited, and a topic is open to all: what has another form must not be found out by the code
that counts with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

T = TypeVar("T")
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""A number of bytes, records or lines, or an offset."""


@dataclass(frozen=True, slots=True)
class FirstVersion:
    """What a document must say that tells its version, whatever else it holds."""

    version: Literal[1]


def parsed(content: str | bytes, kind: type[T]) -> T:
    """What is kept, as its type. Names that the type does not have are passed over.

    Raises ValueError, whose text says what is wrong and never quotes the content, for anything else.
    """
    try:
        # mypy does not know that a class is hashable.
        found: T = _adapter(kind).validate_python(json.loads(content))  # type: ignore[arg-type]
        return found
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is no text")
    return value


FileName = Annotated[str, PlainValidator(_text)]
"""A path, of which not every byte need be UTF-8: Python has half surrogate pairs there, and so has the JSON."""
