"""A web server's log of our own making, as text: what the demo reads where it is given no file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from producers.synthetic import events

SPAN_SECONDS = 600


def lines_of_access_log(lines: int, end: datetime, seed: int = 1) -> Iterator[str]:
    """`lines` lines of Combined Log with latency, the last written at `end`, and with what real logs have in them.

    That is: fields that are missing, requests that are none, escaped quotes, and lines that are no access log at all.
    """
    draw = random.Random(seed)
    rate = lines / SPAN_SECONDS
    start = end - timedelta(seconds=(lines - 1) / rate)
    source = events(seed, start, rate)
    for number in range(lines):
        event = next(source)
        moment = (start + timedelta(seconds=number / rate)).astimezone(UTC)
        client = event.get("client_address", "::1")
        stamp = moment.strftime("%d/%b/%Y:%H:%M:%S +0000")
        oddity = draw.random()
        if oddity < 0.001:
            yield f"[{moment:%a %b %d %H:%M:%S %Y}] [notice] child pid {number} exit signal Segmentation fault (11)"
        elif oddity < 0.003:
            yield f'{client} - - [{stamp}] "\\x16\\x03\\x01" 400 226 "-" "-" 52'
        elif oddity < 0.005:
            yield f'{client} - - [{stamp}] "-" 408 - "-" "-" 20000113'
        else:
            agent = event.get("user_agent", 'a \\"quoted\\" agent')
            yield (
                f'{client} - - [{stamp}] "{event.get("method", "HEAD")} {event.get("path", "/health")} HTTP/1.1" '
                f'{event.get("status", 200)} {event.get("response_bytes") or "-"} "-" "{agent}" '
                f"{int(event.get('latency_ms', 0.2) * 1000)}"
            )
