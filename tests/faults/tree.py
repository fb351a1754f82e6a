"""`manage.py start` and everything below it; whoever kills the top finds it started again, as by systemd."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from tests.faults.apps import FOLDER, NO_FENCE, OPERATED
from tests.flows.conftest import ROOT, free_port
from tests.processes import environment_of_a_user

CONFIGURATION = """
version: 1
applications:
  - {{slug: shop, credentials: [{{name: main, scheme: api_key, secret: "{key}"}}]}}
  - slug: erp
    endpoints:
      - {{slug: orders, url: "{url}", timeout_seconds: 5}}
      - {{slug: narrow, url: "{url}", timeout_seconds: 5, max_concurrent: 4}}
      - {{slug: shaky, url: "{url}", timeout_seconds: 2, circuit: {{failure_share: 0.25, minimum_calls: 4,
          window_seconds: 10, open_seconds: 0.5}}}}
routes:
  - {{slug: orders, endpoint: orders, ordering_key: lane, on_failure: block, {common}}}
  - {{slug: narrow, endpoint: narrow, ordering_key: lane, on_failure: block, {common}}}
  - {{slug: shaky, endpoint: shaky, ordering_key: lane, on_failure: block, {common}}}
  - {{slug: skipping, endpoint: orders, ordering_key: lane, on_failure: skip, {common}}}
  - {{slug: loose, endpoint: orders, ordering: none, on_failure: skip, {common}}}
"""
COMMON = """
    source: shop, patterns: [async, sync], sync_deadline_seconds: 8,
    retry: {max_attempts: 60, first_delay_seconds: 0.05, factor: 1.3, max_delay_seconds: 0.5}
"""
READY_WITHIN = 60.0


@dataclass(slots=True)
class Life:
    """When a process was last seen, and when it first was not seen any more."""

    session: int
    seen: float
    gone: float | None = None


class Tree:
    def __init__(
        self, folder: Path, database_url: str, *, key: str, url: str, fence: bool = True, operator: str | None = None
    ) -> None:
        """`operator`: the seed of one who uses the verbs all the time, if there is to be one."""
        self.folder = folder
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        port = url.rpartition(":")[2].partition("/")[0]
        self.environment = {
            **environment_of_a_user(),
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
            "DATA_DIR": str(folder / "data"),
            "DATABASE_URL": database_url,
            "SECRET_KEY": "the-faults-only-key-" + uuid.uuid4().hex,
            "OUTBOUND_ALLOWED_NETWORKS": f"127.0.0.1/32:{port}",
            "DJANGO_SUPERUSER_PASSWORD": "the-faults-only",
            "QUEUE_WORKERS": "2",
            FOLDER: str(folder),
            **({} if fence else {NO_FENCE: "1"}),
        }
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(key=key, url=url, common=COMMON))
        self._sessions: set[int] = set()
        self.lives: dict[int, Life] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._operator: subprocess.Popen[bytes] | None = None
        self._operator_seed = operator
        self._operators = 0
        self._configured = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def start(self) -> None:
        self._keeper.start()
        self._wait_until_ready()
        self._manage("apply", str(self.folder / "configuration.yaml"))
        self._configured.set()

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            if time.monotonic() > end:
                raise TimeoutError(f"The platform is not ready: {self.log()}")
            time.sleep(0.1)

    def descendants(self) -> list[psutil.Process]:
        """Everything that runs, the top included. Orphans have another parent, and a process that gave itself a title
        has lost its environment; both have kept their session."""
        mine, ours = [], os.getsid(0)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                session = os.getsid(process.pid)
                if session == ours:  # a command that looks at the platform, and whoever runs the tests
                    continue
                if session in self._sessions or process.environ().get(FOLDER) == str(self.folder):
                    self._sessions.add(session)
                    mine.append(process)
        return mine

    def session_of(self, pid: int) -> int | None:
        known = self.lives.get(pid)
        return known.session if known else None

    def _look(self) -> None:
        """Gets to know them, and their sessions while they have their environment; notices who is gone."""
        begin = time.monotonic()
        there = set()
        for process in self.descendants():
            with contextlib.suppress(OSError):
                there.add(process.pid)
                life = self.lives.setdefault(process.pid, Life(os.getsid(process.pid), begin))
                life.seen = begin
        for pid, life in self.lives.items():
            if life.gone is None and pid not in there:
                life.gone = time.monotonic()

    def inspection(self, *arguments: str) -> dict[str, int]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.inspection", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        found: dict[str, int] = json.loads(done.stdout)
        return found

    def stop(self) -> None:
        """Kills what is there until nothing is: a supervisor may be about to start something."""
        self._stopping.set()
        self._keeper.join()
        while left := self.descendants():
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=2)
        for process in (self._process, self._operator):
            if process is not None:
                process.wait()

    def log(self) -> str:
        return self._whole_log()[-6000:]

    def said(self, text: str) -> int:
        """How often its processes have logged this."""
        return self._whole_log().count(text)

    def _whole_log(self) -> str:
        path = self.folder / "log.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def send_operator_home(self) -> None:
        """What he has left paused is resumed by `inspection("revive")`."""
        self._configured.clear()
        with self._lock:
            if self._operator is not None:
                self._operator.kill()
                self._operator.wait()

    def operated(self) -> set[str]:
        """The correlation ids that the operator has had in hand."""
        path = self.folder / OPERATED
        return set(path.read_text().split()) if path.exists() else set()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            if self._process is None or self._process.poll() is not None:
                self._process = self._run("manage.py", "start", "--no-demo", "--port", str(self.port))
            with self._lock:
                is_away = self._operator is None or self._operator.poll() is not None
                if self._operator_seed is not None and is_away and self._configured.is_set():
                    self._operators += 1
                    seed = f"{self._operator_seed}:{self._operators}"
                    self._operator = self._run("-m", "tests.faults.operator", seed)
            self._look()
            self._stopping.wait(0.2)

    def _run(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def _manage(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.base}/health/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False


def kind_of(process: psutil.Process) -> str:
    """What a process is, for the table; an empty text if it is no part of the platform that anyone would kill.

    setproctitle makes the processes of a qcluster tell what they are.
    """
    line = " ".join(process.cmdline()).strip()
    last = line.rpartition(" ")[2]
    if line.startswith("qcluster MainProcess"):
        parent = process.parent()
        is_sentinel = parent is not None and " ".join(parent.cmdline()).startswith("qcluster MainProcess")
        return "qcluster sentinel" if is_sentinel else "qcluster main"
    if line.startswith("qcluster Process"):
        return f"qcluster {last}" if last in ("monitor", "pusher") else "qcluster worker"
    if line.startswith("granian"):
        return "web worker" if last.startswith("worker-") else "web server"
    if "integration_platform.guardian" in line:
        return "guardian"
    if "tests.faults.operator" in line:
        return "operator"
    if "manage.py start" in line:
        return "platform"
    if line.endswith("manage.py worker"):
        return "worker command"
    return ""
