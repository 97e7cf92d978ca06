"""T3: a run is stopped at a random place, another run comes, and then the first one wakes up as if nothing had happened."""

from __future__ import annotations

import signal
from collections import Counter

import checks
import failpoints
from checks import Final, expect
from program import Process
from trial import Bench, Result, Trial
from world import DATES, VERSIONS, World, shape

BUSY, SUPERSEDED = 30, 31

# Trials at a time: those on S3 mostly wait for a lease to expire.
JOBS = {"local": 2, "s3": 6}

# Share of stops at a point, the rest is by time; share of second runs with the same plan; share of trials without lease.
AT_A_POINT, SAME_PLAN, WITHOUT_LEASE = 0.7, 0.3, 0.3

SLEEPER, SECOND = "sleeper", "second"


def run(trials: int, seed: int, world: World, deadline: float | None = None) -> Result:
    """Runs so many trials on the store of the world."""
    bench = Bench("T3", world, seed, deadline)
    world.learn()
    points = bench.passed()

    def one(index: int) -> None:
        dataset = f"t3/{index:05}/predictions"
        if bench.attempt(Trial(bench, index, dataset, DATES[index % len(DATES)]), lambda trial: body(trial, points)):
            for path in (dataset, dataset + ".batch-infer"):
                world.store.remove(path)

    bench.side_by_side(JOBS[world.store.name], range(trials), one)
    return bench.end()


def body(trial: Trial, points: Counter[str]) -> None:
    """One trial."""
    rng = trial.rng
    version = rng.choice(VERSIONS)
    other = version if rng.random() < SAME_PLAN else next(one for one in VERSIONS if one != version)
    environment = shape(trial.store.name, rng)
    if trial.store.name == "s3" and rng.random() < WITHOUT_LEASE:
        environment = environment | {"BATCH_INFER_LEASE_ENABLED": "false"}
    if rng.random() < 0.5:
        trial.run(rng.choice(VERSIONS))
    before = checks.final(trial.store, trial.dataset, trial.date)
    sleeper = asleep(trial, version, points, environment)
    slept = sleeper.is_stopped()
    trial.bench.count("stopped", slept)
    after = second(trial, other, slept, before, environment)
    sleeper.signal(signal.SIGCONT)
    # With a lease it may have come later in the order and lost the lease; then it leaves without a word.
    code = trial.ends(sleeper, {0, SUPERSEDED, BUSY} if trial.store.name == "s3" else {0, SUPERSEDED})
    trial.bench.count(f"sleeper exit {code}")
    judge(trial, code, after)
    # Nothing is stuck: whoever comes now gets what it asks for.
    trial.run(other, environment=environment)
    found = published(trial)
    checks.whole(trial.world, found, trial.date, other)
    checks.recorded(trial.state, found)
    checks.alone(trial.store, trial.dataset, trial.date)
    trial.verify()


def asleep(trial: Trial, version: str, points: Counter[str], environment: dict[str, str]) -> Process:
    """Starts a run and stops it at a point or at a time; it may be done before."""
    key = {"BATCH_INFER_RUN_KEY": SLEEPER}
    if trial.rng.random() < AT_A_POINT:
        stop = {"FAILPOINTS": failpoints.choose(trial.rng, points, "stop")}
        process = trial.start(version, environment=environment | key | stop)
        process.wait_until_stopped(60.0)
    else:
        process = trial.start(version, environment=environment | key)
        after = trial.world.moment(trial.rng)
        process.wait_at_most(after)
        process.signal(signal.SIGSTOP)
        process.wait_until_stopped(1.0)
        trial.say(f"the first process was stopped after {after:.4f} s")
    return process


def second(trial: Trial, version: str, slept: bool, before: Final | None, environment: dict[str, str]) -> Final | None:
    """The other run; returns what is published behind it. On a disk a stopped run keeps its lock, so the other one leaves."""
    local = trial.store.name == "local"
    arguments = ["--on-busy", "fail"] if local else []
    process = trial.start(version, *arguments, environment=environment | {"BATCH_INFER_RUN_KEY": SECOND})
    code = trial.ends(process, {0, BUSY} if local and slept else {0})
    trial.bench.count(f"second exit {code}")
    found = checks.final(trial.store, trial.dataset, trial.date)
    if code == 0:
        expect(found is not None, "the second run ended with 0 and nothing is published")
        assert found is not None
        checks.whole(trial.world, found, trial.date, version)
    elif found is not None and (before is None or found.object != before.object):
        # The sleeper published before it was stopped; that must be whole.
        checks.whole(trial.world, found, trial.date, found.version)
    return found


def judge(trial: Trial, code: int, after: Final | None) -> None:
    """What the sleeper may have done after it woke up."""
    found = published(trial)
    checks.whole(trial.world, found, trial.date, found.version)
    checks.consistent(trial.state.log())
    opens = {record["run_key"]: record["number"] for record in trial.state.log() if record["kind"] == "open"}
    if after is not None:
        expect(found.seq >= after.seq, f"published went back from {after.seq} to {found.seq}")
        if opens.get(SLEEPER, 0) < opens.get(SECOND, 0):
            expect(
                found.object == after.object, "a run that was opened earlier replaced what a later one had published"
            )
    if code == BUSY:
        overtaken = 0 < opens.get(SLEEPER, 0) < opens.get(SECOND, 0)
        expect(not overtaken, "a run that a later one has overtaken ended as if it had met another at work")
        expect(after is not None and found.object == after.object, "a run that lost its lease has published")
        return
    if code == SUPERSEDED:
        expect(after is not None and found.object == after.object, "a superseded run has published")
        return
    own = {record["number"]: record["plan_id"] for record in trial.state.commits() if record["run_key"] == SLEEPER}
    shown = {record["number"] for record in trial.state.published()}
    served = (
        found.plan in own.values() or bool(own.keys() & shown) or (after is not None and found.object == after.object)
    )
    expect(served, "the sleeper ended with 0 and its plan is not published")


def published(trial: Trial) -> Final:
    """What is published, which must be something by now."""
    found = checks.final(trial.store, trial.dataset, trial.date)
    expect(found is not None, "nothing is published")
    assert found is not None
    return found
