"""The binary as a process: started with an environment that holds nothing but what a trial gave it, killed, stopped, waited for."""

from __future__ import annotations

import os
import pathlib
import select
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# Far more than any run of a few thousand rows takes, so that one that hangs is a failure and not a wait.
PATIENCE = 120.0

# How the end of a process that was killed is reported.
KILLED = -signal.SIGKILL

# What a trial does not set is as on a small machine; logs are short.
QUIET = {
    "BATCH_INFER_DEVICE_KIND": "cpu",
    "BATCH_INFER_LOG_LEVEL": "warn",
    "BATCH_INFER_LOG_FORMAT": "text",
    "OMP_NUM_THREADS": "1",
}


def binary() -> str:
    """The binary under test."""
    return os.environ["BATCH_INFER_BIN"]


@dataclass
class Process:
    """One start of the binary."""

    arguments: list[str]
    environment: dict[str, str]
    log: pathlib.Path
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as log:
            self._child = subprocess.Popen(
                [binary(), *self.arguments],
                cwd=REPOSITORY,
                env=base_environment() | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.seconds: float | None = None

    @property
    def code(self) -> int | None:
        """How it ended: an exit code, or minus the signal; `None` while it runs."""
        return self._child.poll()

    def wait(self, timeout: float = PATIENCE) -> int | None:
        """Waits for its end; `None` when it has not ended by then, and then it is killed."""
        code = self.wait_at_most(timeout)
        if code is None:
            self.kill()
        else:
            self.seconds = time.monotonic() - self.started
        return code

    def wait_at_most(self, seconds: float) -> int | None:
        """Waits so long for its end; `None` when it still runs then."""
        # Exact and without polling, which `Popen.wait` with a timeout is not.
        if self._child.poll() is None:
            handle = os.pidfd_open(self._child.pid)
            try:
                select.select([handle], [], [], seconds)
            finally:
                os.close(handle)
        return self._child.poll()

    @property
    def pid(self) -> int:
        """Its number on this machine."""
        return self._child.pid

    def signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self._child.poll() is None:
            self._child.send_signal(number)

    def kill(self) -> int:
        """Ends it as a machine that loses power would, and says how it ended, which may have been by itself before."""
        self.signal(signal.SIGKILL)
        return self._child.wait()

    def wait_until_stopped(self, timeout: float) -> bool:
        """Waits until it is stopped by a signal; false when it ends before, or does neither."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._child.poll() is None:
            if self.is_stopped():
                return True
            time.sleep(0.005)
        return False

    def is_stopped(self) -> bool:
        """True while it is stopped by a signal."""
        try:
            stat = pathlib.Path(f"/proc/{self._child.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    def said(self) -> str:
        """What it wrote on both outputs."""
        return self.log.read_text(errors="replace")

    def line(self) -> str:
        """The start as a line for a shell, without secrets."""
        shown = {name: value for name, value in self.environment.items() if not name.startswith("AWS_SECRET")}
        variables = [f"{name}={shlex.quote(value)}" for name, value in sorted(shown.items())]
        return " ".join([*variables, "batch-infer", *map(shlex.quote, self.arguments)])


def base_environment() -> dict[str, str]:
    """What every start gets: quiet settings, and where a user may have put shared libraries."""
    loader = os.environ.get("LD_LIBRARY_PATH")
    return QUIET | ({"LD_LIBRARY_PATH": loader} if loader else {})
