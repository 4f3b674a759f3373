"""An event that its schema does not allow is named by its fields, never by its values."""

from __future__ import annotations

from typing import Any

import pytest

from shardlake.errors import BadInput
from shardlake.pipeline import Pipeline
from shardlake.produce.events import Sender
from tests.support import ROOT, event

pytestmark = pytest.mark.unit


class Nowhere:
    """In place of a registry and of a delivery."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes | None]] = []

    def schema_id(self, *_: Any) -> int:
        return 7

    def send(self, value: bytes, key: bytes | None, *_: Any) -> None:
        self.sent.append((value, key))


def test_a_misfit_is_not_sent_and_its_neighbours_are() -> None:
    pipeline, nowhere = Pipeline.load(ROOT), Nowhere()
    sender = Sender(pipeline, pipeline.events_topic, nowhere, nowhere)  # type: ignore[arg-type]
    assert sender.send(event(1))
    with pytest.raises(BadInput, match=r"An event of app-logs cannot be encoded: .*status") as refused:
        sender.send(event(2, status="a secret"))
    assert "secret" not in refused.value.message
    assert not sender.send(event(3, message="x" * (1 << 20)))
    assert sender.send(event(4))
    assert [key for _, key in nowhere.sent] == [b"10.0.0.1", b"10.0.0.4"]
    assert all(value.startswith(b"\x00\x00\x00\x00\x07") for value, _ in nowhere.sent)
