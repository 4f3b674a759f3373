"""Whether a registry answers: what is no answer of HTTP is none."""

from __future__ import annotations

import socket
import threading

import pytest

from shardlake.stack.registry import answers

pytestmark = pytest.mark.unit


def test_a_port_that_gives_back_what_it_gets_is_no_registry() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo() -> None:
            """As a client that was connected to itself."""
            connection, _ = server.accept()
            with connection:
                connection.sendall(connection.recv(4096))

        threading.Thread(target=echo, daemon=True).start()
        assert not answers(f"http://127.0.0.1:{server.getsockname()[1]}/subjects")
