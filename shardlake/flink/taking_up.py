"""`jobs run` asks the broker two things before it submits: whether the topics are those that the state is of, and
whether they still have what the jobs have not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shardlake import topic_ids
from shardlake.errors import BadInput
from shardlake.flink.gaps import Gap, gaps, listed
from shardlake.flink.precommitted import Outcome, Precommitted, is_past_time, outcomes
from shardlake.flink.resume import LastEnd, newest_state, splits_in
from shardlake.flink.submit import Start
from shardlake.flink.tables import TRANSACTION_SECONDS
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.storage import Folder, open_folder
from shardlake.topic_ids import FILE, MadeAnew, Noted, made_anew, of_table

SKIP = "`shardlake jobs run --skip-lost` goes on without it. `jobs rewind` writes all anew that the topic still has."
Offsets = Mapping[str, Mapping[int, int]]
"""By topic and partition."""


@dataclass(frozen=True, slots=True)
class TakingUp:
    """One `jobs run`. `ids` are those that the broker gives now, `firsts` its first offsets, `held` one past the last
    record that the lake accounts for; `savepoint` is the one that the user names."""

    pipeline: Pipeline
    settings: Settings
    ids: Mapping[str, str]
    firsts: Offsets
    held: Offsets
    savepoint: str | None = None
    writes: frozenset[str] | None = None
    """The topics whose transactions count, where these are not all that jobs write."""

    @property
    def goes_on(self) -> bool:
        """Tell whether there is anything to go on from: a state, a record of how the jobs ended, or rows."""
        jobs = self.settings.jobs
        return bool(self.savepoint or LastEnd.read(jobs) or newest_state(jobs) or any(self.held.values()))

    def must_be_the_same_topics(self) -> None:
        """Raise BadInput where a topic that the jobs read is another one than the state, or the lake, is of."""
        for what, notes in self._notes():
            for one in made_anew(notes, self._read):
                raise BadInput(_refusal(what, one), _hint(self.settings))

    def made_anew(self) -> list[MadeAnew]:
        """Return the topics that the jobs read and that were made anew since the state, or the lake, was written."""
        return [one for _, notes in self._notes() for one in made_anew(notes, self._read)]

    @property
    def _read(self) -> dict[str, str]:
        return {topic.name: self.ids[topic.name] for topic in self.pipeline.sources if topic.name in self.ids}

    def gaps(self, begin: Start) -> list[Gap]:
        """Return the offsets that a run from there would pass over, because the topics no longer have them."""
        state = self._state(begin)
        noted = topic_ids.read(self.settings.jobs / FILE)
        found: list[Gap] = []
        for name, firsts in self.firsts.items():
            splits = splits_in(state, name) if state else {}
            read = {partition: offset for partition, offset in splits.items() if offset >= 0}
            if begin.resume_from is None:
                for partition, offset in self.held.get(name, {}).items():
                    read[partition] = max(offset, read.get(partition, 0))
            # A topic that the jobs have never read is begun with what it has.
            if splits or read:
                found += gaps(name, firsts, read, noted[name].firsts if name in noted else {})
        return found

    def must_have_lost_nothing(self, begin: Start, *, skip: bool) -> list[str]:
        """Raise BadInput where records are gone that the jobs have not read, or have written and not committed in time;
        with `skip`, say which. Says, too, where that cannot be told.

        Raises Unavailable where the broker does not answer.
        """
        found = self.gaps(begin)
        gone = [f"records that the jobs have not read and the topic no longer has: {listed(found)}"] if found else []
        unknown = []
        for one, outcome in self._transactions(begin).items():
            if outcome is Outcome.ABORTED:
                gone.append(
                    f"what the jobs wrote to {one.topic} in {one.transactional_id}: their checkpoint has it, and the "
                    f"broker has aborted it, as nobody committed it within {TRANSACTION_SECONDS // 60} minutes"
                )
            elif outcome is Outcome.UNKNOWN:
                unknown.append(one.transactional_id)
        if gone and not skip:
            raise BadInput(f"Lost while the jobs were down: {'; '.join(gone)}.", SKIP)
        said = [f"going on without {one}" for one in gone]
        if unknown:
            said.append(
                f"whether the broker has aborted what they had written last cannot be told: {', '.join(unknown)}"
            )
        return said

    def _transactions(self, begin: Start) -> dict[Precommitted, Outcome]:
        """Return what became of each transaction of the state.

        A stop commits before it ends. The run commits what is open still, or was open a moment ago.
        """
        state = self._state(begin)
        last = LastEnd.read(self.settings.jobs)
        if begin.resume_from is None or state is None or (last and last.left(state)):
            return {}
        written = [
            topic.name
            for topic in self.pipeline.on_broker
            if topic not in self.pipeline.sources and (self.writes is None or topic.name in self.writes)
        ]
        found = outcomes(self.settings.kafka_bootstrap_servers, state, written)
        if is_past_time(state):
            return found
        return {one: outcome for one, outcome in found.items() if outcome is not Outcome.UNKNOWN}

    def _state(self, begin: Start) -> Folder | None:
        if begin.resume_from:
            return open_folder(begin.resume_from, self.settings.s3)
        return newest_state(self.settings.jobs) if begin.start_offsets else None

    def note(self) -> list[str]:
        """Note ids and first offsets with the jobs' state and the lake; what there is to say of it, in sentences."""
        jobs, now = self.settings.jobs, topic_ids.now()
        before = topic_ids.read(jobs / FILE)
        notes = {**before, **{name: self._noted(name, before, now) for name in self.ids}}
        topic_ids.write(jobs / FILE, notes)
        sources = [topic for topic in self.pipeline.sources if topic.name in self.ids]
        for topic in sources:
            file = of_table(self.settings.lake, str(topic.lake_table))
            in_lake = topic_ids.read(file)
            if in_lake.get(topic.name, Noted("", "")).topic_id != self.ids[topic.name]:
                topic_ids.write(file, {**in_lake, topic.name: Noted(self.ids[topic.name], now)})
        if not self.goes_on:
            return []
        said = [
            f"{one.topic} was made anew: {one.words}. What the jobs had written to that one went with it."
            for one in made_anew(before, self.ids)
        ]
        taken = [f"{topic.name} ({self.ids[topic.name]})" for topic in sources if topic.name not in before]
        if taken:
            said.append(f"the ids of topics are noted from now on: what is here is taken to be of {', '.join(taken)}")
        return said

    def _noted(self, name: str, before: Mapping[str, Noted], now: str) -> Noted:
        old = before.get(name)
        is_same = old is not None and old.topic_id == self.ids[name]
        return Noted(self.ids[name], old.noted if old and is_same else now, dict(self.firsts.get(name, {})))

    def _notes(self) -> list[tuple[str, Mapping[str, Noted]]]:
        """Return each note of topics' ids, after the name of the place that keeps it; [] where nothing was kept."""
        if not self.goes_on:
            return []
        jobs = self.settings.jobs
        state: Folder | None = open_folder(self.savepoint, self.settings.s3) if self.savepoint else newest_state(jobs)
        beside = topic_ids.read(state / FILE) if state else {}
        found: list[tuple[str, Mapping[str, Noted]]] = [
            (f"the savepoint {state}", beside) if beside else ("the jobs' state", topic_ids.read(jobs / FILE))
        ]
        for topic in self.pipeline.sources:
            if self.held.get(topic.name):
                in_lake = topic_ids.read(of_table(self.settings.lake, str(topic.lake_table)))
                found.append((f"the table {topic.lake_table} of the lake", in_lake))
        return found


def _refusal(what: str, one: MadeAnew) -> str:
    return (
        f"{one.topic} is another topic of the same name than the one that {what} is of: {one.words}. "
        "The offsets are of that one: with them, records of this one would be passed over."
    )


def _hint(settings: Settings) -> str:
    return (
        "To begin anew with this topic: `shardlake jobs rewind`, which puts the lake's tables aside. Where it is the "
        f"wrong broker ({settings.kafka_bootstrap_servers}), set KAFKA_BOOTSTRAP_SERVERS to the one that has the other."
    )
