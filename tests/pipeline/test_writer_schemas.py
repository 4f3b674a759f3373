"""Which writers' schemas the jobs' own decoder takes, asked in Flink's JVM of a registry that speaks HTTP.

A JVM of its own is told the registry's login by its environment, as a task manager is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from shardlake.schema_limits import MAX_DEPTH, MAX_FIELDS, MAX_FIXED_BYTES
from tests.unit.registry_server import RegistryServer, serving

pytestmark = pytest.mark.pipeline

SUBJECT = "events-value"
WANTED = '{"type": "record", "name": "Event", "namespace": "test", "fields": []}'
PROGRAM = """
import json, sys
from shardlake.testing.jobs import mini_cluster_environment
with mini_cluster_environment():
    from pyflink.java_gateway import get_gateway
    gateway, jvm = get_gateway(), get_gateway().jvm
    from py4j.protocol import Py4JJavaError
    url, subject, schema, ids = json.load(sys.stdin)
    Class, avro = jvm.java.lang.Class, "org.apache.flink.avro.shaded.org.apache.avro.Schema"
    def opened(member):
        member.setAccessible(True)
        return member
    def array(kind, *items):
        made = gateway.new_array(kind, len(items))
        for n, item in enumerate(items):
            made[n] = item
        return made
    def call(function, *arguments):
        try:
            return function(*arguments)
        except Py4JJavaError as error:
            cause = error.java_exception
            return (cause.getCause() or cause).toString()
    of = Class.forName("io.shardlake.flink.WriterSchemas")
    text = Class.forName("java.lang.String")
    make = opened(of.getDeclaredConstructor(array(jvm.java.lang.Class, text, text, Class.forName(avro))))
    parser = jvm.org.apache.flink.avro.shaded.org.apache.avro.Schema.Parser()
    writers = call(make.newInstance, array(jvm.java.lang.Object, url, subject, parser.parse(schema)))
    found = {"writers": str(writers)}
    if not isinstance(writers, str):
        number = jvm.java.lang.Integer.TYPE
        reader = opened(of.getDeclaredMethod("reader", array(jvm.java.lang.Class, number)))
        kind = opened(Class.forName("io.shardlake.flink.Poison").getDeclaredField("kind"))
        def read(one):
            try:
                return str(reader.invoke(writers, array(jvm.java.lang.Object, one))).split("@")[0]
            except Py4JJavaError as error:
                cause = error.java_exception.getCause()
                is_poison = cause.getClass().getSimpleName() == "Poison"
                return f"{kind.get(cause)}: {cause.getMessage()}" if is_poison else cause.toString()
        found |= {str(one): read(one) for one in ids}
    subjects = jvm.org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client
    settings = {"basic.auth.credentials.source": "SHARDLAKE"}
    sink = subjects.CachedSchemaRegistryClient(url, 10, settings)
    found["sink"] = str(call(sink.getAllSubjects))
    print("found " + json.dumps(found))
"""


def record(*types: Any, name: str = "Event") -> str:
    fields = [{"name": f"f{n}", "type": one} for n, one in enumerate(types)]
    return json.dumps({"type": "record", "name": name, "namespace": "test", "fields": fields})


def nested(depth: int) -> Any:
    return "null" if depth == 0 else {"type": "array", "items": nested(depth - 1)}


def fixed(size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": "F", "size": size}


def asked(registry: RegistryServer, ids: list[int], login: str = "") -> dict[str, str]:
    """What the JVM finds of these ids; it is told the login."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps([registry.url, SUBJECT, WANTED, ids]),
        env={**os.environ, "SCHEMA_REGISTRY_LOGIN": login} if login else dict(os.environ),
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("found ")]
    assert lines, done.stderr[-3000:]
    found: dict[str, str] = json.loads(lines[0].removeprefix("found "))
    assert not login or login.partition(":")[2] not in done.stdout + done.stderr
    return found


def test_schemas_of_the_subject_within_the_limits_are_read_and_the_password_lets_the_jobs_in() -> None:
    schemas = {
        1: record("null"), 2: record(*["null"] * MAX_FIELDS), 3: record(*["null"] * (MAX_FIELDS + 1)),
        4: record(nested(MAX_DEPTH - 1)), 5: record(nested(MAX_DEPTH)), 6: record(fixed(MAX_FIXED_BYTES)),
        7: record(fixed(2**31 - 1)), 8: record("null"), 9: record("null"), 10: record("null", name="Other"),
        11: "[" * 100_000, 12: record("null", fixed(1)), 13: " " * (1 << 21),
        14: record(fixed(MAX_FIXED_BYTES + 1)),
    }  # fmt: skip
    registry = RegistryServer(schemas, {SUBJECT: [1, 3, 7, 9, 11, 13], "others-value": [8, 10]}, login="shard:l@ke")
    registry.deleted = {(SUBJECT, 9)}
    registry.versions[SUBJECT] += [2, 4, 5, 6, 12, 14]
    registry.deleted |= {(SUBJECT, number) for number in (2, 4, 5, 6, 12, 14)}
    with serving(registry):
        found = asked(registry, [*schemas, 3, 8, 99, -1], "shard:l@ke")
        refused = asked(registry, [1])
    assert found.pop("sink") == "['events-value', 'others-value']"
    assert found.pop("writers").startswith("io.shardlake.flink.WriterSchemas")
    too_large = "io.shardlake.flink.SchemaTooLarge: schema"
    assert {number: kind for number, kind in found.items() if not kind.endswith("StrictReader")} == {
        "3": f"{too_large} 3 has more than 1000 fields",
        "5": f"{too_large} 5 has types inside each other more than 32 deep",
        "7": f"{too_large} 7 has a fixed of more than 1048576 bytes",
        "14": f"{too_large} 14 has a fixed of more than 1048576 bytes",
        "8": f"io.shardlake.flink.OtherSubject: schema 8 is not of the subject {SUBJECT}",
        "10": "io.shardlake.flink.OtherRecord: schema 10 is not of test.Event",
        "11": found["11"],
        "13": f"{too_large} 13 has 2097152 characters, and the limit is 1048576",
        "99": "io.shardlake.flink.UnknownSchema: the registry has no schema of the id 99",
        "-1": "io.shardlake.flink.UnknownSchema: the registry has no schema of the id 4294967295",
    }
    assert found["11"].startswith(("io.shardlake.flink.SchemaTooLarge", "io.shardlake.flink.NotAvro"))
    # A refused id is asked of the registry once, not for each of its records.
    assert [path for path in registry.asked if path.startswith("/schemas/ids/8")] == [
        "/schemas/ids/8?fetchMaxId=false", "/schemas/ids/8/versions?deleted=true",
    ]  # fmt: skip
    assert "does not let the jobs in: task managers take the login from SCHEMA_REGISTRY_LOGIN" in refused["writers"]
    assert "Unauthorized" in refused["sink"]
