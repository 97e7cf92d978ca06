"""T8: the protocol as a seeded simulation over the code of the runs themselves, `src/run/simulation.rs`, in the sizes of a campaign.

`cargo test` plays the first schedules of it and checks that each fence is missed when it is taken away; here are many more.
"""

from __future__ import annotations

import os
import pathlib
import re
import resource
import subprocess
import time

from trial import Result

# Schedules of one process of the test: some minutes.
BATCH = 20_000

# Schedules of one campaign follow one another; those of the next begin elsewhere.
APART = 1 << 24

TEST = "run::simulation::no_schedule_breaks_a_promise"

# What is told of a batch.
FIGURES = [
    "requests",
    "killed",
    "stopped for long",
    "requests lost",
    "answers lost",
    "requests late",
    "requests twice",
    "commits",
    "versions shown",
]


def run(trials: int, seed: int, deadline: float | None) -> Result:
    """Plays schedules until all are played, or time is over."""
    result = Result("T8", "memory", seed)
    started = time.monotonic()
    before = _cpu()
    while result.trials < trials and not (deadline and time.monotonic() > deadline):
        play(result, (seed * APART + result.trials) % (1 << 64), min(BATCH, trials - result.trials))
    result.seconds = time.monotonic() - started
    result.cpu = _cpu() - before
    return result


def play(result: Result, first: int, count: int) -> None:
    """Plays some schedules and counts what the test says of them."""
    variables = {"BATCH_INFER_SIMULATION_SEED": str(first), "BATCH_INFER_SIMULATION_SCHEDULES": str(count)}
    command = [os.environ.get("CARGO", "cargo"), "test", "--locked", "--features", "failpoints", "--lib", "--quiet"]
    played = subprocess.run(
        [*command, "--", "--exact", TEST, "--nocapture"],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, **variables, "RUST_BACKTRACE": "0"},
        capture_output=True,
        text=True,
    )
    told = re.search(r"^simulation: (.*)$", played.stdout, re.MULTILINE)
    if told is None:
        result.failures.append(f"seeds {first} and after: {(played.stdout + played.stderr).strip()[-2000:]}")
        result.trials += count
        return
    figures = dict(re.findall(r"([a-z ]+?) (\d+)(?:,|$)", told[1]))
    figures = {name.strip(): int(value) for name, value in figures.items()}
    result.trials += count
    for name in FIGURES:
        result.count(name, figures.get(name, 0))
    failures = re.findall(r"^seed \d+: .*$", played.stdout, re.MULTILINE)
    result.failures += [f"{failure}; BATCH_INFER_SIMULATION_SCHEDULES=1 plays it again" for failure in failures]
    if played.returncode and not failures:
        result.failures.append(f"seeds {first} and after: {played.stderr.strip()[-2000:]}")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
