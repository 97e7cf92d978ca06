"""An S3 service for a campaign: one that is there, one that a command starts, or a model of S3 in memory.

1. AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment: that service.
2. S3_SERVER in the environment: `$S3_SERVER start DIR PORT` prints lines `export AWS_...=...`, `$S3_SERVER stop DIR` ends it.
3. Else moto from the readers' environment. It honours conditions, and is no proof of what a real service does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from typing import Iterator

WANTED = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
OTHERS = ["AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ALLOW_HTTP"]

# How long a service may take to start on a busy machine.
PATIENCE = 180.0


@contextlib.contextmanager
def service() -> Iterator[tuple[str, dict[str, str]]]:
    """A running service: what it is, and the AWS_ variables that reach it."""
    given = {name: os.environ[name] for name in [*WANTED, *OTHERS] if os.environ.get(name)}
    if all(name in given for name in WANTED):
        yield f"the service at {given['AWS_ENDPOINT_URL']}", complete(given)
        return
    if command := os.environ.get("S3_SERVER"):
        with tempfile.TemporaryDirectory(prefix="s3-server-") as folder:
            variables = start(command, folder)
            if variables:
                try:
                    yield f"the service of {command}", complete(variables)
                finally:
                    subprocess.run([*shlex.split(command), "stop", folder], check=False, stdout=subprocess.DEVNULL)
                return
    with moto() as variables:
        yield "moto, a model of S3 in memory", variables


def complete(variables: dict[str, str]) -> dict[str, str]:
    """The variables with what is missing on a plain service of this machine."""
    plain = {"AWS_REGION": "us-east-1"}
    if variables["AWS_ENDPOINT_URL"].startswith("http:"):
        plain |= {"AWS_ALLOW_HTTP": "true", "BATCH_INFER_STORAGE_ALLOW_HTTP": "true"}
    return plain | variables


def start(command: str, folder: str) -> dict[str, str] | None:
    """Starts a service by command; `None` when it does not work here."""
    try:
        done = subprocess.run(
            [*shlex.split(command), "start", folder, str(free_port())],
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command} does not work here: {error}", file=sys.stderr)
        return None
    variables = dict(re.findall(r"^export (AWS_\w+)=(.*)$", done.stdout, re.MULTILINE))
    if done.returncode == 0 and all(name in variables for name in WANTED):
        return variables
    print(f"{command} ended with {done.returncode} and gave {sorted(variables)}", file=sys.stderr)
    return None


@contextlib.contextmanager
def moto() -> Iterator[dict[str, str]]:
    """The model of S3, in a process of its own."""
    port = free_port()
    line = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        endpoint = f"http://127.0.0.1:{port}"
        yield complete(
            {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "writer", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
        )
    finally:
        process.kill()
        process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until somebody listens on a port."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise RuntimeError("the model of S3 did not start")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
