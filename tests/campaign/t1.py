"""T1: kill -9 at points and at random times, again and again, while four readers scan; then one clean run.

A group of trials shares a dataset. Each of its dates goes through a chain of trials, a first publish and then replacements
by the other version of the model, so that most trials have something older that readers may see and nobody may lose.
"""

from __future__ import annotations

from collections import Counter

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

# Share of kills at a point, the rest is by time; share of trials that are run once more when all is done.
AT_A_POINT, ONCE_MORE = 0.6, 0.25

# Share of trials in which several processes share the chunks, and their shares.
SHARDED, SHARDS = 0.15, ["0/3", "1/3", "2/3"]


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
    # A date's first trial publishes one version, the next the other, and so on; which comes first is chance.
    link, place = divmod(trial.index % (DATES_OF_GROUP * CHAIN), DATES_OF_GROUP)
    first = trial.bench.rng("first", trial.dataset, place).randrange(2)
    version = VERSIONS[(first + link) % 2]
    environment = shape(trial.store.name, rng)
    shards = [""]
    if rng.random() < SHARDED:
        # All shards and all their attempts are one run, as the pods of one Job.
        shards, environment = SHARDS, environment | {"BATCH_INFER_RUN_KEY": trial.name}
    surplus = checks.surpluses(trial.state)
    history.changing(trial.date, world.signature(trial.date, version))
    kills = 0
    for _ in range(MOST_KILLS):
        if killed(trial, version, shards, points, environment):
            kills += 1
        if rng.random() >= AGAIN:
            break
    for process in started(trial, version, shards, environment):
        trial.ends(process, {0})
    history.settled(trial.date)
    found = checks.final(trial.store, trial.dataset, trial.date)
    expect(found is not None, "a run ended with 0 and published nothing")
    assert found is not None
    checks.whole(world, found, trial.date, version)
    checks.alone(trial.store, trial.dataset, trial.date)
    checks.recorded(trial.state, found)
    trial.bench.count("redone", checks.redone(trial.state, surplus, kills))
    trial.verify()
    if rng.random() < ONCE_MORE:
        untouched(trial, version, found)
    trial.bench.count("kills", kills)


def killed(trial: Trial, version: str, shards: list[str], points: Counter[str], environment: dict[str, str]) -> bool:
    """Starts a run that is killed at a point or at a time; false when it was done before. Other shards do their share."""
    victim, rng = trial.rng.choice(shards), trial.rng
    at_a_point = rng.random() < AT_A_POINT
    deadly = {"FAILPOINTS": failpoints.choose(rng, points, "kill")} if at_a_point else {}
    process = trial.start(version, *arguments(victim), environment=environment | deadly)
    others = started(trial, version, [shard for shard in shards if shard != victim], environment)
    if not at_a_point:
        after = rng.uniform(0, 1.1) * trial.world.usual_seconds
        if process.wait_at_most(after) is None:
            trial.say(f"process {trial.processes.index(process)} was killed after {after:.4f} s")
            process.kill()
    for other in others:
        trial.ends(other, {0})
    return trial.ends(process, {0, KILLED}) == KILLED


def arguments(shard: str) -> list[str]:
    """How a process is told its share; the whole has no name."""
    return ["--shard", shard] if shard else []


def started(trial: Trial, version: str, shards: list[str], environment: dict[str, str]) -> list[Process]:
    """A process for each share."""
    return [trial.start(version, *arguments(shard), environment=environment) for shard in shards]


def untouched(trial: Trial, version: str, found: checks.Final) -> None:
    """A run of what is published already changes nothing."""
    log = trial.state.log()
    trial.run(version)
    again = trial.store.read(final_of(trial.dataset, trial.date))
    expect(again == found.object, "a run of what is published replaced it")
    expect(trial.state.log() == log, "a run of what is published wrote to the log")
