"""The campaign: every test on every store, two at a time, and one table.

    python tests/campaign/campaign.py [T1=300 T2=200 ...] [--seed N] [--store local|s3|both] [--minutes M]

BATCH_INFER_BIN names the binary, built with its failpoints. `server` says where the S3 service comes from. Tests that are
not named are left out; without any name all run, in the sizes of a long campaign. With `--minutes` no trial begins after
that time, and the table says how many there were. Ends with 1 when anything failed.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor

import server
from stores import LocalStore, S3Store, Store
from trial import Result, kept_folder
from world import World

# Trials of `make test`, on a disk and on S3: some minutes on two cores, of which the model of S3 takes its share.
CI = {
    "T1": {"local": 220, "s3": 80},
    "T2": {"local": 150, "s3": 50},
    "T3": {"local": 20, "s3": 30},
    "T4": {"s3": 500},
    "T9": {"local": 10, "s3": 10},
    "T10-state": {"local": 30, "s3": 15},
}

# Trials of a campaign.
LONG = {"T1": 10_000, "T2": 5_000, "T3": 2_000, "T4": 20_000, "T8": 10_000_000, "T9": 500, "T10-state": 2_000}

TITLES = {
    "T1": "kill -9, four readers scanning",
    "T2": "2 to 64 processes at once",
    "T3": "stopped, overtaken, woken up",
    "T4": "faults of network and service",
    "T8": "the protocol simulated over the code of the runs",
    "T9": "disk full, failing, read-only",
    "T10-state": "state damaged, lost, restored; 20 dates at once",
}

# The stores that a test is about; one in memory is part of the test.
BOTH = ["local", "s3"]
MEMORY = "memory"
STORES = {"T1": BOTH, "T2": BOTH, "T3": BOTH, "T4": ["s3"], "T8": [MEMORY], "T9": BOTH, "T10-state": BOTH}

# Tests at work at a time.
AT_A_TIME = 2


def run_one(
    test: str, store: str, trials: int, seed: int, environment: dict[str, str], minutes: float | None
) -> Result:
    """Runs one test on one store; one that cannot even begin has failed."""
    try:
        return run_in_own_place(test, store, trials, seed, environment, minutes)
    except Exception:  # The others go on.
        return Result(test, store, seed, failures=[traceback.format_exc()])


def run_in_own_place(
    test: str, store: str, trials: int, seed: int, environment: dict[str, str], minutes: float | None
) -> Result:
    """Runs one test in a folder or bucket of its own. A process of the campaign's pool does nothing else."""
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    if store == MEMORY:
        return importlib.import_module(test.lower()).run(trials, seed, deadline)
    work = pathlib.Path(tempfile.mkdtemp(prefix=f"campaign-{test.lower()}-{store}-"))
    place: Store = (
        LocalStore(work / "store")
        if store == "local"
        else S3Store(environment, f"campaign-{os.getpid()}-{time.time_ns()}")
    )
    try:
        world = World(place, work, models_in_store=test == "T4")
        return importlib.import_module(test.lower().replace("-", "_")).run(trials, seed, world, deadline)
    finally:
        if isinstance(place, S3Store):
            place.remove("")
        shutil.rmtree(work, ignore_errors=True)


def shares(sizes: dict[str, int], stores: list[str]) -> list[tuple[str, str, int]]:
    """Test, store and trials of each piece of a campaign: as many on each store."""
    pieces = []
    for test, trials in sizes.items():
        wanted = [store for store in STORES[test] if store in [*stores, MEMORY]]
        for number, store in enumerate(wanted):
            pieces.append((test, store, trials // len(wanted) + (number < trials % len(wanted))))
    return [piece for piece in pieces if piece[2]]


def campaign(pieces: list[tuple[str, str, int]], seed: int, minutes: float | None = None) -> list[Result]:
    """Runs all, those on S3 first, which take longest, and returns what each test found on each store."""
    pieces = sorted(pieces, key=lambda piece: (piece[1] != "s3", -piece[2]))
    each = None if minutes is None else minutes * AT_A_TIME / max(AT_A_TIME, len(pieces))
    with server.service() as (what, environment):
        print(f"seed {seed}, {what}, failures are kept in {kept_folder()}", flush=True)
        with ProcessPoolExecutor(AT_A_TIME, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
            results = [
                pool.submit(run_one, test, store, trials, seed, environment if store == "s3" else {}, each)
                for test, store, trials in pieces
            ]
            return sorted((result.result() for result in results), key=lambda result: (result.test, result.store))


def table(results: list[Result]) -> str:
    """The results for people. A bound is what holds with 95 % certainty after that many trials without failure."""
    rows = [("test", "store", "trials", "failures", "bound", "seconds", "cpu", "what was done, and seen")]
    for result in results:
        bound = f"{3 / result.trials:.2%}" if result.trials and not result.failures else "-"
        figures = [f"{name} {value:g}" for name, value in sorted(result.figures.items())]
        told = "; ".join([TITLES[result.test], *result.notes[:8], ", ".join(figures)])
        rows.append(
            (
                result.test,
                result.store,
                str(result.trials),
                str(len(result.failures)),
                bound,
                f"{result.seconds:.0f}",
                f"{result.cpu:.0f}",
                told,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]) for row in rows]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Answers the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sizes", nargs="*", metavar="TEST=TRIALS", help=f"of {', '.join(TITLES)}; none named: all")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="source of chance; by default the time")
    parser.add_argument("--store", choices=["local", "s3", "both"], default="both")
    parser.add_argument("--minutes", type=float, help="time after which no trial begins")
    given = parser.parse_args(arguments)
    sizes = dict(LONG)
    if given.sizes:
        try:
            sizes = {name: int(trials) for name, _, trials in (size.partition("=") for size in given.sizes)}
        except ValueError:
            parser.error("sizes are written as T1=300")
        if unknown := sizes.keys() - TITLES.keys():
            parser.error(f"no test {', '.join(sorted(unknown))}")
    stores = ["local", "s3"] if given.store == "both" else [given.store]
    results = campaign(shares(sizes, stores), given.seed, given.minutes)
    print("\n" + table(results))
    failures = [failure for result in results for failure in result.failures]
    for failure in failures[:20]:
        print(f"  {failure.splitlines()[-1][:300]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
