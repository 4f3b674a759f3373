"""Where an application's tables find their servers, as Flink sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses that go into the tables' options. `kafka` are further properties of Kafka's Java client, by name.

    Whoever sees the application's plan, or Flink's web page, sees them all: a secret stands in none, only where it is.
    """

    kafka_bootstrap_servers: str
    schema_registry_url: str
    lake_url: str
    kafka: Mapping[str, str] = field(default_factory=dict)
    registry_login: bool = False
    """Whether task managers find a login to the registry in their environment."""
    group: str = ""
    """The consumer group, where it is not the one of all jobs."""
