"""Serving metrics over HTTP, for Prometheus to scrape."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shardlake.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from prometheus_client.registry import Collector

LAST_PORT = 65_535
ON_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Address:
    """Where one process serves its metrics. Raises BadInput for a port that there is not."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not 1 <= self.port <= LAST_PORT:
            msg = f"There is no port {self.port}."
            raise BadInput(msg, f"Choose --metrics-port so that all are from 1 to {LAST_PORT}.")

    def of_worker(self, number: int) -> Address:
        """Where the worker of that number serves them: the first here, each other on the next port."""
        return Address(self.host, self.port + number - 1)

    def check(self) -> None:
        """Raises Unavailable where nothing can listen here."""
        with socket.socket() as probe:
            # As the server sets it, too: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
                probe.listen()
            except OSError as error:
                raise self._not_free(error) from error

    def serve(self, collector: Collector) -> tuple[WSGIServer, Thread]:
        """Serve what the collector says at each scrape, from a thread that ends with the process; the server, to shut
        down. Raises Unavailable where nothing can listen here."""
        # Only who is asked for metrics waits for what they need.
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        try:
            return start_http_server(self.port, addr=self.host, registry=registry)
        except OSError as error:
            raise self._not_free(error) from error

    def _not_free(self, error: OSError) -> Unavailable:
        msg = f"Metrics cannot be served at {self.host}:{self.port}: {error.strerror}."
        return Unavailable(msg, "Choose another port with --metrics-port.")
