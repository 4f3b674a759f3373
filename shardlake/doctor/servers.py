"""The three that must answer: is each server's process there, and does it answer at the address that is used?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import requests
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from shardlake import registry_login
from shardlake.doctor.finding import Finding
from shardlake.kafka_login import client
from shardlake.settings import Settings
from shardlake.stack.ended import server_state

ANSWER_SECONDS = 4

Address = tuple[str, int]


def processes(stack: dict[str, Any]) -> Iterator[Finding]:
    """The servers of the local stack that do not run, each with its end and the last error of its log."""
    for name, entry in stack["servers"].items():
        state = server_state(name, entry)
        if not state.is_running:
            yield Finding(name, False, f"{state.state}: {state.cause}", f"{state.fix} Its log: {entry['log']}")


def broker(settings: Settings) -> Iterator[Finding]:
    """Whether Kafka answers, and whether it sends clients on to addresses that answer them too."""
    servers = settings.kafka_bootstrap_servers
    try:
        brokers = metadata(servers).brokers.values()
    except KafkaException as error:
        fix = "See `shardlake logs kafka`, or set KAFKA_BOOTSTRAP_SERVERS to a broker's address."
        yield Finding("broker", False, f"nobody answers at {servers}: {error.args[0].str()}", fix)
        return
    used = {address for one in servers.split(",") for address in _resolved(*_parts(one))}
    for one in brokers:
        advertised = f"{one.host}:{one.port}"
        if used & set(_resolved(one.host, one.port)):
            yield Finding("broker", True, f"broker {one.id} answers at {advertised}")
        elif _connects(one.host, one.port):
            words = f"broker {one.id} advertises {advertised}, you used {servers}; clients go to the former"
            yield Finding("broker", True, words)
        else:
            words = f"broker {one.id} advertises {advertised}, which does not answer; you used {servers}"
            fix = f"Set the broker's advertised.listeners to an address that clients reach, such as {servers}."
            yield Finding("broker", False, words, fix)


def registry(settings: Settings) -> Iterator[Finding]:
    """Whether the schema registry answers."""
    yield _http("registry", f"{settings.schema_registry_url}/subjects", "SCHEMA_REGISTRY_URL", registry_login.login())


def flink(settings: Settings) -> Iterator[Finding]:
    """Whether Flink's job manager answers, and has a task manager."""
    found = _http("flink", f"{settings.flink_rest_url}/overview", "FLINK_REST_URL")
    if (
        found.ok
        and not requests.get(f"{settings.flink_rest_url}/overview", timeout=ANSWER_SECONDS).json()["taskmanagers"]
    ):
        fix = "It comes by itself within seconds where it runs: see `shardlake status`, `shardlake logs taskmanager`."
        found = Finding("flink", False, "no task manager has come to the job manager, so no job can run", fix)
    yield found


def metadata(servers: str) -> Any:
    """The brokers and topics as Kafka tells them. Raises KafkaException where nobody answers."""
    return AdminClient(client(servers)).list_topics(timeout=ANSWER_SECONDS)


def _http(name: str, url: str, variable: str, login: tuple[str, str] | None = None) -> Finding:
    try:
        answer = requests.get(url, timeout=ANSWER_SECONDS, auth=login)
        found = f"{'answers' if answer.ok else f'answers with status {answer.status_code}'} at {url}"
        ok = answer.ok
    except requests.RequestException as error:
        ok, found = False, f"nobody answers at {url}: {type(error).__name__}"
    return Finding(name, ok, found, f"See `shardlake status` and `shardlake logs`, or set {variable}.")


def _parts(address: str) -> Address:
    host, _, port = address.strip().rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 9092


def _resolved(host: str, port: int) -> list[Address]:
    try:
        return [(str(entry[4][0]), port) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError:  # a name that only the broker's own network knows
        return []


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS / 2):
            return True
    except OSError:
        return False
