"""The jobs' decoder, in a JVM, beside the one in Python: of each value both say that it is an event, with the same
fields, or neither does.

A second opinion is worth something only while the two were written apart: neither calls the other.
"""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from shardlake.avro.codec import Decoder, Undecodable
from shardlake.child import die_with_parent
from shardlake.flink.columns import columns
from shardlake.install import layout, own_jar
from tests.fuzz.tries import Fault, Try
from tests.fuzz.values import EPOCH, SCHEMA, SCHEMAS, TOPIC, Known, values

NAME = "jobs' decoder"
BATCH = 500
VERSIONS = (7, 1)
"""The ids of the subject's versions, the oldest first."""
OURS = "io.shardlake.flink."
_SIZE = struct.Struct(">i")


class RegistryHandler(BaseHTTPRequestHandler):
    """Answers what the jobs ask a registry that has SCHEMAS."""

    def do_GET(self) -> None:
        """A schema by its id, the subject's versions, or one of them."""
        parts = self.path.partition("?")[0].strip("/").split("/")
        found: Any = None
        if parts[:2] == ["schemas", "ids"] and int(parts[2]) in SCHEMAS:
            found = {"schema": json.dumps(SCHEMAS[int(parts[2])])}
            if parts[3:] == ["versions"]:
                found = [{"subject": TOPIC.subject, "version": 1}]
        elif parts[:3] == ["subjects", TOPIC.subject, "versions"]:
            found = list(range(1, len(VERSIONS) + 1))
            if len(parts) == 4:
                number = VERSIONS[int(parts[3]) - 1]
                known = {"subject": TOPIC.subject, "version": int(parts[3]), "id": number}
                found = {**known, "schema": json.dumps(SCHEMAS[number])}
        body = json.dumps({"error_code": 40403, "message": "no such schema"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


class JobsDecoder:
    """The decoder in its JVM."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def verdicts(self, batch: Sequence[bytes]) -> list[str]:
        """What it makes of each value: `event` and the fields, or the class of a dead letter."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        sent = b"".join(_SIZE.pack(len(value)) + value for value in batch)
        self._process.stdin.write(_SIZE.pack(len(batch)) + sent)
        self._process.stdin.flush()
        found = []
        for _ in batch:
            (size,) = _SIZE.unpack(self._process.stdout.read(_SIZE.size))
            found.append(self._process.stdout.read(size).decode())
        return found


@contextmanager
def started(folder: Path) -> Iterator[JobsDecoder]:
    """Compile and start it; its log is in the folder."""
    registry = ThreadingHTTPServer(("127.0.0.1", 0), RegistryHandler)
    threading.Thread(target=registry.serve_forever, daemon=True).start()
    libraries = sorted((layout.FLINK / "lib").glob("*.jar"))
    with tempfile.TemporaryDirectory() as built, (folder / "decoder.log").open("wb") as log:
        jar = Path(built) / "verdicts.jar"
        own_jar.build(Path(__file__).parent / "java", libraries, layout.JAVA, layout.ROOT / "ecj.jar", jar)
        types = [column.type for column in columns(SCHEMA)]
        url = f"http://127.0.0.1:{registry.server_port}"
        process = subprocess.Popen(
            [
                str(layout.JAVA), "-Xmx512m", "-cp", ":".join(map(str, [*libraries, jar])),
                "io.shardlake.flink.Verdicts", url, TOPIC.subject, json.dumps(SCHEMA), *types,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, preexec_fn=die_with_parent(),
        )  # fmt: skip
        try:
            yield JobsDecoder(process)
        finally:
            process.kill()
            process.wait()
            registry.shutdown()


def tries(chance: Random, jobs: JobsDecoder) -> Iterator[Try]:
    """Values as `values` makes them, asked of the JVM a batch at a time."""
    decoder = Decoder(SCHEMA, Known(), TOPIC.subject)
    kinds = [(column.name, column.type) for column in columns(SCHEMA)]
    source = values(chance)

    def compared(value: bytes, verdict: str) -> str:
        try:
            record = decoder.decode(value)
        except Undecodable as refused:
            if verdict.startswith("event"):
                raise Fault(f"an event to the jobs, {refused.error_class} to Python") from refused
            if not verdict.startswith(OURS):
                raise Fault(f"a dead letter of the class {verdict}, {refused.error_class} to Python") from refused
            return f"both refuse: {verdict.removeprefix(OURS)}"
        fields = " ".join(_text(record[name], kind) for name, kind in kinds)
        if verdict != f"event {fields}":
            raise Fault(f"to Python event {fields}, to the jobs {verdict}")
        return "event to both"

    while True:
        batch = list(islice(source, BATCH))
        for value, verdict in zip(batch, jobs.verdicts(batch), strict=True):
            yield value, partial(compared, value, verdict)


def _text(value: Any, kind: str) -> str:
    """As Verdicts.java writes a field."""
    if isinstance(value, str):
        return f"x{value.encode().hex()}"
    if isinstance(value, datetime):
        since = value - EPOCH
        return str((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    if kind == "DOUBLE" and value is not None:
        return f"d{struct.unpack('>Q', struct.pack('>d', value))[0]:x}"
    return "null" if value is None else str(value)
