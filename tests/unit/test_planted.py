"""The table of planted faults fits the source: each text is where a fault is planted, and each test exists."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.planted.promises import FAULTS, Fault, plant
from tests.support import ROOT

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_can_be_planted_and_its_test_is_there(fault: Fault, tmp_path: Path) -> None:
    copy = tmp_path / fault.file
    copy.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / fault.file, copy)
    plant(fault, tmp_path)
    assert copy.read_text() != (ROOT / fault.file).read_text()
    file, _, name = fault.test.partition("::")
    assert not name or re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_there_are_twenty_promises_each_named_once() -> None:
    assert len({fault.name for fault in FAULTS}) == len({fault.promise for fault in FAULTS}) == len(FAULTS) >= 20


def test_a_text_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / FAULTS[0].file).parent.mkdir(parents=True)
    (tmp_path / FAULTS[0].file).write_text("something else")
    with pytest.raises(ValueError, match="0 times"):
        plant(FAULTS[0], tmp_path)
