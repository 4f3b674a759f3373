"""`shardlake up|down|status|logs`: the local stack."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import typer

from shardlake import compose
from shardlake.child import die_with_parent
from shardlake.cli.launcher import detached_up
from shardlake.cli.output import add_row, err, new_table, out, print_json, styled
from shardlake.cli.setup import installed
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.folders import DEFAULT_PORT_BASE, running_stack, state_folder
from shardlake.patience import Patience, in_sight
from shardlake.process import identity, running_pid, runs, send_signal
from shardlake.progress import Work, of_processes
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.stack.stack import Stack

PortBase = Annotated[
    int,
    typer.Option(envvar="SHARDLAKE_PORT_BASE", help="Servers listen on 127.0.0.1, this + 2 to + 9, S3 to + 18."),
]
Data = Annotated[
    Path | None, typer.Option(help="Keep topics, schemas, offsets and the lake here. Default: thrown away at the stop.")
]
OwnS3 = Annotated[bool, typer.Option("--s3", help="Keep the lake, and what the jobs keep, in an S3 server.")]


def up(
    ctx: typer.Context,
    port_base: PortBase = DEFAULT_PORT_BASE,
    data: Data = None,
    s3: OwnS3 = False,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return when it is ready.")] = False,
) -> None:
    """Start Kafka, the schema registry and Flink, and make the pipeline's topics and schemas. Ctrl-C stops them."""
    from shardlake.pipeline import Pipeline

    compose.refuse("docker compose up --wait")
    Pipeline.load(ctx.obj.pipeline)
    installed()
    if detach:
        detached_up(ctx.obj.pipeline, port_base, data, s3=s3)
        _announce(running_stack(state_folder()))
        return
    _run_in_foreground(ctx.obj.pipeline, port_base, data, s3=s3)


def _run_in_foreground(pipeline_folder: Path, port_base: int, data: Path | None, *, s3: bool) -> None:
    from shardlake.cli.watcher import jobs_watched
    from shardlake.pipeline import Pipeline
    from shardlake.provision import provision
    from shardlake.stack.stack import Stack

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    stack = Stack(state_folder(), port_base=port_base, data=data, s3=s3)
    stack.start(lambda name: err.print(f"{name} is ready"))
    wanted: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: wanted.append(number))
    try:
        provision(Pipeline.load(pipeline_folder), Settings.read(**stack.settings), stack.signs)
        _announce(running_stack(state_folder()))
        stack.mark_provisioned(restarts=True)
        with jobs_watched(pipeline_folder):
            _watch(stack, wanted)
    except KeyboardInterrupt:
        err.print("stopping")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stack.stop()


def _watch(stack: Stack, wanted: list[int]) -> None:
    """Tell of servers that end; start those again, where SIGUSR1 asks for it."""
    from shardlake.stack.ended import why_ended

    while True:
        if wanted:
            wanted.clear()
            for name in [name for name, server in stack.servers.items() if server.exit_code() is not None]:
                stack.restart(name)
                err.print(f"{name} is started again")
        for name in stack.note_ended():
            server = stack.servers[name]
            cause, fix = why_ended(server.exit_code(), server.log)
            err.print(styled(f"{name} is down:", "bold red"), cause)
            err.print(f"  {fix} Its log: {server.log}")
        time.sleep(0.5)


def _announce(found: dict[str, Any]) -> None:
    out.print(styled(f"ready in {found['ready_seconds']:.1f} s", "bold green"))
    for name, server in found["servers"].items():
        out.print(f"  {name:<12} {server['address']}")
    kept = "kept" if found["kept"] else "thrown away at the stop; keep it with --data DIR"
    out.print(f"  {'data':<12} {found['data']} ({kept})")
    out.print("next:")
    out.print("  shardlake produce --synthetic --rate 1000 --duration 60")
    out.print("  shardlake jobs run")
    out.print('  shardlake query "select service, sum(events) from service_health group by 1"')


def down() -> None:
    """Stop the stack that was started here, in order."""
    from shardlake.stack.stack import find

    compose.refuse("docker compose down")
    found = find(state_folder())
    if found is None:
        err.print("no stack is running here")
        return
    launcher = found["launcher_pid"]
    # An older version's file has no identity: `find` knew the process by its time.
    known = found.get("launcher_identity", identity(launcher))
    send_signal(launcher, known, signal.SIGTERM)
    _await_end(launcher, known, list(found["servers"].values()))
    err.print(f"stopped; {found['data']} is kept" if found["kept"] else "stopped; its data is gone")


def _await_end(launcher: int, known: str | None, servers: list[dict[str, Any]]) -> None:
    """Wait as long as one server after the other ends, or they work at it. Raises ShardlakeError where none does."""
    patience, work = Patience(stretched=in_sight), Work(lambda: of_processes([launcher]))
    while runs(launcher, known):
        running = sum(running_pid(server) is not None for server in servers)
        if not patience.goes_on(f"the launcher and {running} servers", running, ("work", work.count())):
            msg = f"The launcher (process {launcher}) does not end: nothing has moved for {patience.still_for}."
            raise ShardlakeError(msg, f"End it with `kill -9 {launcher}`: its servers end with it.")


def status(ctx: typer.Context, json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What runs, where, and how much memory it takes. Exit code 3 where something is down."""
    if compose.is_wanted():
        from shardlake.cli.containers import status as of_containers

        of_containers(ctx.obj.pipeline, as_json=json)
        return
    from shardlake.stack.ended import server_state
    from shardlake.stack.stack import find

    found = find(state_folder())
    if found is None:
        msg = "No stack is running here."
        raise Unavailable(msg, "Start one with `shardlake up`.")
    states = {name: server_state(name, server) for name, server in found["servers"].items()}
    rows = [
        {
            "server": name, "state": states[name].state, "cause": states[name].cause, "fix": states[name].fix,
            **server, **_use(running_pid(server)),
        }
        for name, server in found["servers"].items()
    ]  # fmt: skip
    if json:
        print_json({"ready": found["ready"], "data": found["data"], "kept": found["kept"], "servers": rows})
    else:
        table = new_table("server", "state", "address", "process", "memory MB", "CPU s")
        for row in rows:
            colour = "green" if row["state"] == "running" else "bold red"
            add_row(
                table, row["server"], styled(row["state"], colour), row["address"], str(row["pid"]),
                f"{row['memory_bytes'] / 1e6:,.0f}", f"{row['cpu_seconds']:.1f}",
            )  # fmt: skip
        out.print(table)
        for row in rows:
            if row["cause"]:
                out.print(styled(f"{row['server']} is {row['state']}:", "bold red"), row["cause"])
                out.print(f"  {row['fix']} Its log: {row['log']}")
    if any(row["state"] != "running" for row in rows):
        raise typer.Exit(3)


def _use(pid: int | None) -> dict[str, Any]:
    """What a process takes; nothing where it has ended."""
    if pid is None:
        return {"memory_bytes": 0, "cpu_seconds": 0.0}
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return {"memory_bytes": process.memory_info().rss, "cpu_seconds": times.user + times.system}
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return {"memory_bytes": 0, "cpu_seconds": 0.0}


def _follow(files: list[Path], lines: int) -> None:
    """Yield each line that is written to the logs, until Ctrl-C."""
    command = ["tail", "-n", str(lines), "-F", *map(str, files)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace", preexec_fn=die_with_parent()
    ) as tail:
        assert tail.stdout is not None
        try:
            for line in tail.stdout:
                out.print(line.rstrip("\n"))
        finally:
            tail.terminate()


def logs(
    server: Annotated[
        str | None, typer.Argument(help="kafka, registry, jobmanager, taskmanager, planner or s3; all without.")
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for more.")] = False,
    lines: Annotated[int, typer.Option("-n", help="How many of the last lines.")] = 20,
) -> None:
    """The servers' logs, also those of a stack that has failed to start."""
    compose.refuse(f"docker compose logs {server or ''}".rstrip())
    folder = state_folder() / "logs"
    there = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if server and server not in there:
        msg = f"There is no log of {server!r} in {folder}."
        raise BadInput(msg, f"There is: {', '.join(there) or 'none, no stack was started here'}.")
    if not there:
        msg = f"There are no logs in {folder}: no stack was started here."
        raise Unavailable(msg, "Start one with `shardlake up`.")
    chosen = [there[server]] if server else list(there.values())
    if follow:
        _follow(chosen, lines)
        return
    for path in chosen:
        if len(chosen) > 1:
            out.print(styled(f"== {path.stem}", "bold"), f"({path})")
        for line in path.read_text(errors="replace").splitlines()[-lines:]:
            out.print(line)
