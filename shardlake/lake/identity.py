"""The check that the lake, the runs and the records that were read are of one topic.

After a topic was made anew, its offsets name other records.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shardlake import topic_ids
from shardlake.lake.tables import LakeTable
from shardlake.lake.verdict import Anomaly, Findings
from shardlake.ledger import Run
from shardlake.topic_ids import Noted, made_anew, of_table

RECREATED = "recreated-topic"


def check_identity(
    topic: str, topic_id: str, table: LakeTable | None, runs: Sequence[Path]
) -> tuple[Findings, bool, list[Path]]:
    """The findings, whether the table is of the topic with that id, and those of the runs that are.

    The `runs` are the topic's by its name. A table without a note, as older versions left it, is taken to be of it, and
    so is a topic without a table. Raises BadInput where a run's folder is none.
    """
    found = Findings("the topic's id, in the lake and in runs", unit="notes", source=topic)
    name = table.name if table else ""
    in_lake = topic_ids.read(of_table(table.folder.parent, name)) if table else {}
    found.checked = len(runs) + (topic in in_lake)
    is_lakes = True
    for one in made_anew(in_lake, {topic: topic_id}):
        is_lakes = False
        words = (
            f"the table {name} is of the topic with the id {one.noted.topic_id}, noted {one.noted.noted}; the "
            f"one that was read has {topic_id}. The table's rows were not held against it"
        )
        found.add(Anomaly(RECREATED, topic, words))
    same: list[Path] = []
    for run in runs:
        of_run = Run.read(run)
        if any(made_anew({topic: Noted(of_run.topic_id, "")}, {topic: topic_id})):
            words = (
                f"its ledgers are of {topic} with the id {of_run.topic_id}; the one that was read has {topic_id}. What "
                "they name was not looked for in it"
            )
            found.add(Anomaly(RECREATED, str(run), words))
        else:
            same.append(run)
    return found, is_lakes, same
