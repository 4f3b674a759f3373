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
from shardlake.schema_limits import read_schema

TIMEOUT_SECONDS = 10
FORGET_UNKNOWN_SECONDS = 30
MAX_UNKNOWN = 10_000


class UnknownSchema(Exception):
    """The registry answers, and has no such schema."""


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version of a subject."""

    number: int
    schema_id: int
    schema: dict[str, Any]


def same_version(versions: list[Version], schema: dict[str, Any]) -> Version | None:
    """The latest version that is the schema but for its docs, which some registries take for the same, too."""
    plain = without_docs(schema)
    return next((version for version in reversed(versions) if without_docs(version.schema) == plain), None)


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

        Versions that no reader takes are left out: those of another kind than a record of Avro, or beyond the limits.
        """
        try:
            numbers = self._ask(self._client.get_versions, subject)
        except SchemaRegistryError as error:
            if error.http_status_code != 404:
                raise
            return []
        found = [self._ask(self._client.get_version, subject, number) for number in sorted(numbers)]
        records = ((one, _record(one.schema.schema_str)) for one in found)
        return [Version(one.version, one.schema_id, record) for one, record in records if record]

    def compatibility(self, subject: str) -> str:
        """What a new version of the subject must keep to, as BACKWARD: its own rule, or that of all."""
        try:
            return str(self._ask(self._client.get_compatibility, subject))
        except SchemaRegistryError as error:
            if error.http_status_code != 404:
                raise
            return str(self._ask(self._client.get_compatibility))

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        """The schema of an id, asked once. Raises SchemaTooLarge, and UnknownSchema, an answer that is kept for half a
        minute."""
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
        schema: dict[str, Any] = read_schema(found.schema_str)
        self._by_id[schema_id] = schema
        return schema

    def is_of_subject(self, schema_id: int, subject: str) -> bool:
        """Whether the id is of a version of the subject, also of one that is deleted: records outlive versions.

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


def _record(text: str) -> dict[str, Any] | None:
    try:
        schema = read_schema(text)
    except ValueError:
        return None
    return schema if isinstance(schema, dict) and schema.get("type") == "record" else None


def _plain(schema: dict[str, Any]) -> Schema:
    return Schema(json.dumps(schema), "AVRO")
