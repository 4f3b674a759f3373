"""AWS Secrets Manager as far as reading goes: GetSecretValue over HTTP, for requests that are signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class SecretsManager(ThreadingHTTPServer):
    """Answers for `secrets`; `asked` are the names of those that were read."""

    def __init__(self, secrets: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secrets = secrets
        self.asked: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """What makes the SDK ask here, with credentials."""
        return {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://127.0.0.1:{self.server_port}",
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "not-a-real-one",
        }


class _Handler(BaseHTTPRequestHandler):
    server: SecretsManager

    def do_POST(self) -> None:
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["SecretId"]
        is_signed = self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        if self.headers["X-Amz-Target"] != "secretsmanager.GetSecretValue" or not is_signed:
            self._answer(400, {"__type": "InvalidRequestException", "message": "not signed, or not a read"})
        elif name not in self.server.secrets:
            self._answer(400, {"__type": "ResourceNotFoundException", "message": "can't find the specified secret"})
        else:
            self.server.asked.append(name)
            self._answer(200, {"Name": name, "SecretString": self.server.secrets[name]})

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def secrets_manager(secrets: dict[str, str]) -> Iterator[SecretsManager]:
    """Serve until the end of the block."""
    server = SecretsManager(secrets)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
