"""PyFlink's JVM, and this process that the JVM calls, do nothing for who does not know the token."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from shardlake.flink.gateway import connect
from shardlake.planner import Claim, planning_environment
from shardlake.stack.stack import Stack
from shardlake.testing.jobs import mini_cluster_environment
from shardlake.testing.stack import free_port_base
from tests.support import wait_for

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def gateway() -> Iterator[Any]:
    """PyFlink's own, as every program of the engine has it."""
    with mini_cluster_environment():
        from pyflink.java_gateway import get_gateway

        yield get_gateway()


@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_the_jvm_does_nothing_without_its_token(gateway: Any, token: str | None) -> None:
    from py4j.java_gateway import GatewayParameters, JavaGateway
    from py4j.protocol import Py4JError

    port = gateway.gateway_parameters.port
    assert gateway.jvm.java.lang.Integer.parseInt("7") == 7
    stranger = JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=token))
    with pytest.raises(Py4JError):
        stranger.jvm.java.lang.Integer.parseInt("7")
    stranger.close()
    known = JavaGateway(
        gateway_parameters=GatewayParameters(port=port, auth_token=gateway.gateway_parameters.auth_token)
    )
    assert known.jvm.java.lang.Integer.parseInt("7") == 7
    known.close()


class Backwards:
    """An order that the JVM asks Python for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def compare(self, one: int, other: int) -> int:
        self.asked.append((one, other))
        return other - one

    class Java:
        """What it is to Java."""

        implements = ("java.util.Comparator",)


def test_python_does_nothing_for_a_stranger_and_answers_the_jvm(gateway: Any) -> None:
    order, numbers = Backwards(), gateway.jvm.java.util.ArrayList()
    numbers.extend([1, 3, 2])
    gateway.jvm.java.util.Collections.sort(numbers, order)
    assert list(numbers) == [3, 2, 1]
    order.asked.clear()
    (name,) = (name for name, one in gateway.gateway_property.pool.dict.items() if one is order)
    server = gateway.get_callback_server()
    with socket.create_connection((server.get_listening_address(), server.get_listening_port()), 30) as stranger:
        stranger.sendall(f"c\n{name}\ncompare\ni1\ni2\ne\n".encode())
        with suppress(ConnectionResetError):
            assert stranger.recv(4096) == b""
    assert order.asked == []


def test_what_a_client_made_goes_with_its_last_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from py4j.java_gateway import JavaObject
    from py4j.protocol import Py4JError

    monkeypatch.delenv("SHARDLAKE_PII_KEY", raising=False)  # the mini cluster's is too short for a stack
    with Stack(tmp_path, port_base=free_port_base(), data=tmp_path / "data", servers=["planner"]):
        claim = Claim.of(tmp_path, {**os.environ, **planning_environment()})
        assert claim is not None
        first = connect(claim.port, claim.token)
        numbers = first.jvm.java.util.ArrayList()
        numbers.append(7)
        assert list(numbers) == [7]
        first.close()

        def is_gone() -> bool:
            later = connect(claim.port, claim.token)
            try:
                JavaObject(numbers._target_id, later._gateway_client).size()  # noqa: SLF001
            except Py4JError:
                own = later.jvm.java.util.ArrayList()
                own.append(8)
                return list(own) == [8]
            finally:
                later.close()
            return False

        wait_for(is_gone, "the first client's list to be forgotten")
