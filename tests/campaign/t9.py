"""T9: the disk is full, fails, or cannot be written. Nothing is published, the exit code says so, and the next run is fine."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections import Counter
from typing import Iterator

import checks
import failpoints
from checks import Final, expect
from disks import AMPLE, Disk, can_mount, mounted, write_protected
from stores import LocalStore
from trial import Bench, Result, Trial
from world import DATES, VERSIONS, World, final_of

DISK = 23

JOBS = 2

# What happens to the disk, with how often.
KINDS = {"failpoint": 2, "full": 1, "read-only": 1}

# Records whose failure comes before the file is shown to readers, and those of them that a run on S3 keeps on the disk.
UNTIL_PUBLISHED = {"local": ["log", "plan", "part", "done", "rejects", "spool", "final"], "s3": ["spool"]}

# A point at which a failure may come when readers see the new file already: the folder's entry is made durable last.
SHOWN = "final.sync.before"

# Removing what nobody needs any more may fail without harm; whether something is there is asked of the folder's entry.
HARMLESS = ("remove", "list", "head")

# Smallest disk that is tried, in bytes; the largest is a little more than a run needs.
SMALLEST = 8 * 1024

# What a run on S3 keeps on the disk at least: its file, once.
SPOOLED = 100 * 1024


def run(trials: int, seed: int, world: World, deadline: float | None = None) -> Result:
    """Runs so many trials on the store of the world."""
    bench = Bench("T9", world, seed, deadline)
    world.learn()
    points = {
        point: count
        for point, count in bench.passed().items()
        if point.split(".")[0] in UNTIL_PUBLISHED[world.store.name]
        and point.endswith(".before")
        and point.split(".")[1] not in HARMLESS
    }
    mounts = os.geteuid() == 0 and can_mount(world.work / "mount")
    if not mounts:
        bench.result.notes.append("no mounts here: full disks only by failpoint")

    def one(index: int) -> None:
        rng = bench.rng("kind", index)
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        trial = Trial(bench, index, f"t9/{index:05}/predictions", DATES[index % len(DATES)])
        if kind == "failpoint" or (kind == "full" and not mounts) or (os.geteuid() == 0 and not mounts):
            bench.attempt(trial, lambda one: injected(one, Counter(points)))
        elif mounts:
            with mounted(place(trial)) as disk:
                bench.attempt(trial, lambda one: full(one, disk) if kind == "full" else read_only(one, disk))
        else:
            place(trial).mkdir(parents=True)
            bench.attempt(trial, lambda one: read_only(one, None))

    bench.side_by_side(JOBS, range(trials), one)
    return bench.end()


def place(trial: Trial) -> pathlib.Path:
    """The folder that a trial writes to: with the dataset on a disk, for temporary files on S3."""
    if isinstance(trial.store, LocalStore):
        return trial.store.root / f"t9/{trial.index:05}"
    return trial.world.work / f"t9-{trial.index:05}"


def environment(trial: Trial) -> dict[str, str]:
    """On S3 the spool is what lies on a disk."""
    return {} if trial.store.name == "local" else {"BATCH_INFER_SPOOL_PATH": str(place(trial))}


def injected(trial: Trial, points: Counter[str]) -> None:
    """An operation fails as on a full disk or a broken one."""
    point = trial.rng.choice(sorted(points))
    value = failpoints.at(point, trial.rng.randrange(points[point]), trial.rng.choice(["eio", "enospc"]))
    if trial.store.name == "s3":
        place(trial).mkdir(parents=True, exist_ok=True)
    before, new = earlier(trial)
    process = trial.start(new, environment=environment(trial) | {"FAILPOINTS": value})
    trial.ends(process, {DISK})
    trial.bench.count("failpoint")
    if point == SHOWN:
        found = checks.final(trial.store, trial.dataset, trial.date)
        if found is not None:
            checks.whole(trial.world, found, trial.date, found.version)
    else:
        unchanged(trial, before)
    recovered(trial, new)


def full(trial: Trial, disk: Disk) -> None:
    """A disk that has less room than a run needs, or just enough."""
    before, new = earlier(trial)
    needed = measured(trial, disk)
    room = trial.rng.randint(SMALLEST, int(needed * 1.1))
    disk.resize(disk.used() + room)
    trial.say(f"the disk has room for {room} of about {needed} bytes")
    code = trial.ends(trial.start(new, environment=environment(trial)), {0, DISK})
    trial.bench.count("full" if code else "just enough")
    disk.resize(AMPLE)
    if code == DISK:
        unchanged(trial, before)
    recovered(trial, new)


def measured(trial: Trial, disk: Disk) -> int:
    """Bytes that a run takes on an empty disk."""
    if trial.store.name == "s3":
        return SPOOLED
    used = disk.used()
    process = trial.world.start(f"t9/{trial.index:05}/measured", trial.date, "1", trial.folder / "measured.log")
    expect(process.wait() == 0, "the measured run failed")
    return disk.used() - used


def read_only(trial: Trial, disk: Disk | None) -> None:
    """A disk that cannot be written."""
    before, new = earlier(trial)
    with protected(trial, disk):
        trial.ends(trial.start(new, environment=environment(trial)), {DISK})
        trial.bench.count("read-only")
        unchanged(trial, before)
    recovered(trial, new)


@contextlib.contextmanager
def protected(trial: Trial, disk: Disk | None) -> Iterator[None]:
    """Makes a trial's place read-only for a while."""
    if disk is None:
        with write_protected(place(trial)):
            yield
        return
    disk.read_only(True)
    try:
        yield
    finally:
        disk.read_only(False)


def earlier(trial: Trial) -> tuple[Final | None, str]:
    """Half of the trials find a published version: it, and the model of the run that will fail."""
    old, new = trial.rng.sample(VERSIONS, 2)
    if trial.rng.random() < 0.5:
        trial.run(old, environment=environment(trial))
    return checks.final(trial.store, trial.dataset, trial.date), new


def unchanged(trial: Trial, before: Final | None) -> None:
    """Readers see what they saw."""
    now = trial.store.read(final_of(trial.dataset, trial.date))
    expect(now == (before and before.object), "a run that failed has changed what is published")
    checks.alone(trial.store, trial.dataset, trial.date)


def recovered(trial: Trial, version: str) -> None:
    """The same run, once the disk is well."""
    trial.run(version, environment=environment(trial))
    found = checks.final(trial.store, trial.dataset, trial.date)
    expect(found is not None, "a run ended with 0 and published nothing")
    assert found is not None
    checks.whole(trial.world, found, trial.date, version)
    checks.alone(trial.store, trial.dataset, trial.date)
    checks.recorded(trial.state, found)
    trial.verify()
