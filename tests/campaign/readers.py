"""Four readers that scan a dataset in a loop while it is published, and the judgement of all that they saw.

Every observation must be, for each date, exactly one whole version that the date had at some moment of the scan; a reader
that has seen a version never sees an older one. A reader asks for a file several times in one scan, so a replacement may come
between: such a scan is not judged when it fails (torn) or mixes two versions (mixed), but counted. Whatever else fails or is
wrong is a failure, so a first publish has no excuse.
"""

from __future__ import annotations

import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
from typing import Any

from history import History
from stores import Store
from world import Signature

ENGINES = ["duckdb", "polars", "pyarrow", "pandas"]

# For a scan that is on its way to end on a busy machine.
PATIENCE = 120.0

# One thread each: readers are here to look, not to be fast.
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "2"}


class Reader:
    """One reader's process and what it has seen."""

    def __init__(self, engine: str, store: Store) -> None:
        self.engine = engine
        self.seen: list[dict[str, Any]] = []
        self._resting: queue.Queue[bool] = queue.Queue()
        script = pathlib.Path(__file__).with_name("scanning.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), engine],
            env=dict(os.environ) | ONE_THREAD | store.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "resting" in said:
                self._resting.put(True)
            else:
                self.seen.append(said)
        self._resting.put(False)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def scan(self, root: str) -> None:
        """Scans a dataset from now on."""
        self.seen = []
        self._say(f"scan {root}")

    def rest(self) -> None:
        """Ends scanning; what was seen is complete then."""
        self._say("rest")
        if not self._resting.get(timeout=PATIENCE):
            raise RuntimeError(f"the {self.engine} reader ended by itself")

    def end(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()


class Readers:
    """The four readers, for one store; used as a context."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.figures: dict[str, int] = {}

    def __enter__(self) -> Readers:
        self._readers = [Reader(engine, self.store) for engine in ENGINES]
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.end()

    def scan(self, dataset: str) -> None:
        """All scan a dataset from now on."""
        for reader in self._readers:
            reader.scan(self.store.url(dataset))

    def rest(self, history: History) -> list[str]:
        """All end scanning; returns what any of them should not have seen."""
        for reader in self._readers:
            reader.rest()
        return [wrong for reader in self._readers for wrong in self._judge(reader, history)]

    def _judge(self, reader: Reader, history: History) -> list[str]:
        wrong: list[str] = []
        last: dict[str, int] = {}
        whole_scans = 0
        for scan in reader.seen:
            problems = judged(scan, history, last)
            if not problems:
                whole_scans += 1
            elif scan["replaced"]:
                # The reader could tell, by the ETag or the inode, and would ask again.
                kind = "torn" if "error" in scan else "mixed"
                self._count(f"{reader.engine} {kind}")
            else:
                wrong += [f"{reader.engine}: {problem}" for problem in problems]
        self._count("scans", len(reader.seen))
        if not whole_scans:
            wrong.append(f"{reader.engine}: not one whole scan of {len(reader.seen)}")
        return wrong

    def _count(self, name: str, by: int = 1) -> None:
        self.figures[name] = self.figures.get(name, 0) + by


def judged(scan: dict[str, Any], history: History, last: dict[str, int]) -> list[str]:
    """What is wrong with a scan; where nothing is, `last` moves on to the versions that it saw."""
    if "error" in scan:
        return [f"scan failed: {scan['error']}"]
    problems: list[str] = []
    places: dict[str, int] = {}
    for date in sorted({*history.dates(), *scan["seen"]}):
        raw = scan["seen"].get(date)
        seen = raw and Signature(raw[0], raw[1], raw[2], tuple(raw[3]), raw[4])
        place = history.place(date, seen, scan["start"], scan["end"], last.get(date, 0))
        if place is None:
            when = f"[{scan['start']:.3f}, {scan['end']:.3f}]"
            problems.append(
                f"saw {seen} of {date} in {when}, after version {last.get(date, 0)}; versions: {history.told(date)}"
            )
        else:
            places[date] = place
    if not problems:
        last.update(places)
    return problems
