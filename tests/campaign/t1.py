"""T1: kill -9 at points and at random times, or SIGTERM, again and again, while four readers scan; then one clean run.

A group of trials shares a dataset. Each of its dates goes through a chain of trials, a first publish and then replacements
by the other version of the model, so that most trials have something older that readers may see and nobody may lose.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass

import checks
import failpoints
from checks import expect
from history import History
from program import KILLED, Process
from readers import Readers
from trial import Bench, Result, Trial
from world import BYSTANDER, DATES, VERSIONS, World, final_of, shape

# Dates of a group, and trials of a date.
DATES_OF_GROUP = 8
CHAIN = 3

# Dates at work at the same time. On S3 much of a run is waiting, above all for the lease of who was killed.
JOBS = {"local": 3, "s3": 8}

# After a kill the next run is killed too with this probability, this often at most.
AGAIN, MOST_KILLS = 0.35, 4

# Share of kills at a point, the rest is by time; share of SIGTERM among those by time; share of trials that are run once
# more when all is done.
AT_A_POINT, ASKED, ONCE_MORE = 0.5, 0.5, 0.25

# Share of trials in which several processes share the chunks, and how many do.
SHARDED, SHARDS = 0.2, range(2, 7)

# Seconds in which a process that is asked to leave may finish what it has in hand, and what a busy machine adds.
GRACE, SLACK = 2, 3

# How a process ends that was asked to leave: by itself, or by the signal when it had hardly begun.
LEFT = {143, -signal.SIGTERM}


@dataclass(frozen=True)
class Way:
    """How the processes of a trial work."""

    version: str
    # Arguments of each process.
    shares: list[list[str]]
    environment: dict[str, str]


def run(trials: int, seed: int, world: World, deadline: float | None = None) -> Result:
    """Runs so many trials on the store of the world."""
    bench = Bench("T1", world, seed, deadline)
    world.learn()
    points = bench.passed()
    with Readers(world.store) as readers:
        for group, start in enumerate(range(0, trials, DATES_OF_GROUP * CHAIN)):
            if bench.is_over():
                break
            count = min(DATES_OF_GROUP * CHAIN, trials - start)
            run_group(bench, readers, points, f"t1/{group:05}/predictions", range(start, start + count))
    for name, value in readers.figures.items():
        bench.count(name, value)
    return bench.end()


def run_group(bench: Bench, readers: Readers, points: Counter[str], dataset: str, indices: range) -> None:
    """Trials that share a dataset, and the readers over it."""
    history = History()
    before = Trial(bench, -2, dataset, BYSTANDER)
    before.run("1")
    history.changing(BYSTANDER, bench.world.signature(BYSTANDER, "1"))
    history.settled(BYSTANDER)
    readers.scan(dataset)
    failed = len(bench.result.failures)
    # A date takes every eighth of the trials, in order.
    chains = [indices[date::DATES_OF_GROUP] for date in range(min(DATES_OF_GROUP, len(indices)))]

    def chain(place: int) -> None:
        for index in chains[place]:
            trial = Trial(bench, index, dataset, DATES[1 + place])
            if bench.is_over() or not bench.attempt(trial, lambda one: body(one, points, history)):
                break  # The next of the chain would only find what this one left.

    bench.side_by_side(JOBS[bench.result.store], range(len(chains)), chain)
    for wrong in readers.rest(history):
        bench.fail(before, wrong)
    if len(bench.result.failures) == failed:
        for path in (dataset, dataset + ".batch-infer"):
            bench.world.store.remove(path)


def body(trial: Trial, points: Counter[str], history: History) -> None:
    """One trial: kills, a clean run, and what must hold then."""
    rng, world = trial.rng, trial.world
    way = drawn(trial)
    history.changing(trial.date, world.signature(trial.date, way.version))
    works, kills = trial.state.works(), 0
    for _ in range(MOST_KILLS):
        killed = interrupted(trial, way, points)
        trial.bench.count("redone", checks.redone(trial.state, works, kills))
        works, kills = trial.state.works(), kills + killed
        if rng.random() >= AGAIN:
            break
    for process in [trial.start(way.version, *share, environment=way.environment) for share in way.shares]:
        trial.ends(process, {0})
        world.took(process.seconds or 0.0)
    history.settled(trial.date)
    found = checks.final(trial.store, trial.dataset, trial.date)
    expect(found is not None, "a run ended with 0 and published nothing")
    assert found is not None
    checks.whole(world, found, trial.date, way.version)
    checks.alone(trial.store, trial.dataset, trial.date)
    checks.recorded(trial.state, found)
    trial.bench.count("redone", checks.redone(trial.state, works, kills))
    trial.verify()
    if rng.random() < ONCE_MORE:
        untouched(trial, way.version, found)
    trial.bench.count("kills", kills)


def drawn(trial: Trial) -> Way:
    """How this trial is done, by chance. A date's first trial publishes one version, the next the other, and so on."""
    rng = trial.rng
    link, place = divmod(trial.index % (DATES_OF_GROUP * CHAIN), DATES_OF_GROUP)
    first = trial.bench.rng("first", trial.dataset, place).randrange(2)
    environment = shape(trial.store.name, rng) | {"BATCH_INFER_RUN_SHUTDOWN_GRACE": f"{GRACE}s"}
    shares: list[list[str]] = [[]]
    if rng.random() < SHARDED:
        count = rng.choice(SHARDS)
        shares = [["--shard", f"{number}/{count}"] for number in range(count)]
        if rng.random() < 0.5:
            # All shards and all their attempts are one run, as the pods of one Job; else each attempt is a run of its own.
            environment |= {"BATCH_INFER_RUN_KEY": trial.name}
        trial.bench.count("sharded")
    return Way(VERSIONS[(first + link) % 2], shares, environment)


def interrupted(trial: Trial, way: Way, points: Counter[str]) -> int:
    """Starts all shares; some of them, or the only one, are killed or asked to leave. How many were killed."""
    rng = trial.rng
    victims = [number for number in range(len(way.shares)) if rng.random() < 0.4] or [rng.randrange(len(way.shares))]
    at_points = [number for number in victims if rng.random() < AT_A_POINT]
    deadly = {number: {"FAILPOINTS": failpoints.choose(rng, points, "kill")} for number in at_points}
    processes = [
        trial.start(way.version, *share, environment=way.environment | deadly.get(number, {}))
        for number, share in enumerate(way.shares)
    ]
    moments = sorted((trial.world.moment(rng), number) for number in set(victims) - deadly.keys())
    for moment, number in moments:
        process = processes[number]
        if process.wait_at_most(max(0.0, process.started + moment - time.monotonic())) is not None:
            continue
        ask = rng.random() < ASKED
        done = "asked to leave" if ask else "killed"
        trial.say(f"process {trial.processes.index(process)} was {done} after {moment:.4f} s")
        if ask:
            leave(trial, process, alone=len(processes) == 1)
        else:
            process.kill()
    codes = [
        trial.ends(process, {0, KILLED, *LEFT} if number in victims else {0}) for number, process in enumerate(processes)
    ]
    return codes.count(KILLED)


def leave(trial: Trial, process: Process, alone: bool) -> None:
    """A process that is asked to leave does so in time, and nobody has to wait for it."""
    asked = time.monotonic()
    process.signal(signal.SIGTERM)
    code = trial.ends(process, {0, *LEFT})
    seconds = time.monotonic() - asked
    trial.bench.count(f"asked, exit {code}")
    expect(seconds < GRACE + SLACK, f"it ended {seconds:.1f} s after SIGTERM, {GRACE} s are its grace")
    if alone and code == 143:
        # The lease may still be that of a process that was killed before.
        lease = trial.state.lease()
        ours = lease is not None and lease["pid"] == process.pid and lease["state"] != "RELEASED"
        expect(not ours, f"it has left, and the lease says {lease}")


def untouched(trial: Trial, version: str, found: checks.Final) -> None:
    """A run of what is published already changes nothing."""
    log = trial.state.log()
    trial.run(version)
    again = trial.store.read(final_of(trial.dataset, trial.date))
    expect(again == found.object, "a run of what is published replaced it")
    expect(trial.state.log() == log, "a run of what is published wrote to the log")
