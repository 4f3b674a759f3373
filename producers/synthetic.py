"""Synthetic logs of a small shop: several services, few clients that ask much and many that ask little, errors in
bursts.

With the same seed, start and rate the events are the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

SERVICES = {"web": 0.45, "api": 0.30, "checkout": 0.15, "search": 0.10}
BASE_LATENCY_MS = {"web": 12.0, "api": 35.0, "checkout": 80.0, "search": 50.0}
CLIENTS = 5_000
ZIPF_EXPONENT = 1.1
POOL = 4_096
"""Values are drawn once and picked from: generating each anew would be a hundred times slower."""

BURST_EVERY_SECONDS = 20
BURST_SECONDS = 4
BURST_ERROR_RATE = 0.30
ERROR_RATE = 0.005
LOG_LINE_RATE = 0.10
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile/15E148",
    "curl/8.10.1",
    "python-requests/2.32.3",
)
LEVELS = {"DEBUG": 0.2, "INFO": 0.6, "WARN": 0.15, "ERROR": 0.05}
MESSAGES = ("cache refreshed", "retrying payment provider", "pool exhausted", "slow query", "config reloaded")


def events(seed: int, start: datetime, rate: float) -> Iterator[dict[str, Any]]:
    """Events without end, `1 / rate` seconds of event time apart, the first at `start`."""
    draw = random.Random(seed)
    clients = _clients(draw)
    services = draw.choices(list(SERVICES), list(SERVICES.values()), k=POOL)
    spread = [draw.lognormvariate(0, 0.6) for _ in range(POOL)]
    sizes = [int(draw.lognormvariate(8, 1.2)) for _ in range(POOL)]
    paths = {
        service: [f"/{service}/{draw.choice('abcdef')}/{n}?page={n % 7}" for n in range(200)] for service in SERVICES
    }
    levels = draw.choices(list(LEVELS), list(LEVELS.values()), k=POOL)
    pick, chance = draw.choice, draw.random
    number = 0
    while True:
        service = pick(services)
        event = {
            "event_id": f"{seed:x}-{number:x}",
            "event_time": start + timedelta(seconds=number / rate),
            "service": service,
            "host": f"{service}-{number % 3}",
        }
        if chance() < LOG_LINE_RATE:
            event |= {"level": pick(levels), "message": pick(MESSAGES)}
        else:
            failed = chance() < _error_rate(seed, service, number / rate)
            event |= {
                "method": "POST" if service == "checkout" else "GET",
                "path": pick(paths[service]),
                "status": 503 if failed else 200,
                "response_bytes": 0 if failed else pick(sizes),
                "latency_ms": round(BASE_LATENCY_MS[service] * pick(spread) * (4 if failed else 1), 3),
                "client_address": pick(clients),
                "user_agent": pick(AGENTS),
            }
        yield event
        number += 1


def _clients(draw: random.Random) -> list[str]:
    """A pool in which the client of rank r is found in proportion to 1 / r^s."""
    addresses = [f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}" for _ in range(CLIENTS)]
    weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, CLIENTS + 1)))
    return draw.choices(addresses, cum_weights=weights, k=16 * POOL)


def _error_rate(seed: int, service: str, second: float) -> float:
    """One service at a time has a burst; which, follows from the seed and the time."""
    burst, within = divmod(second, BURST_EVERY_SECONDS)
    victim = list(SERVICES)[(seed + int(burst)) % len(SERVICES)]
    return BURST_ERROR_RATE if service == victim and within < BURST_SECONDS else ERROR_RATE
