"""The proxy as a trial uses it: one process, and a listener for each trial."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections import Counter
from typing import Any, Iterator

from faults import Plan


class Proxy:
    """The proxy's process in front of a service; used as a context."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()

    def __enter__(self) -> Proxy:
        script = pathlib.Path(__file__).with_name("proxy.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), self._environment["AWS_ENDPOINT_URL"]],
            env=dict(os.environ) | self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _ask(self, order: dict[str, Any]) -> dict[str, int]:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    @contextlib.contextmanager
    def faulty(self, plan: Plan, counts: Counter[str]) -> Iterator[str]:
        """A URL at which requests go wrong by a plan; when it is closed, `counts` says how many did."""
        port = self._ask({"open": dataclasses.asdict(plan)})["port"]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            counts.update(self._ask({"close": port}))
