"""PyFlink's JVM, which does whatever it is told on a port of loopback, told by nobody without its token.

PyFlink starts its JVM with a gateway that any user of the machine could command, and has no setting for a token. Here
the JVM's main class is ours, and both directions want the token: commands to the JVM, and what the JVM calls in Python.
"""

from __future__ import annotations

import os
import secrets
import struct
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from shardlake.errors import ShardlakeError
from shardlake.planner import FOUND_IN, MAIN, PORT_FILE, Claim

if TYPE_CHECKING:
    from subprocess import Popen

    from py4j.java_gateway import JavaGateway

_started: list[Popen[bytes] | Claim] = []
"""The JVM of this process ends when its standard input does, and the claim on the stack's planner when its lock is
closed: both must be kept."""


def guard() -> None:
    """Have PyFlink use a JVM with a token. Call it before anything of PyFlink that needs the JVM."""
    from pyflink import java_gateway

    launch: Callable[[], JavaGateway] = _gateway
    java_gateway.launch_gateway = launch


def connect(port: int, token: str) -> JavaGateway:
    """Return a gateway to the JVM of that port."""
    from py4j.java_gateway import CallbackServerParameters, GatewayParameters, JavaGateway

    threads = {"daemonize": True, "daemonize_connections": True}
    return JavaGateway(
        gateway_parameters=GatewayParameters(port=port, auto_convert=True, auth_token=token),
        callback_server_parameters=CallbackServerParameters(port=0, auth_token=token, **threads),
    )


def _gateway() -> JavaGateway:
    state = os.environ.get(FOUND_IN)
    claim = Claim.of(Path(state), os.environ) if state else None
    if claim:
        _started.append(claim)
        return connect(claim.port, claim.token)
    token = secrets.token_hex(32)
    return connect(_start(token), token)


def _start(token: str) -> int:
    """Start the JVM, and tell it its token where no other process sees it; the gateway's port."""
    from pyflink.find_flink_home import _find_flink_home
    from pyflink.pyflink_gateway_server import launch_gateway_server_process

    _find_flink_home()  # it sets a variable that the next call needs
    with TemporaryDirectory() as folder:
        told = Path(folder) / "port"
        environment = {**os.environ, PORT_FILE: str(told)}
        process: Any = launch_gateway_server_process(environment, ["-c", MAIN, "local"])
        _started.append(process)
        process.stdin.write(f"{token}\n".encode())
        process.stdin.flush()
        while process.poll() is None and not told.exists():
            time.sleep(0.05)
        if not told.exists():
            said = process.stderr.read().decode(errors="replace").strip()[-800:]
            raise ShardlakeError(f"PyFlink's JVM has ended with exit code {process.returncode}: {said}")
        port: int = struct.unpack("!I", told.read_bytes())[0]
    return port
