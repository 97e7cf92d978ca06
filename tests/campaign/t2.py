"""T2: many processes start the same date at once, with the same run key, the same plan, or different plans."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from random import Random

import checks
from checks import Broken, expect
from program import Process
from trial import Bench, Result, Trial
from world import DATES, VERSIONS, World, shape

SAME_KEY, SAME_PLAN, DIFFERENT_PLANS = "same run key", "same plan", "different plans"

# How many start, with how often; a few rounds are as crowded as a cluster that has lost its mind. Without a lease the records
# that such a crowd reads grow with the square of its size, so on S3 it is rarer.
CROWDS = {
    "local": {(2, 3): 780, (4, 8): 180, (9, 20): 30, (32, 64): 10},
    "s3": {(2, 3): 780, (4, 8): 200, (9, 20): 18, (32, 64): 2},
}

# Rounds at a time: processes of one round are the load.
JOBS = {"local": 2, "s3": 4}

# Share of rounds on S3 without lease, of rounds that find something published, and of rounds in which nobody waits.
WITHOUT_LEASE, BEFORE, IMPATIENT = 0.4, 0.25, 0.15

# Nobody dies here, so the lease never has to expire, and on a crowded machine it must not; waiting may take long. Who waits
# looks six times in the lease's time.
PATIENT = {"BATCH_INFER_LEASE_TTL": "8s", "BATCH_INFER_LEASE_BUSY_TIMEOUT": "300s"}
CROWDED = {"BATCH_INFER_LEASE_TTL": "60s"}
CROWD = 8

# Time between two looks at what is published.
LOOK = 0.03

SUPERSEDED, BUSY = 31, 30


@dataclass(frozen=True)
class Round:
    """What a round is."""

    case: str
    # The version of each process.
    versions: list[str]
    leased: bool
    on_busy: str
    environment: dict[str, str]

    def key(self, number: int) -> str:
        """The run key of a process."""
        return "shared" if self.case == SAME_KEY else f"own-{number}"

    def allowed(self) -> set[int]:
        """How a process may end. Only without a lease two runs meet, and then the one opened earlier loses."""
        if self.leased:
            return {0, BUSY} if self.on_busy == "fail" else {0}
        return {0} if self.case == SAME_KEY else {0, SUPERSEDED}


def run(trials: int, seed: int, world: World, deadline: float | None = None) -> Result:
    """Runs so many rounds on the store of the world."""
    bench = Bench("T2", world, seed, deadline)
    world.learn()

    def one(index: int) -> None:
        dataset = f"t2/{index:05}/predictions"
        if bench.attempt(Trial(bench, index, dataset, DATES[index % len(DATES)]), body):
            for path in (dataset, dataset + ".batch-infer"):
                world.store.remove(path)

    bench.side_by_side(JOBS[world.store.name], range(trials), one)
    return bench.end()


def drawn(trial: Trial) -> Round:
    """A round by chance."""
    rng = trial.rng
    crowds = CROWDS[trial.store.name]
    case = rng.choice([SAME_KEY, SAME_PLAN, DIFFERENT_PLANS])
    size = rng.randint(*rng.choices(list(crowds), list(crowds.values()))[0])
    versions = [rng.choice(VERSIONS)] * size
    if case == DIFFERENT_PLANS:
        # Both versions, in any order.
        versions = [*VERSIONS, *rng.choices(VERSIONS, k=size - 2)]
        rng.shuffle(versions)
    leased = trial.store.name == "local" or rng.random() >= WITHOUT_LEASE
    impatient = leased and case != SAME_KEY and rng.random() < IMPATIENT
    environment = PATIENT | (CROWDED if size > CROWD else {}) | shape(trial.store.name, rng) | ({} if leased else {"BATCH_INFER_LEASE_ENABLED": "false"})
    return Round(case, versions, leased, rng.choice(["skip", "fail"]) if impatient else "wait", environment)


def body(trial: Trial) -> None:
    """One round: all start, all end, and one order of events explains what is there."""
    plan = drawn(trial)
    trial.say(
        f"{plan.case}, {len(plan.versions)} processes, {'lease' if plan.leased else 'no lease'}, on busy {plan.on_busy}"
    )
    before = 0
    if trial.rng.random() < BEFORE:
        other = next(version for version in VERSIONS if version != plan.versions[0])
        trial.run(other, environment={"BATCH_INFER_RUN_KEY": "before"})
        before = len(trial.state.log())
    with Watch(trial) as watch:
        processes = started(trial, plan, trial.rng)
        codes = [trial.ends(process, plan.allowed(), 600.0) for process in processes]
    watch.judge()
    expect(0 in codes, f"nobody ended with 0: {codes}")
    judge(trial, plan, codes, before)
    trial.bench.count("processes", len(processes))
    for code in codes:
        trial.bench.count(f"exit {code}")
    if trial.rng.random() < 0.25:
        trial.verify()


def started(trial: Trial, plan: Round, rng: Random) -> list[Process]:
    """Starts all, at once or one soon after the other."""
    spread = rng.choice([0.0, 0.3, 1.0]) * trial.world.usual_seconds
    moments = sorted(rng.uniform(0, spread) for _ in plan.versions)
    start = time.monotonic()
    processes = []
    for number, (version, moment) in enumerate(zip(plan.versions, moments)):
        time.sleep(max(0.0, start + moment - time.monotonic()))
        environment = plan.environment | {"BATCH_INFER_RUN_KEY": plan.key(number)}
        processes.append(trial.start(version, "--on-busy", plan.on_busy, environment=environment))
    return processes


def judge(trial: Trial, plan: Round, codes: list[int], before: int) -> None:
    """The log tells one story, and what is published is its end."""
    found = checks.final(trial.store, trial.dataset, trial.date)
    expect(found is not None, "nothing is published")
    assert found is not None
    checks.alone(trial.store, trial.dataset, trial.date)
    checks.recorded(trial.state, found)
    checks.whole(trial.world, found, trial.date, found.version)
    log = trial.state.log()[before:]
    commits = [record for record in log if record["kind"] == "commit"]
    twice = [key for key, times in Counter(record["run_key"] for record in commits).items() if times > 1]
    expect(not twice, f"runs {twice} committed more than once")
    if plan.case == SAME_KEY or (plan.case == SAME_PLAN and plan.leased):
        expect(len(commits) == 1, f"{len(commits)} commits where one was due")
    if plan.case == DIFFERENT_PLANS and plan.leased and plan.on_busy == "wait":
        # One of them may have found its version published already, before anybody else had opened.
        committed = {record["plan_id"] for record in trial.state.commits()}
        expect(len(committed) == len(VERSIONS), f"of two plans {len(committed)} were committed")
    # Whoever opened last has its plan published: by its own commit, or by one that was there when it looked.
    versions = {plan.key(number): version for number, version in enumerate(plan.versions)}
    last = [record for record in log if record["kind"] == "open"][-1]["run_key"]
    expect(
        versions[last] == found.version,
        f"{last} with version {versions[last]} opened last, published is {found.version}",
    )
    superseded = {plan.key(number) for number, code in enumerate(codes) if code == SUPERSEDED}
    expect(last not in superseded or plan.case == SAME_KEY, f"{last} opened last and says that it was superseded")


class Watch:
    """Looks at the number of what is published all the time; used as a context."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._over = threading.Event()
        self._seen: list[int] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        try:
            while not self._over.wait(LOOK):
                self._seen.append(checks.seq_of(self._trial.store, self._trial.dataset, self._trial.date))
        except Exception as error:  # Judged with the rest.
            self._error = error

    def judge(self) -> None:
        """Numbers must never have gone back."""
        if self._error is not None:
            raise self._error
        for one, next_ in zip(self._seen, self._seen[1:]):
            if next_ < one:
                raise Broken(f"what is published went back from {one} to {next_}")
        self._trial.bench.count("looks", len(self._seen))
