"""What names a record: an id, or a place."""

from __future__ import annotations

import pytest

from shardlake.errors import BadInput
from shardlake.lake.trace import place_of
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

PIPELINE = Pipeline.load(ROOT)


def test_text_without_a_slash_is_an_id_and_a_place_has_three_parts() -> None:
    assert place_of("5e9c", PIPELINE) is None
    assert place_of("app-logs/2/17", PIPELINE) == ("app-logs", 2, 17)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("app-logs/2", "'app-logs/2' is not TOPIC/PARTITION/OFFSET"),
        ("app-logs/2/-1", "is not TOPIC"),
        ("app-logs/two/1", "is not TOPIC"),
        ("app-logs/2/1/3", "is not TOPIC"),
        (f"app-logs/2/{10**18}", "is not TOPIC"),
        ("app-log/2/17", "There is no topic 'app-log'"),
        ("app-logs.dlq/0/1", "app-logs.dlq is no topic of events"),
    ],
)
def test_what_is_no_place_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        place_of(text, PIPELINE)
