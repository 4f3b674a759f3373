"""Serving metrics: who is served, and what a taken port says."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from shardlake.errors import BadInput, Unavailable
from shardlake.exposition import Address
from shardlake.metric import Kind, Metric
from tests.support import scrape

pytestmark = pytest.mark.unit

TOTAL = Metric("shardlake_test_total", Kind.COUNTER, "Counted.", ("what",))


class Counting(Collector):
    """One more at each scrape."""

    scrapes = 0

    def collect(self) -> Iterable[Family]:
        self.scrapes += 1
        family = TOTAL.family()
        family.add_sample(TOTAL.name, {"what": "scrapes"}, self.scrapes)
        return [family]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_each_scrape_collects_anew_and_serving_does_not() -> None:
    address = Address("127.0.0.1", free_port())
    address.check()
    server, thread = address.serve(Counting())
    try:
        values = [sum(scrape(address.port)["shardlake_test_total"].values()) for _ in range(2)]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert values == [1, 2]


def test_a_taken_port_is_named_with_the_way_on() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        for use in (address.check, lambda: address.serve(Counting())):
            with pytest.raises(Unavailable) as refused:
                use()
            assert f"127.0.0.1:{address.port}" in refused.value.message
            assert "--metrics-port" in refused.value.hint


def test_each_worker_has_the_next_port_and_there_is_none_above_the_last() -> None:
    first = Address("127.0.0.1", 65_534)
    assert [first.of_worker(number).port for number in (1, 2)] == [65_534, 65_535]
    with pytest.raises(BadInput, match="65536"):
        first.of_worker(3)
