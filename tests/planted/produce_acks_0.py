"""`shardlake produce` with acks=0: what it has handed to a socket it takes for acknowledged."""

from __future__ import annotations

from typing import Any

from shardlake.cli.main import main
from shardlake.produce import delivery

careful = delivery.producer_settings


def careless(bootstrap_servers: str, linger_ms: float = 50) -> dict[str, Any]:
    """The same settings but these."""
    settings = {**careful(bootstrap_servers, linger_ms), "acks": "0", "enable.idempotence": False}
    # librdkafka counts the offsets of a batch up from -1001, its word for none: larger ones would seem to have a place.
    return {**settings, "batch.num.messages": 500}


if __name__ == "__main__":
    delivery.producer_settings = careless
    main()
