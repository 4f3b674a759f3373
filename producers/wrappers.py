"""Wrappers of log lines: what Docker, Kubernetes and Compose put around a line that an application wrote.

    {"log":"LINE\\n","stream":"stderr","time":"TIME"}    Docker's json-file
    TIME stdout F LINE                                  CRI: containerd, CRI-O
    TIME LINE                                           `docker logs --timestamps`, nine digits of a second
    web-1  | LINE                                       `docker compose logs`
    [pod/NAME/CONTAINER] LINE                           `kubectl logs --prefix`

The line inside is parsed as if the line stood alone. What the wrapper knows fills what the line lacks: the time, the
service by its container, and the stream, the pod and the container as attributes. A line's own time stays, but a time
of whole seconds takes the fraction of a wrapper's time of the same second. A line that no format takes is the message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from producers import fields
from shardlake.formats.clock import Clock
from shardlake.formats.format_file import Format
from shardlake.formats.recogniser import Recogniser

Parser = Callable[[str], dict[str, Any] | None]
Formats = Callable[[], Sequence[tuple[Format, Parser]]]

NANOSECONDS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d)"
CRI = re.compile(rf"({NANOSECONDS}) (stdout|stderr) ([FP])(?::[\w:]+)? (.*)", re.DOTALL)
DOCKER_LOGS = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d)) (?!std(?:out|err) )(.+)", re.DOTALL
)
"""`docker logs --timestamps` writes nine digits always, which few applications do."""
COMPOSE = re.compile(r"([A-Za-z0-9][\w.-]{0,62}) *\| (.*)", re.DOTALL)
COMPOSE_NUMBER = re.compile(r"[-_]\d{1,4}$")
KUBECTL = re.compile(r"\[pod/([a-z0-9][a-z0-9.-]{0,252})/([a-z0-9][a-z0-9-]{0,62})\] (.*)", re.DOTALL)
KUBERNETES_FILE = re.compile(
    r"([a-z0-9][a-z0-9-]{0,252})_([a-z0-9][a-z0-9-]{0,62})_([a-z0-9][a-z0-9-]{0,62})-[0-9a-f]{64}", re.ASCII
)
DOCKER_JSON = '{"log":"'
DOCKER_MEMBERS = frozenset({"log", "stream", "time", "attrs"})


class Inside:
    """Reads the lines inside wrappers. The formats are asked for when the first line comes."""

    def __init__(self, formats: Formats, clock: Clock) -> None:
        """The clock is the log's."""
        self._formats, self._clock = formats, clock
        self._recogniser: Recogniser | None = None

    def read(self, text: str, moment: datetime | None, service: str | None, known: dict[str, Any]) -> dict[str, Any]:
        """The fields of the line in a wrapper; the wrapper knows its time, its service and attributes."""
        if self._recogniser is None:
            self._recogniser = Recogniser(self._formats(), self._clock, _raised)
        inside = self._recogniser.read("", 0, text, moment)
        event: dict[str, Any] = {"message": text} if inside is None else dict(inside)
        if not event.get("message"):
            event.pop("message", None)
        own = event.get("event_time")
        if moment is not None and (own is None or own == moment.replace(microsecond=0)):
            event["event_time"] = moment
        if service is not None and event.get("service") is None:
            event["service"] = service
        if known:
            event["attributes"] = known | event.get("attributes", {})
        return event


def _raised(error: Exception, _place: str) -> None:
    """Let the recogniser around the wrapper count the exception with the line's place."""
    raise error


def docker_json(inside: Inside) -> Parser:
    """The parser of Docker's json-file."""

    def parse(line: str) -> dict[str, Any] | None:
        if not line.startswith(DOCKER_JSON):
            return None
        try:
            members = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not is_docker_json(members):
            return None
        moment = fields.time(members["time"])
        text = fields.text(members["log"]) or ""
        if moment is None:
            return None
        known = {"stream": members["stream"]}
        if isinstance(members.get("attrs"), dict):
            known |= members["attrs"]
        if not text.endswith("\n"):
            known["partial"] = "true"
        return inside.read(text.rstrip("\r\n"), moment, None, known)

    return parse


def is_docker_json(members: Any) -> bool:
    """Tell a line of Docker's json-file from an application's own JSON."""
    return (
        isinstance(members, dict)
        and "log" in members
        and members.keys() <= DOCKER_MEMBERS
        and all(isinstance(members.get(name), str) for name in ("log", "stream", "time"))
    )


def cri(inside: Inside) -> Parser:
    """The parser of containerd's and CRI-O's lines."""

    def parse(line: str) -> dict[str, Any] | None:
        match = CRI.fullmatch(line)
        moment = None if match is None else fields.time(match[1])
        if match is None or moment is None:
            return None
        known = {"stream": match[2]}
        if match[3] == "P":
            known["partial"] = "true"
        return inside.read(match[4], moment, None, known)

    return parse


def docker_logs(inside: Inside) -> Parser:
    """The parser of lines of `docker logs --timestamps`."""

    def parse(line: str) -> dict[str, Any] | None:
        match = DOCKER_LOGS.fullmatch(line)
        moment = None if match is None else fields.time(match[1])
        return None if match is None or moment is None else inside.read(match[2], moment, None, {})

    return parse


def compose(inside: Inside) -> Parser:
    """The parser of lines of `docker compose logs`."""

    def parse(line: str) -> dict[str, Any] | None:
        match = COMPOSE.fullmatch(line)
        if match is None:
            return None
        service = COMPOSE_NUMBER.sub("", match[1])
        return inside.read(match[2], None, service, {"container": match[1]})

    return parse


def kubectl(inside: Inside) -> Parser:
    """The parser of lines of `kubectl logs --prefix`."""

    def parse(line: str) -> dict[str, Any] | None:
        match = KUBECTL.fullmatch(line)
        if match is None:
            return None
        return inside.read(match[3], None, match[2], {"pod": match[1], "container": match[2]})

    return parse


@lru_cache
def container_of(file: str) -> tuple[str, dict[str, Any]] | None:
    """The container, and its pod and namespace, that a file of Kubernetes' /var/log/containers is named after."""
    match = KUBERNETES_FILE.fullmatch(file)
    return None if match is None else (match[3], {"namespace": match[2], "pod": match[1]})


PARSERS: dict[str, Callable[[Inside], Parser]] = {
    "docker_json": docker_json,
    "cri": cri,
    "docker_logs": docker_logs,
    "compose": compose,
    "kubectl": kubectl,
}
"""The parsers by the names that formats' files give them."""
