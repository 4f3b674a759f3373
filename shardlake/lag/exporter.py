"""Lag for Prometheus: each scrape asks the broker, and nothing stale is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from shardlake.errors import ShardlakeError
from shardlake.lag import metrics as of
from shardlake.lag.families import FAMILIES
from shardlake.lag.sampling import Sample
from shardlake.lag.text import family, labels
from shardlake.metric import Metric, Values

SCRAPE_SECONDS = 4
"""Prometheus does not wait for longer than its interval, of 5 s here."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labelled = Iterable[tuple[Metric, Iterable[tuple[str, float]]]]
"""Metrics with their values, each with its labels as text."""


class Exporter:
    """Metrics of the sampler, and of others who have some."""

    def __init__(
        self,
        take: Callable[[], Sample],
        others: Collection[Callable[[], Values]] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._take = take
        self._others = others
        self._say = say
        self._lock = threading.Lock()  # a sampler serves one scrape at a time, and its shards change with the next

    def text(self, names: Collection[str] = ()) -> str:
        """All metrics, or those of some names. Where the broker does not answer: shardlake_lag_up 0, and no other
        series of its groups and topics."""
        return "".join(
            family(metric, samples) for metric, samples in self._all(names) if not names or metric.name in names
        )

    def _all(self, names: Collection[str]) -> Labelled:
        if self._lock.acquire(timeout=SCRAPE_SECONDS):
            try:
                yield from self._of_broker(names)
            finally:
                self._lock.release()
        else:  # others wait for the same answer, and nobody waits for this one any more
            yield of.UP, [("", 0)]
        for other in self._others:
            for metric, values in other():
                yield metric, [(labels(metric.labels, given), value) for given, value in values]

    def _of_broker(self, names: Collection[str]) -> Labelled:
        began = time.perf_counter()
        try:
            sample = self._take()
        except ShardlakeError as error:
            self._say(error.message)
            yield of.UP, [("", 0)]
            return
        yield of.UP, [("", 1)]
        yield of.COLLECT_SECONDS, [("", time.perf_counter() - began)]
        for metric, samples_of in FAMILIES:
            if not names or metric.name in names:
                yield metric, samples_of(sample)

    def close(self) -> None:
        """Wait for the scrape that goes on, and answer none any more."""
        self._lock.acquire(timeout=2 * SCRAPE_SECONDS)


def serve(exporter: Exporter, host: str, port: int) -> ThreadingHTTPServer:
    """A server that has begun to listen; `serve_forever` answers. Raises OSError where the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path != "/metrics":
                self.send_error(404, "There is /metrics.")
                return
            body = exporter.text(parse_qs(parts.query).get("name[]", ())).encode()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape every few seconds is no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return server
