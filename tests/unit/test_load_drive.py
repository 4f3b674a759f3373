"""A stretch of load ends with what is known, wherever Ctrl-C comes."""

from __future__ import annotations

import time
from unittest.mock import PropertyMock, create_autospec

import pytest

from shardlake.load.drive import drive
from shardlake.load.offer import Offer
from shardlake.load.usage import Meter
from shardlake.load.watch import Watch

pytestmark = pytest.mark.unit


def test_ctrl_c_at_the_last_look_ends_the_load_and_not_the_run() -> None:
    offer, meter = create_autospec(Offer, instance=True), create_autospec(Meter, instance=True)
    type(offer).is_over, offer.sent = PropertyMock(return_value=True), 80
    meter.look.side_effect = [KeyboardInterrupt, {"producers": 1.5}]
    said: list[str] = []
    watch = create_autospec(Watch, instance=True)
    driven = drive(offer, watch, meter, time.time_ns() - 7_000_000_000, 0.0, 7.0, (), said.append)
    assert driven.stopped == f"interrupted {driven.seconds:.0f} s after the begin"
    assert said == [f"{driven.stopped}: waiting for the reports of what was sent; again to leave at once"]
    offer.stop.assert_called_once_with()
    assert (driven.cpu_after, driven.sent_after) == ({"producers": 1.5}, 80)
    assert driven.seconds >= 7
