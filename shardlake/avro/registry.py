"""The schema registry. Down is not wrong: a registry that does not answer says nothing of a record."""

from __future__ import annotations

import json
import time
from typing import Any

import requests
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from shardlake.errors import BadInput, Unavailable

FORGET_UNKNOWN_SECONDS = 30


class UnknownSchema(Exception):
    """The registry answers, and has no such schema."""


class Registry:
    """One registry. Every call raises Unavailable where it does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = SchemaRegistryClient({"url": url, "timeout": 10, "max.retries": 2, "retries.max.wait.ms": 1000})
        self._by_id: dict[int, dict[str, Any]] = {}
        self._unknown_since: dict[int, float] = {}

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema, for those who set up; its id. Registering the same again changes nothing.

        Raises BadInput where records written with the registered one could not be read with this one.
        """
        try:
            return int(self._ask(self._client.register_schema, subject, _plain(schema)))
        except SchemaRegistryError as error:
            if error.http_status_code not in (409, 422):
                raise
            msg = f"The registry refuses the schema of {subject}: {' '.join(str(error).split())[:500]}"
            raise BadInput(msg, "Give a new field a default, and keep the types of those there are.") from error

    def schema_id(self, subject: str, schema: dict[str, Any]) -> int:
        """The id of a registered schema. Raises BadInput where it is not registered: producers register nothing."""
        try:
            return int(self._ask(self._client.lookup_schema, subject, _plain(schema)).schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code != 404:
                raise
            msg = f"The schema of {subject} is not registered at {self.url}."
            raise BadInput(msg, "`shardlake up` registers the pipeline's schemas; start it again.") from error

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        """The schema of an id, asked once. Raises UnknownSchema; that answer is kept for half a minute."""
        if schema_id in self._by_id:
            return self._by_id[schema_id]
        if time.monotonic() - self._unknown_since.get(schema_id, float("-inf")) < FORGET_UNKNOWN_SECONDS:
            raise UnknownSchema(schema_id)
        try:
            found = self._ask(self._client.get_schema, schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code != 404:
                raise
            self._unknown_since[schema_id] = time.monotonic()
            raise UnknownSchema(schema_id) from error
        schema: dict[str, Any] = json.loads(found.schema_str)
        self._by_id[schema_id] = schema
        return schema

    def _ask(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except SchemaRegistryError as error:
            if error.http_status_code in (404, 409, 422):
                raise
            raise self._unavailable(error) from error
        except (requests.RequestException, OSError, ValueError) as error:
            raise self._unavailable(error) from error
        except Exception as error:  # its HTTP library is not part of the client's interface
            if type(error).__module__.split(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2"}:
                raise self._unavailable(error) from error
            raise

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"The schema registry at {self.url} does not answer: {' '.join(str(error).split())[:200]}.",
            "Start the stack with `shardlake up`, or set SCHEMA_REGISTRY_URL.",
        )


def _plain(schema: dict[str, Any]) -> Schema:
    return Schema(json.dumps(schema), "AVRO")
