"""Servers of this machine are reached although the environment names a proxy that is none."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shardlake.flink.cluster import Cluster
from shardlake.loopback import ask_directly

pytestmark = pytest.mark.unit


class Answers(BaseHTTPRequestHandler):
    """An overview of no jobs, to any question."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"jobs": []}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("named", ["", "example.org, .internal"])
def test_a_proxy_is_not_asked_for_this_machine_s_servers(url: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setenv("NO_PROXY", named)
    monkeypatch.setenv("no_proxy", "")
    ask_directly()
    assert Cluster(url).jobs() == []
    assert urllib.request.urlopen(url, timeout=5).status == 200
    assert not named or urllib.request.proxy_bypass("a.internal")
    ask_directly()  # again, as in a command that a test starts
    assert Cluster(url).jobs() == []
