"""T10-state: what runs know of a date is damaged, lost or old, or much happens at once. Readers lose nothing by it.

Whatever is done to the state folder: what is published stays whole and never goes backwards, and one of the next two runs
ends with success and has published its version, or each of them says what to do. After that everything works as ever.
"""

from __future__ import annotations

import signal
from collections import Counter

import checks
import failpoints
from checks import Final, expect
from program import KILLED
from trial import Bench, Result, Trial
from world import DATES, VERSIONS, World, shape

# Trials at a time.
JOBS = {"local": 2, "s3": 6}

# What happens to the state, with how often.
DAMAGES = {"truncated": 4, "deleted": 4, "folder deleted": 3, "all deleted": 2, "restored": 4}

# One of so many trials makes many dates at once.
CROWD_EVERY = 50

# What was done before the damage, with how often: a publication; one, and a run of the other version that was killed; a run that
# was killed; a run that is stopped and goes on after the damage.
BEFORE = {"published": 3, "replacing": 3, "killed": 2, "stopped": 2}

# Share of trials in which the next run wants what is published already.
SAME = 0.4

# Share of trials on S3 without lease.
WITHOUT_LEASE = 0.3

# Runs that may fail, each with a word on what to do, before one has to succeed.
FURTHER = 2

# Ends that ask somebody to do something, or to come again: internal errors, signals and wrong usage are none of them.
SAYING = {10, 13, 20, 21, 22, 23, 30, 31, 70}


def run(trials: int, seed: int, world: World, deadline: float | None = None) -> Result:
    """Runs so many trials on the store of the world."""
    bench = Bench("T10-state", world, seed, deadline)
    world.learn()
    points = bench.passed()

    def one(index: int) -> None:
        dataset = f"t10/{index:05}/predictions"
        trial = Trial(bench, index, dataset, DATES[index % len(DATES)])
        crowd = index % CROWD_EVERY == 0
        if bench.attempt(trial, many if crowd else lambda trial: body(trial, points)):
            world.store.remove(f"t10/{index:05}")

    bench.side_by_side(JOBS[world.store.name], range(trials), one)
    return bench.end()


def body(trial: Trial, points: Counter[str]) -> None:
    """One trial: a state as runs make it, what is done to it, and the runs after that."""
    rng = trial.rng
    environment = shape(trial.store.name, rng)
    if trial.store.name == "s3" and rng.random() < WITHOUT_LEASE:
        environment |= {"BATCH_INFER_LEASE_ENABLED": "false"}
    case = rng.choices(list(BEFORE), list(BEFORE.values()))[0]
    damage = rng.choices(list(DAMAGES), list(DAMAGES.values()))[0]
    old, new = rng.sample(VERSIONS, 2)
    trial.say(f"{case}, then {damage}")
    trial.bench.count(damage)
    backup = f"t10/{trial.index:05}/backup"
    sleeper = None
    if case in ("published", "replacing"):
        for version in rng.choice([[old], [new, old]]):
            # Some day of these somebody made a copy of the state.
            trial.store.remove(backup)
            trial.store.copy(trial.state.folder, backup)
            trial.run(version, environment=environment)
    if case != "published":
        action = "stop" if case == "stopped" else "kill"
        value = {"FAILPOINTS": failpoints.choose(rng, points, action)}
        process = trial.start(new, environment=environment | value)
        if case != "stopped":
            trial.ends(process, {0, KILLED})
        elif process.wait_until_stopped(60.0):
            sleeper = process
    before = checks.final(trial.store, trial.dataset, trial.date)
    damaged(trial, damage, backup)
    if sleeper is not None:
        sleeper.signal(signal.SIGCONT)
        trial.bench.count(f"under a run, exit {trial.ends(sleeper, {0, *SAYING})}")
        before = unharmed(trial, before)
    wanted = old if rng.random() < SAME else new
    after = recovered(trial, wanted, environment, before)
    # And everything works as ever.
    other = next(version for version in VERSIONS if version != wanted)
    trial.run(other, environment=environment)
    found = unharmed(trial, after)
    expect(found is not None and found.version == other, "the last run ended with 0 and its version is not published")


def damaged(trial: Trial, damage: str, backup: str) -> None:
    """Does something to the state."""
    rng, store, folder = trial.rng, trial.store, trial.state.folder
    # A file in the spool is what a process works on, and no record.
    files = sorted(file for file in store.list(folder) if "/spool/" not in file)
    if damage == "restored":
        # Readers' data is not part of it.
        store.remove(folder)
        store.copy(backup, folder)
    elif damage == "all deleted" or not files:
        store.remove(f"{trial.dataset}.batch-infer")
    elif damage == "folder deleted":
        chosen = rng.choice(sorted({file.rpartition("/")[0] for file in files}))
        # Not the date's own folder only, but whatever is above a file below it.
        while chosen != folder and rng.random() < 0.3:
            chosen = chosen.rpartition("/")[0]
        trial.say(f"{chosen} is deleted")
        store.remove(chosen)
    else:
        share = rng.choice([0.0, 0.3, 1.0])
        for file in {rng.choice(files), *(file for file in files if rng.random() < share)}:
            if damage == "deleted":
                trial.say(f"{file} is deleted")
                store.delete(file)
            else:
                found = store.read(file)
                assert found is not None
                length = rng.choice([0, rng.randrange(len(found.data) + 1)])
                trial.say(f"{file} is cut from {len(found.data)} to {length} bytes")
                store.write(file, found.data[:length])


def unharmed(trial: Trial, before: Final | None) -> Final | None:
    """Readers see something whole that is not older than what they saw."""
    found = checks.final(trial.store, trial.dataset, trial.date)
    checks.alone(trial.store, trial.dataset, trial.date)
    if before is not None:
        expect(found is not None, "what was published is gone")
        assert found is not None
        expect(found.seq >= before.seq, f"what is published went back from {before.seq} to {found.seq}")
        same = found.object.data == before.object.data
        expect(found.seq > before.seq or same, f"two versions have the number {found.seq}")
    if found is not None:
        checks.whole(trial.world, found, trial.date, found.version)
    return found


def recovered(trial: Trial, version: str, environment: dict[str, str], before: Final | None) -> Final | None:
    """The next runs of a version: one ends with 0 and its version is published, or each says what to do."""
    for further in range(FURTHER + 1):
        process = trial.start(version, environment=environment)
        code = trial.ends(process, {0, *SAYING})
        before = unharmed(trial, before)
        if code == 0:
            holds = before is not None and before.version == version
            expect(holds, "a run ended with 0 and its version is not published")
            trial.bench.count(f"well after {further}")
            return before
        expect("hint: " in process.said(), f"a run ended with {code} and does not say what to do")
        trial.bench.count(f"exit {code}")
    # Somebody has to do something; the least that is needed is to give the state up.
    trial.bench.count("given up")
    trial.store.remove(f"{trial.dataset}.batch-infer")
    return before


def many(trial: Trial) -> None:
    """Twenty dates of a data set at once on one machine."""
    rng = trial.rng
    dates = rng.sample(DATES, 20)
    trial.bench.count("crowds")
    environment = {"BATCH_INFER_LEASE_TTL": "60s", "BATCH_INFER_LEASE_BUSY_TIMEOUT": "300s"}
    one = {"BATCH_INFER_THREADS_SCORE": "1"}

    def begun() -> list[tuple[str, str]]:
        return [(date, rng.choice(VERSIONS)) for date in dates]

    for versions in (begun(), begun()):
        processes = []
        for date, version in versions:
            log = trial.folder / f"{len(trial.processes)}.log"
            process = trial.world.start(trial.dataset, date, version, log, [], environment | one)
            trial.processes.append(process)
            processes.append(process)
        for process in processes:
            trial.ends(process, {0}, 300.0)
        for date, version in versions:
            found = checks.final(trial.store, trial.dataset, date)
            expect(found is not None, f"nothing is published for {date}")
            assert found is not None
            checks.whole(trial.world, found, date, version)
            checks.alone(trial.store, trial.dataset, date)
