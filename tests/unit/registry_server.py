"""A small schema registry that speaks HTTP: subjects, versions and ids, with a password where it has one."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class RegistryServer:
    """`schemas` are texts by id; `versions` are the ids of each subject, `deleted` those that are deleted softly."""

    schemas: dict[int, str] = field(default_factory=dict)
    versions: dict[str, list[int]] = field(default_factory=dict)
    deleted: set[tuple[str, int]] = field(default_factory=set)
    login: str = ""
    asked: list[str] = field(default_factory=list)
    address: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def answer(self, path: str, authorization: str | None) -> tuple[int, Any]:
        self.asked.append(path)
        wanted = f"Basic {base64.b64encode(self.login.encode()).decode()}" if self.login else authorization
        if authorization != wanted:
            return 401, {"error_code": 40101, "message": "Unauthorized"}
        if match := re.fullmatch(r"/schemas/ids/(\d+)(/versions)?(?:\?(.*))?", path):
            number, query = int(match[1]), match[3] or ""
            if number not in self.schemas:
                return 404, {"error_code": 40403, "message": "Schema not found"}
            if not match[2]:
                return 200, {"schema": self.schemas[number]}
            with_deleted = "deleted=true" in query
            return 200, [
                {"subject": subject, "version": ids.index(number) + 1}
                for subject, ids in self.versions.items()
                if number in ids and (with_deleted or (subject, number) not in self.deleted)
            ]
        if match := re.fullmatch(r"/subjects/([\w-]+)/versions(?:/(\d+))?(?:\?.*)?", path):
            ids = self.versions.get(match[1], [])
            there = [n for n, one in enumerate(ids, 1) if (match[1], one) not in self.deleted]
            if not match[2]:
                return (200, there) if there else (404, {"error_code": 40401, "message": "Subject not found"})
            one = ids[int(match[2]) - 1]
            found = {"subject": match[1], "version": int(match[2]), "id": one, "schema": self.schemas[one]}
            return 200, found
        if path.split("?")[0] == "/subjects":
            return 200, sorted(self.versions)
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}


@contextmanager
def serving(registry: RegistryServer) -> Iterator[RegistryServer]:
    """Serve on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, content = registry.answer(self.path, self.headers["Authorization"])
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.address = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield registry
        finally:
            server.shutdown()
