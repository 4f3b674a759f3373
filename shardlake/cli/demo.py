"""`shardlake demo`: the whole path on one screen, and the sum at its end."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake import compose
from shardlake.cli.cluster import cluster_of
from shardlake.cli.demo_report import report
from shardlake.cli.launcher import detached_up
from shardlake.cli.output import err, out, styled
from shardlake.cli.setup import installed
from shardlake.cli.stack import OwnS3, PortBase
from shardlake.counted import counted
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.folders import DEFAULT_PORT_BASE, running_stack, state_folder
from shardlake.pipeline import Pipeline
from shardlake.process import running_pid
from shardlake.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from shardlake.cli.demo_break import Breaks
    from shardlake.flink.submit import Submission
    from shardlake.stack.stack import Stack

SAMPLE_LINES = 10_000
RATE = 1000
POISON = 39
SECOND_CONSUMER_AFTER_SECONDS = 10
SAY_EVERY_SECONDS = 5


def demo(
    ctx: typer.Context,
    log: Annotated[Path | None, typer.Option(help="A log file of yours. Default: a sample of 10,000 lines.")] = None,
    keep: Annotated[bool, typer.Option(help="Leave the stack running at the end.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="How long synthetic events are sent.")] = 30,
    break_: Annotated[bool, typer.Option("--break", help="Kill the task manager, then the broker, meanwhile.")] = False,
    s3: OwnS3 = False,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Logs through Kafka and Flink into the lake, consumers and lag, and the sum: exit code 0 only if it holds."""
    compose.refuse("docker compose up --wait")
    if break_ and keep:
        msg = "--break and --keep do not go together: what is kept has a launcher of its own, and its servers."
        raise BadInput(msg, "Leave one of them out.")
    pipeline = Pipeline.load(ctx.obj.pipeline)
    if log:
        from shardlake.produce.lines import check

        check(str(log))
    installed()
    began = time.monotonic()
    with ExitStack() as stack:
        submission, local = _start(pipeline, port_base, keep, stack, s3=s3)
        settings = Settings.read()
        file = log or _sample(pipeline, Path(running_stack(state_folder())["data"]))
        stage = Stage(pipeline, settings, began)
        stack.callback(stage.end_children)
        stage.say(f"{file.name} goes into the topic {pipeline.events_topic.name}")
        stage.produce(str(file))
        stage.jobs(submission)
        breaks = None
        if break_ and local is not None:
            from shardlake.cli.demo_break import SECONDS, Breaks

            seconds, breaks = max(seconds, SECONDS), Breaks(pipeline, settings, local, stage.say)
        stage.play(seconds, breaks)
        finished = stage.finish()
        report(pipeline, settings, file if log else None, stage.run, finished)
        if keep:
            out.print("\nThe stack runs on: shardlake query, lag, produce, consume; in the end shardlake down.")
            out.print(f"The run's ledgers are in {stage.run}: shardlake verify {stage.run}", soft_wrap=True)


def _start(
    pipeline: Pipeline, port_base: int, keep: bool, stack: ExitStack, *, s3: bool
) -> tuple[Submission, Stack | None]:
    """Servers, topics and schemas, with the jobs' planning beside them; the stack, where it is a launcher's of its own
    None."""
    from shardlake.flink.submit import Submission
    from shardlake.stack.stack import Stack

    def plan(settings: Settings) -> Submission:
        log = state_folder() / "logs" / "submit.log"
        submission = Submission(pipeline, settings, {job: {} for job in pipeline.modules("flink_jobs")}, log)
        stack.callback(submission.abandon)
        return submission

    if keep:
        detached_up(pipeline.folder, port_base, None, s3=s3)
        return plan(Settings.read()), None
    local = Stack(state_folder(), port_base=port_base, s3=s3, short_lived=True)
    stack.callback(local.stop)
    submission = None

    def on_spawned() -> None:
        nonlocal submission
        submission = plan(Settings.read(**local.settings))

    start_stack(pipeline, local, on_spawned)
    assert submission is not None
    return submission, local


def start_stack(pipeline: Pipeline, local: Stack, on_spawned: Callable[[], None] = lambda: None) -> None:
    """Start its servers, and make the pipeline's topics and schemas, saying so."""
    from shardlake.provision import provision

    seconds = local.start(lambda name: err.print(f"  {name} is ready"), on_spawned)
    provision(pipeline, Settings.read(**local.settings), local.signs)
    local.mark_provisioned()
    ready = styled(f"ready in {seconds:.1f} s:", "bold green")
    err.print(ready, f"Flink's page is {local.settings['flink_rest_url']}")


def _sample(pipeline: Pipeline, folder: Path) -> Path:
    """A web server's log of our own making, written as a file is."""
    path = folder / "web.log"
    lines = pipeline.load_module("producers", "sample_log").lines_of_access_log(SAMPLE_LINES, datetime.now(UTC))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


class Stage:
    """The demo's processes and what is shown of them."""

    def __init__(self, pipeline: Pipeline, settings: Settings, began: float) -> None:
        from shardlake.commands import Commands
        from shardlake.lag.sampling import Sampler

        self._pipeline = pipeline
        self._settings = settings
        self._began = began
        self._sampler = Sampler.of(settings.kafka_bootstrap_servers)
        self._commands = Commands(pipeline, settings, state_folder(), state_folder() / "logs")
        self._producers: list[subprocess.Popen[bytes]] = []
        self._consumers: list[subprocess.Popen[bytes]] = []
        self._drain: Submission | None = None
        self._said = 0.0
        self.run = Path(running_stack(state_folder())["data"]) / "run"
        """The folder of the producers' ledgers."""
        self.first_row_seconds: float | None = None
        self.peak_memory_bytes = 0

    def say(self, line: str | Text) -> None:
        """A line with the seconds since the command."""
        err.print(styled(f"{time.monotonic() - self._began:5.1f} s ", "dim"), line)

    def produce(self, *arguments: str) -> None:
        """Start `shardlake produce`."""
        self._producers.append(self._commands.start("produce", "produce", *arguments, "--ledger", str(self.run)))

    def jobs(self, submission: Submission) -> None:
        """Submit the planned jobs and wait until they run."""
        job_id = submission.submit().job_id
        cluster_of(self._settings).await_running(job_id)
        self.say(f"the jobs run: {', '.join(self._pipeline.modules('flink_jobs'))}, one application, {job_id}")

    def play(self, seconds: float, breaks: Breaks | None = None) -> None:
        """Synthetic events with poison among them, a consumer, then a second one, until all is sent, and broken."""
        from shardlake.cli.finish import plan_drain

        self.say(f"{RATE:,} synthetic events a second for {seconds:.0f} s, {POISON} poison records among them")
        self.produce("--synthetic", "--rate", str(RATE), "--duration", str(seconds), "--poison", str(POISON))
        self._consume()
        self._drain = plan_drain(self._pipeline, self._settings)
        second = time.monotonic() + min(SECOND_CONSUMER_AFTER_SECONDS, seconds / 2)
        with screen() as show:
            while any(producer.poll() is None for producer in self._producers) or (breaks and breaks.left):
                if breaks and self.first_row_seconds is not None:
                    breaks.next(lambda: self._look(show))
                self._look(show)
                # After the look, which may take seconds: the producer may have ended by the next time.
                if len(self._consumers) == 1 and time.monotonic() > second:
                    self.say("a second consumer joins")
                    self._consume()
                time.sleep(0.5)
        if any(producer.returncode for producer in self._producers):
            raise ShardlakeError("A producer failed.", f"Its words are in {self._log('produce')}.")

    def finish(self) -> float:
        """Let the jobs read to the end and every window fire; end the consumers. Seconds since the command."""
        from shardlake.cli.finish import drain

        assert self._drain is not None
        self.say("all is sent; the jobs finish")
        drain(self._pipeline, self._settings, self._drain)
        self._look(None)
        self.end_children()
        self.say("every window has fired")
        if self.first_row_seconds is not None:
            self.say(f"the first row was in the lake {self.first_row_seconds:.1f} s after the command")
        self.say(f"the servers took {self.peak_memory_bytes / 1e9:.1f} GB of memory at most")
        return time.monotonic() - self._began

    def end_children(self) -> None:
        """End consumers and producers that still run, asking first."""
        if self._drain is not None:
            self._drain.abandon()
        for child in [*self._producers, *self._consumers]:
            child.terminate()
        for child in [*self._producers, *self._consumers]:
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._sampler.close()

    def _consume(self) -> None:
        self._consumers.append(self._commands.start("consume", "consume", "traffic"))

    def _log(self, command: str) -> Path:
        return state_folder() / "logs" / f"{command}.log"

    def _look(self, show: Any) -> None:
        from shardlake.cli.lag import lag_table

        self._measure()
        try:
            sample = self._sampler.sample()
        except Unavailable as error:  # it is only looked at: the sum at the end is what counts
            self.say(error.message)
            return
        if show is not None:
            show.update(lag_table(sample), refresh=True)
        elif time.monotonic() - self._said > SAY_EVERY_SECONDS:
            self._said = time.monotonic()
            behind: Counter[str] = Counter()
            for shard in sample.shards:
                behind[shard.group] += shard.records
            words = [
                f"{name} {n:,} behind with {counted(sample.groups[name].members, 'member')}"
                for name, n in behind.items()
            ]
            self.say(f"lag: {'; '.join(words) or 'no group yet'}")

    def _measure(self) -> None:
        import psutil

        from shardlake.lake.tables import VISIBLE
        from shardlake.storage import find

        memory = 0
        for server in running_stack(state_folder())["servers"].values():
            pid = running_pid(server)
            if pid is not None:
                with suppress(psutil.NoSuchProcess):
                    memory += psutil.Process(pid).memory_info().rss
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory)
        if self.first_row_seconds is None and find(self._settings.lake, VISIBLE):
            self.first_row_seconds = time.monotonic() - self._began
            self.say("the first rows are in the lake")


@contextmanager
def screen() -> Iterator[Any]:
    """A live table on a terminal; None elsewhere, where there are lines."""
    from rich.live import Live

    if not out.is_terminal:
        yield None
        return
    with Live(console=out, auto_refresh=False, transient=True) as live:
        yield live
