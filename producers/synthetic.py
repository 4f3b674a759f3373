"""Synthetic logs of a small shop: several services, few clients that ask much and many that ask little, errors in
bursts; and, where a `Load` says so, a day's curve, bursts, events that come twice, out of order or late.

With the same seed, start, rate and load the events are the same, and so are the times at which they are to be sent.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import accumulate, count
from math import cos, tau
from typing import Any

from shardlake.errors import BadInput

Event = dict[str, Any]

SERVICES = {"web": 0.45, "api": 0.30, "checkout": 0.15, "search": 0.10}
BASE_LATENCY_MS = {"web": 12.0, "api": 35.0, "checkout": 80.0, "search": 50.0}
HOSTS = 3
PATHS = 256
POOL = 4_096
"""Values are drawn once and picked from: generating each anew would be a hundred times slower."""
CLIENT_POOL = 16 * POOL

ERROR_BURST_EVERY_SECONDS = 20
ERROR_BURST_SECONDS = 4
ERROR_BURST_RATE = 0.30
ERROR_RATE = 0.005
LOG_LINE_RATE = 0.10
DICE = 1 << 16
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile/15E148",
    "curl/8.10.1",
    "python-requests/2.32.3",
)
LEVELS = {"DEBUG": 0.2, "INFO": 0.6, "WARN": 0.15, "ERROR": 0.05}
MESSAGES = ("cache refreshed", "retrying payment provider", "pool exhausted", "slow query", "config reloaded")


@dataclass(frozen=True, slots=True)
class Load:
    """What the events are like. Each field is an option of `shardlake produce --synthetic`: `--with zipf=1.3`."""

    zipf: float = 1.1
    """The client of rank r asks in proportion to 1 / r^zipf; 0 is all alike."""
    clients: int = 5_000
    day_seconds: float = 0
    """The rate follows a day's curve, from midnight's low, that passes in so many seconds; 0 is a steady rate."""
    day_swing: float = 0.8
    """The curve goes from 1 - this to 1 + this times the rate."""
    burst_factor: float = 1
    """So many times the rate for `burst_seconds`, in the middle of every `burst_every_seconds`."""
    burst_seconds: float = 5
    burst_every_seconds: float = 60
    duplicates: float = 0
    """The share of events that are sent again, the same in all, `duplicate_seconds` later."""
    duplicate_seconds: float = 1
    out_of_order: float = 0
    """The share of events that happened up to `out_of_order_seconds` before they are sent."""
    out_of_order_seconds: float = 30
    late: float = 0
    """The share of events that happened `late_seconds` before they are sent."""
    late_seconds: float = 300

    @classmethod
    def of(cls, options: Iterable[str]) -> Load:
        """From options as `zipf=1.3`. Raises BadInput naming the one that is wrong."""
        kinds = {field.name: int if field.name == "clients" else float for field in fields(cls)}
        values: dict[str, Any] = {}
        for option in options:
            name, _, text = option.partition("=")
            if name not in kinds:
                msg = f"Synthetic events have no option {name!r}."
                raise BadInput(msg, f"They have: {', '.join(kinds)}.")
            lowest, highest = LIMITS.get(name, (0, 1e9))
            try:
                values[name] = kinds[name](text)
                if not lowest <= values[name] <= highest:
                    raise ValueError
            except ValueError:
                msg = f"The option {name}={text} of synthetic events is not a number from {lowest:g} to {highest:g}."
                raise BadInput(msg, f"For example: --with {name}={getattr(STEADY, name):g}.") from None
        return cls(**values)


STEADY = Load()
LIMITS: dict[str, tuple[float, float]] = {
    "zipf": (0, 10),
    "clients": (1, 1_000_000),
    "day_swing": (0, 0.99),
    "burst_factor": (0.01, 1000),
    "burst_every_seconds": (0.001, 1e9),
    "duplicates": (0, 1),
    "out_of_order": (0, 1),
    "late": (0, 1),
}
"""Lowest and highest; of the others 0 and 1e9."""


def events(seed: int, start: datetime, rate: float, load: Load = STEADY) -> Iterator[Event]:
    """The events of `sends` without their times: by default `1 / rate` seconds of event time apart, from `start`."""
    return (event for _, event in sends(seed, start, rate, load))


def sends(seed: int, start: datetime, rate: float, load: Load = STEADY) -> Iterator[tuple[float, Event]]:
    """Events without end, each with the seconds after `start` at which it is to be sent, in that order."""
    fate = random.Random(f"fate of {seed}")
    again: deque[tuple[float, Event]] = deque()
    late, out_of_order = load.late, load.late + load.out_of_order
    for second, event in _contents(seed, _times(rate, load), load):
        while again and again[0][0] <= second:
            yield again.popleft()
        happened = second
        if out_of_order and (drawn := fate.random()) < out_of_order:
            happened -= load.late_seconds if drawn < late else fate.random() * load.out_of_order_seconds
        event["event_time"] = start + timedelta(seconds=happened)
        if load.duplicates and fate.random() < load.duplicates:
            again.append((second + load.duplicate_seconds, event))
        yield second, event


def _times(rate: float, load: Load) -> Iterator[float]:
    """Seconds from the start, `1 / rate` apart where the rate is steady."""
    if not load.day_seconds and load.burst_factor == 1:
        yield from (number / rate for number in count())
    second = 0.0
    while True:
        yield second
        now = rate
        if load.day_seconds:
            now *= 1 - load.day_swing * cos(tau * second / load.day_seconds)
        if (second + load.burst_every_seconds / 2) % load.burst_every_seconds < load.burst_seconds:
            now *= load.burst_factor
        second += 1 / now


def _contents(seed: int, seconds: Iterator[float], load: Load) -> Iterator[tuple[float, Event]]:
    """An event for each of the seconds, its time still to be filled in."""
    draw = random.Random(seed)
    clients = _clients(draw, load)
    services = draw.choices(list(SERVICES), list(SERVICES.values()), k=POOL)
    spread = [draw.lognormvariate(0, 0.6) for _ in range(POOL)]
    latencies = {service: [round(base * factor, 3) for factor in spread] for service, base in BASE_LATENCY_MS.items()}
    sizes = [int(draw.lognormvariate(8, 1.2)) for _ in range(POOL)]
    hosts = {service: [f"{service}-{n}" for n in range(HOSTS)] for service in SERVICES}
    paths = {
        service: [f"/{service}/{draw.choice('abcdef')}/{n}?page={n % 7}" for n in range(PATHS)] for service in SERVICES
    }
    levels = draw.choices(list(LEVELS), list(LEVELS.values()), k=POOL)
    prefix, log_lines, bits = f"{seed:x}-", round(LOG_LINE_RATE * DICE), draw.getrandbits
    errors: dict[str, int] = {}
    told = -1
    for number, second in enumerate(seconds):
        if int(second) != told:
            told = int(second)
            errors = _error_rates(seed, told)
        # A call for each pick would take longer than all else: the picks are bits of two numbers.
        some, more = bits(60), bits(60)
        service = services[some % POOL]
        event: Event = {
            "event_id": f"{prefix}{number:x}",
            "event_time": None,
            "service": service,
            "host": hosts[service][number % HOSTS],
        }
        if (some >> 12) % DICE < log_lines:
            event["level"] = levels[more % POOL]
            event["message"] = MESSAGES[(more >> 12) % len(MESSAGES)]
        else:
            failed = (some >> 28) % DICE < errors[service]
            event["method"] = "POST" if service == "checkout" else "GET"
            event["path"] = paths[service][(some >> 44) % PATHS]
            event["status"] = 503 if failed else 200
            event["response_bytes"] = 0 if failed else sizes[more % POOL]
            event["latency_ms"] = latencies[service][(more >> 12) % POOL] * (4 if failed else 1)
            event["client_address"] = clients[(more >> 24) % CLIENT_POOL]
            event["user_agent"] = AGENTS[(more >> 40) % len(AGENTS)]
        yield second, event


def _clients(draw: random.Random, load: Load) -> list[str]:
    """A pool in which the client of rank r is found in proportion to 1 / r^zipf."""
    addresses = [
        f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}" for _ in range(load.clients)
    ]
    weights = list(accumulate(1 / rank**load.zipf for rank in range(1, load.clients + 1)))
    return draw.choices(addresses, cum_weights=weights, k=CLIENT_POOL)


def _error_rates(seed: int, second: int) -> dict[str, int]:
    """By service, of DICE. One at a time has a burst; which, follows from the seed and the second."""
    burst, within = divmod(second, ERROR_BURST_EVERY_SECONDS)
    victim = list(SERVICES)[(seed + burst) % len(SERVICES)]
    return {
        service: round(DICE * (ERROR_BURST_RATE if service == victim and within < ERROR_BURST_SECONDS else ERROR_RATE))
        for service in SERVICES
    }
