"""The schema registry. Down is not wrong: a registry that does not answer says nothing of a record."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import requests
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from shardlake import registry_login
from shardlake.avro.evolution import without_docs
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.schema_limits import SchemaTooLarge, read_schema

TIMEOUT_SECONDS = 10
FORGET_UNKNOWN_SECONDS = 30
MAX_UNKNOWN = 10_000


AVRO = "AVRO"
REFERRING = "AVRO with references"
"""The type of a version that refers to schemas of other subjects: without those it is no schema."""
TOO_LARGE = "AVRO beyond the limits"
NO_RECORD = "AVRO, no record"


class UnknownSchema(Exception):
    """The registry answers, and has no such schema."""


class UnreadableSchema(Exception):
    """The registry has the schema, and it is none that records can be read with."""

    def __init__(self, error_class: str, message: str) -> None:
        """`error_class` is a word for it, as NotAvro."""
        super().__init__(message)
        self.error_class, self.message = error_class, message


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version of a subject. `schema` is {} where its type is another than AVRO, as PROTOBUF."""

    number: int
    schema_id: int
    schema: dict[str, Any]
    type: str = AVRO


def same_version(versions: list[Version], schema: dict[str, Any]) -> Version | None:
    """The latest version that is the schema but for its docs, which some registries take for the same, too."""
    plain = without_docs(schema)
    avro = [version for version in reversed(versions) if version.type == AVRO]
    return next((version for version in avro if without_docs(version.schema) == plain), None)


class Registry:
    """One registry. Every call raises Unavailable where it does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        login = registry_login.login()
        self._client = SchemaRegistryClient(
            {
                "url": url, "timeout": TIMEOUT_SECONDS, "max.retries": 2, "retries.max.wait.ms": 1000,
                **({"basic.auth.user.info": ":".join(login)} if login else {}),
            }
        )  # fmt: skip
        self._by_id: dict[int, dict[str, Any]] = {}
        self._unknown_since: dict[int, float] = {}
        self._subjects: dict[int, tuple[float, frozenset[str]]] = {}

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema, for those who set up; its id. Registering the same again changes nothing.

        Raises ShardlakeError, with the registry's own words, where it refuses: `accepts` tells so before.
        """
        try:
            return int(self._ask(self._client.register_schema, subject, _plain(schema)))
        except SchemaRegistryError as error:
            if error.http_status_code not in (409, 422):
                raise
            msg = f"The registry refuses the schema of {subject}: {' '.join(str(error).split())[:500]}"
            raise ShardlakeError(msg, "`shardlake schema check` says why in fewer words.") from error

    def accepts(self, subject: str, schema: dict[str, Any]) -> bool:
        """Whether the schema keeps to the compatibility of a subject that has versions."""
        transitive = self.compatibility(subject).endswith("_TRANSITIVE")
        ask = self._client.test_compatibility_all_versions if transitive else self._client.test_compatibility
        try:
            return bool(self._ask(ask, subject, _plain(schema)))
        except SchemaRegistryError as error:
            if error.http_status_code != 422:
                raise
            return False  # it is no schema at all

    def schema_id(self, subject: str, schema: dict[str, Any]) -> int:
        """The id of a registered schema. Raises BadInput where it is not registered: producers register nothing.

        One that differs from a registered one in its docs alone has the id of that.
        """
        try:
            return int(self._ask(self._client.lookup_schema, subject, _plain(schema)).schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code != 404:
                raise
        same = same_version(self.versions(subject), schema)
        if same:
            return same.schema_id
        msg = f"The schema of {subject} is not registered at {self.url}."
        raise BadInput(
            msg, "`shardlake schema diff` shows what is new in it, `shardlake schema register` registers it."
        )

    def subjects(self) -> list[str]:
        """All there are, sorted."""
        return sorted(self._ask(self._client.get_subjects))

    def forget(self) -> None:
        """Delete all subjects with their versions, for tests: nobody can read records of those schemas any more."""
        for subject in self.subjects():
            for permanently in (False, True):
                self._ask(self._client.delete_subject, subject, permanently)

    def versions(self, subject: str) -> list[Version]:
        """The subject's versions, the oldest first; [] where there is no such subject.

        A version that no reader takes has another type than AVRO and the schema {}.
        """
        try:
            numbers = self._ask(self._client.get_versions, subject)
        except SchemaRegistryError as error:
            if error.http_status_code != 404:
                raise
            return []
        found = [self._ask(self._client.get_version, subject, number) for number in sorted(numbers)]
        return [_version(one.version, one.schema_id, one.schema) for one in found]

    def compatibility(self, subject: str) -> str:
        """What a new version of the subject must keep to, as BACKWARD: its own rule, or that of all."""
        try:
            return str(self._ask(self._client.get_compatibility, subject))
        except SchemaRegistryError as error:
            if error.http_status_code != 404:
                raise
            return str(self._ask(self._client.get_compatibility))

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        """The schema of an id, asked once.

        Raises SchemaTooLarge, UnreadableSchema, and UnknownSchema, an answer that is kept for half a minute.
        """
        if schema_id in self._by_id:
            return self._by_id[schema_id]
        if time.monotonic() - self._unknown_since.get(schema_id, float("-inf")) < FORGET_UNKNOWN_SECONDS:
            raise UnknownSchema(schema_id)
        try:
            found = self._ask(self._client.get_schema, schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code != 404:
                raise
            if len(self._unknown_since) >= MAX_UNKNOWN:
                self._unknown_since.clear()
            self._unknown_since[schema_id] = time.monotonic()
            raise UnknownSchema(schema_id) from error
        if found.schema_type not in (None, AVRO):
            raise UnreadableSchema("NotAvro", f"schema {schema_id} is of the type {found.schema_type}")
        if _type(found) == REFERRING:
            words = f"schema {schema_id} refers to schemas of other subjects, which are not read with it"
            raise UnreadableSchema("SchemaReferences", words)
        schema = _parsed(found)
        self._by_id[schema_id] = schema
        return schema

    def is_of_subject(self, schema_id: int, subject: str) -> bool:
        """Tell whether the id is of a version of the subject, also of one that is deleted: records outlive versions.

        The answer no is kept for half a minute.
        """
        since, subjects = self._subjects.get(schema_id, (float("-inf"), frozenset()))
        if subject not in subjects and time.monotonic() - since >= FORGET_UNKNOWN_SECONDS:
            try:
                versions = self._ask(partial(self._client.get_schema_versions, deleted=True), schema_id)
            except SchemaRegistryError as error:
                if error.http_status_code != 404:
                    raise
                versions = []
            subjects = frozenset(version.subject for version in versions)
            self._subjects[schema_id] = time.monotonic(), subjects
        return subject in subjects

    def _ask(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except SchemaRegistryError as error:
            if error.http_status_code in (404, 409, 422):
                raise
            if error.http_status_code in (401, 403):
                msg = f"The schema registry at {self.url} does not let us in (status {error.http_status_code})."
                raise Unavailable(msg, f"Set {registry_login.VARIABLE}=user:password.") from error
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


def _parsed(found: Schema) -> dict[str, Any]:
    """The schema, {} where it is none of a record in Avro by itself. Raises SchemaTooLarge."""
    if _type(found) != AVRO:
        return {}
    try:
        schema = read_schema(str(found.schema_str))
    except SchemaTooLarge:
        raise
    except ValueError:
        return {}
    return schema if isinstance(schema, dict) and schema.get("type") == "record" else {}


def _version(number: int, schema_id: int, found: Schema) -> Version:
    try:
        record = _parsed(found)
    except SchemaTooLarge:
        return Version(number, schema_id, {}, TOO_LARGE)
    kind = _type(found)
    return Version(number, schema_id, record, kind if record or kind != AVRO else NO_RECORD)


def _type(found: Schema) -> str:
    kind = str(found.schema_type or AVRO)
    return REFERRING if kind == AVRO and found.references else kind


def _plain(schema: dict[str, Any]) -> Schema:
    return Schema(json.dumps(schema), "AVRO")
