"""Each file of `producers/formats`: its sample lines, by its own parser and by all formats together."""

from __future__ import annotations

import pytest

from producers import log_lines
from shardlake.formats.clock import Clock
from shardlake.formats.format_file import Format, Sample

pytestmark = pytest.mark.unit

FORMATS = log_lines.all_formats()
SAMPLES = [(format, sample) for format in FORMATS for sample in format.samples]


@pytest.mark.parametrize(
    ("format", "sample"), SAMPLES, ids=[f"{one.name}-{one.samples.index(sample)}" for one, sample in SAMPLES]
)
def test_a_sample_has_these_values_and_no_other(format: Format, sample: Sample) -> None:
    assert sample.differences(log_lines.parser_of(format, Clock.of(None, sample.year))(sample.line)) == []


@pytest.mark.parametrize("format", FORMATS, ids=[one.name for one in FORMATS])
def test_a_format_has_samples_and_no_other_format_takes_them(format: Format) -> None:
    assert format.samples
    for sample in format.samples:
        clock = Clock.of(None, sample.year)
        takers = [
            one.name
            for one in FORMATS
            if not one.is_general and log_lines.parser_of(one, clock)(sample.line) is not None
        ]
        assert takers == ([] if format.is_general else [format.name]), sample.line
