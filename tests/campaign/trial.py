"""How trials are counted, run side by side, and kept when they fail."""

from __future__ import annotations

import os
import pathlib
import resource
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Callable, Iterable, TypeVar

import failpoints
from checks import Broken, expect
from program import Process
from records import DateState
from stores import Store
from world import DATES, PIECES, World

Item = TypeVar("Item")

# What a thread says that panics, whatever the exit code.
PANIC = "panicked at"


@dataclass
class Result:
    """What a test found on a store."""

    test: str
    store: str
    seed: int
    trials: int = 0
    failures: list[str] = field(default_factory=list)
    # What was counted besides, by name.
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    # Seconds of processors, of the test and of all that it started; a service is not among them.
    cpu: float = 0.0

    def count(self, name: str, by: float = 1) -> None:
        """Adds to a figure."""
        self.figures[name] = self.figures.get(name, 0) + by


class Bench:
    """A test at work on a world: runs trials, counts them, keeps those that fail."""

    def __init__(self, test: str, world: World, seed: int, deadline: float | None = None) -> None:
        self.result = Result(test, world.store.name, seed)
        self.world = world
        self.deadline = deadline
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def rng(self, *place: object) -> Random:
        """A source of chance that depends on the seed and a place in the test alone."""
        return Random(f"{self.result.seed}/{self.result.test}/{self.result.store}/{place}")

    def count(self, name: str, by: float = 1) -> None:
        """Adds to a figure."""
        with self._lock:
            self.result.count(name, by)

    def is_over(self) -> bool:
        """True when no further trial should begin."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def side_by_side(self, jobs: int, items: Iterable[Item], work: Callable[[Item], None]) -> None:
        """Does work on each item, `jobs` at a time, until all are done or time is over."""

        def unless_over(item: Item) -> None:
            if not self.is_over():
                work(item)

        with ThreadPoolExecutor(jobs) as pool:
            for done in [pool.submit(unless_over, item) for item in items]:
                done.result()

    def passed(self) -> Counter[str]:
        """The failpoints that a first publish passes, however it publishes, and how often."""
        points: Counter[str] = Counter()
        for number, shape in enumerate([{}, PIECES] if self.result.store == "s3" else [{}]):
            trial = Trial(self, -1 - number, f"discovery/{number}/predictions", DATES[1])

            def once(value: str) -> str:
                said = {"FAILPOINTS": value, "BATCH_INFER_LOG_LEVEL": failpoints.DISCOVERY_LOG_LEVEL}
                return trial.run("1", environment=said | shape).said()

            points |= failpoints.discover(once)
        expect(bool(points), "the binary has no failpoints: build it with the feature `failpoints`")
        self.result.notes.append(f"{len(points)} points")
        return points

    def attempt(self, trial: "Trial", body: Callable[["Trial"], None]) -> bool:
        """Runs one trial; what does not hold, or goes wrong in the harness, is a failure with all that is needed to see why."""
        try:
            body(trial)
            broken = None
        except Broken as error:
            broken = str(error)
        except Exception:  # A harness that stumbles proves nothing, so this is no success.
            broken = traceback.format_exc()
        trial.end()
        with self._lock:
            self.result.trials += 1
        if broken is None:
            shutil.rmtree(trial.folder, ignore_errors=True)
            return True
        self.fail(trial, broken)
        return False

    def fail(self, trial: "Trial", broken: str) -> None:
        """Keeps a trial and says what is broken."""
        kept = trial.keep(broken)
        with self._lock:
            self.result.failures.append(f"{trial.name}: {broken}")
            print(
                f"\nFAILED {trial.name}, seed {self.result.seed}: {broken}\n{trial.story()}\nkept in {kept}\n",
                file=sys.stderr,
                flush=True,
            )

    def end(self) -> Result:
        """The result, with how long it took."""
        self.result.seconds = time.monotonic() - self._started
        used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        self.result.cpu = sum(one.ru_utime + one.ru_stime for one in used)
        return self.result


class Trial:
    """One trial: its source of chance, its dataset and date, and the processes that it starts."""

    def __init__(self, bench: Bench, index: int, dataset: str, date: str) -> None:
        self.bench = bench
        self.name = f"{bench.result.test}-{bench.result.store}-{index}"
        self.index = index
        self.rng = bench.rng(index)
        self.world = bench.world
        self.store: Store = bench.world.store
        self.dataset = dataset
        self.date = date
        self.state = DateState(self.store, dataset, date)
        self.folder = bench.world.work / "trials" / self.name
        self.processes: list[Process] = []
        self.said: list[str] = []

    def say(self, what: str) -> None:
        """Remembers a step for whoever reads of a failure."""
        self.said.append(what)

    def start(self, version: str, *arguments: str, environment: dict[str, str] | None = None) -> Process:
        """Starts a run of this trial's date."""
        log = self.folder / f"{len(self.processes)}.log"
        process = self.world.start(self.dataset, self.date, version, log, list(arguments), environment)
        self.processes.append(process)
        return process

    def run(self, version: str, *arguments: str, environment: dict[str, str] | None = None) -> Process:
        """Runs this trial's date to its end, which must be success."""
        process = self.start(version, *arguments, environment=environment)
        self.ends(process, {0})
        self.world.took(process.seconds or 0.0)
        return process

    def verify(self) -> None:
        """The binary's own check must agree, where the binary has one."""
        if not self.world.can_verify:
            return
        process = self.world.verify(self.dataset, self.date, self.folder / f"{len(self.processes)}.log")
        self.processes.append(process)
        self.ends(process, {0})

    def ends(self, process: Process, allowed: set[int], timeout: float = 120.0) -> int:
        """Waits for a process, which must end, and in one of the allowed ways."""
        code = process.wait(timeout)
        number = self.processes.index(process) if process in self.processes else -1
        expect(code is not None, f"process {number} had not ended after {timeout:.0f} s")
        assert code is not None
        expect(code in allowed, f"process {number} ended with {code}, allowed is {sorted(allowed)}")
        expect(PANIC not in process.said(), f"process {number} ended with {code} and a thread of it panicked")
        return code

    def end(self) -> None:
        """No process outlives its trial."""
        for process in self.processes:
            if process.code is None:
                process.kill()

    def story(self) -> str:
        """What was done, as commands."""
        lines = [f"  {number} ended {process.code}: {process.line()}" for number, process in enumerate(self.processes)]
        return "\n".join([*lines, *(f"  {said}" for said in self.said)])

    def keep(self, broken: str) -> pathlib.Path:
        """Copies what explains a failure to a folder that stays."""
        target = kept_folder() / f"{self.name}-seed-{self.bench.result.seed}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        if self.folder.exists():
            shutil.copytree(self.folder, target, dirs_exist_ok=True)
        state, output = self.state.folder, f"{self.dataset}/date={self.date}"
        listing = self.store.list(state) | self.store.list(output)
        lines = "".join(f"{size:>10} {path}\n" for path, size in sorted(listing.items()))
        (target / "README").write_text(f"{broken}\n\n{self.story()}\n\n{lines}")
        self.store.download(state, target)
        self.store.download(output, target)
        return target


def kept_folder() -> pathlib.Path:
    """Where failed trials stay: CAMPAIGN_KEEP, or a folder for temporary files."""
    folder = pathlib.Path(
        os.environ.get("CAMPAIGN_KEEP") or pathlib.Path(tempfile.gettempdir(), "batch-infer-failures")
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder
