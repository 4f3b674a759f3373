"""Followed files and the follower's state file, spoiled, with a broker that acknowledges late or not at all.

While files are only appended to, renamed and packed, each line is read once, over any number of kills; whatever else is
done to them, and whatever is done to the state file, the follower reads on or refuses it.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from shardlake.errors import BadInput
from shardlake.produce.content import Content, Sent
from shardlake.produce.discovery import Discovery
from shardlake.produce.positions import State, StateFile
from tests.fuzz.lines import corpus
from tests.fuzz.spoiling import spoiled
from tests.fuzz.tries import Fault, Try

NO_UTF8 = os.fsdecode(b"\xff")
TOPIC, TOPIC_ID = "app-logs", "id"


class Agent:
    """A follower without a broker. What was sent is settled by `acknowledge`; a kill forgets the rest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pattern = str(folder / "*.log*")
        self.state = StateFile(folder / "state" / "state.json")
        self.settled: Counter[bytes] = Counter()
        self.sent: list[tuple[Content, Sent, bytes]] = []
        self.discovery = Discovery([self.pattern], [], lambda _: None)

    def turn(self) -> None:
        """Look, save where something is new, and read once."""
        if self.discovery.look():
            self.save()
        for content, piece in self.discovery.read():
            self.sent.append((content, content.send(piece), piece.raw or b""))

    def acknowledge(self, chance: Random, share: float) -> None:
        """Settle so many of the lines that were sent, in any order."""
        chance.shuffle(self.sent)
        left = []
        for content, sent, raw in self.sent:
            if chance.random() < share:
                content.settle(sent, 0, 1)
                self.settled[raw] += 1
            else:
                left.append((content, sent, raw))
        self.sent = left

    def save(self) -> None:
        """As once a second."""
        places = [content.place for content in self.discovery.contents]
        self.state.save(State(TOPIC, TOPIC_ID, {0: 5}, places, is_clean=False))

    def kill(self) -> None:
        """Start again from what was saved. Raises BadInput where that is damaged."""
        for content in self.discovery.contents:
            if content.tail.source is not None:
                content.tail.source.close()
        self.sent = []
        self.state.close()
        self.state = StateFile(self.state.path)
        saved = self.state.load(TOPIC, TOPIC_ID)
        contents = [Content.of(place) for place in saved.places] if saved else []
        self.discovery = Discovery([self.pattern], contents, lambda _: None)

    def close(self) -> None:
        """Let go of all files."""
        for content in self.discovery.contents:
            if content.tail.source is not None:
                content.tail.source.close()
        self.state.close()


def tries(chance: Random) -> Iterator[Try]:
    """A life of a follower with files that only grow and rotate, one with files to which anything is done, and one
    whose state file is spoiled between two lives."""
    lines = [line for file in corpus() for line in file]
    while True:
        number = chance.getrandbits(64)
        for life in (_orderly, _wild, _spoiled_state):
            yield (life.__name__, number), partial(_in_a_folder, life, lines, Random(number))


Life = Callable[[Agent, list[bytes], Random], str]


def _in_a_folder(life: Life, lines: list[bytes], chance: Random) -> str:
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(Path(folder))
        try:
            return life(agent, lines, chance)
        finally:
            agent.close()


def _orderly(agent: Agent, lines: list[bytes], chance: Random) -> str:
    log = agent.folder / "a.log"
    written: Counter[bytes] = Counter()
    number = 0
    for _ in range(chance.randrange(3, 12)):
        for _ in range(chance.randrange(6)):
            number += 1
            # Two files must not be alike: a log whose first lines have no times may be.
            rest = spoiled(chance, chance.choice(lines), b"", 2000)
            line = b"%d " % number + rest.replace(b"\n", b"").replace(b"\x00", b"")
            written[line] += 1
            with log.open("ab") as file:
                file.write(line + b"\n")
        agent.turn()
        match chance.randrange(4):
            case 0 if log.exists():
                log.rename(agent.folder / f"a.log.{number}")
                log.touch()
            case 1:
                old = sorted(agent.folder.glob("a.log.*"))
                if old and not old[0].name.endswith(".gz"):
                    packed = gzip.compress(old[0].read_bytes())
                    agent.turn()
                    old[0].with_name(f"{old[0].name}.gz").write_bytes(packed)
                    old[0].unlink()
            case 2:
                # All acknowledged and saved, so that the kill leaves nothing in doubt: that is the topic's to tell.
                agent.turn()
                agent.acknowledge(chance, 1)
                agent.save()
                agent.kill()
            case _:
                agent.acknowledge(chance, 0.5)
    for _ in range(4):
        agent.turn()
    agent.acknowledge(chance, 1)
    if agent.settled != written:
        lost, more = written - agent.settled, agent.settled - written
        raise Fault(f"{lost.total()} lines were not read and {more.total()} too often: {[*lost, *more][:3]}")
    return "orderly"


def _wild(agent: Agent, lines: list[bytes], chance: Random) -> str:
    for _ in range(chance.randrange(3, 15)):
        files = sorted(path for path in agent.folder.glob("*.log*") if path.is_file())
        path = (
            chance.choice(files)
            if files and chance.random() < 0.7
            else agent.folder / f"{chance.choice(('a', 'b', NO_UTF8))}.log"
        )
        other = path.with_name(f"{chance.choice('ab')}.log.{chance.randrange(4)}{chance.choice(('', '.gz'))}")
        content = b"\n".join(chance.choice(lines) for _ in range(chance.randrange(5)))
        match chance.randrange(9):
            case 0 | 1:
                with path.open("ab") as file:
                    file.write(content + chance.choice((b"\n", b"")))
            case 2:
                path.write_bytes(spoiled(chance, gzip.compress(content), content))
            case 3:
                path.write_bytes(spoiled(chance, content, content))
            case 4 if path.exists():
                path.rename(other)
            case 5 if path.exists() and path != other:
                shutil.copy(path, other)
            case 6 if path.exists():
                with path.open("r+b") as file:
                    file.truncate(chance.randrange(len(content) + 1))
            case 7 if path.exists():
                path.unlink()
            case _:
                agent.save()
                agent.kill()
        agent.turn()
        agent.acknowledge(chance, chance.random())
    return "wild"


def _spoiled_state(agent: Agent, lines: list[bytes], chance: Random) -> str:
    for name in "ab":
        (agent.folder / f"{name}.log").write_bytes(b"\n".join(chance.choice(lines) for _ in range(5)) + b"\n")
    agent.turn()
    agent.acknowledge(chance, 0.7)
    agent.save()
    path = agent.state.path
    if chance.random() < 0.5:
        path.write_bytes(spoiled(chance, path.read_bytes(), b"{}[]"))
    else:
        path.write_text(json.dumps(_with_another_value(chance, json.loads(path.read_text()))))
    try:
        agent.kill()
    except BadInput:
        return "state refused"
    for _ in range(2):
        agent.turn()
        agent.acknowledge(chance, 1)
    agent.save()
    agent.kill()
    return "state taken"


def _with_another_value(chance: Random, state: dict[str, Any]) -> dict[str, Any]:
    """The state with one value of another kind, at its top or in one of its places."""
    value = chance.choice((None, True, -1, 2**70, 1.5, float("nan"), "x", "/", "\ud800", [], [1, "a"], {}, {"0": "x"}))
    inside: Any = chance.choice((state, state["places"][0], state["places"][0]["head"]))
    inside[chance.choice(list(inside))] = value
    return state
