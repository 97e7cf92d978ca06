"""T4: the network and the service misbehave. Whatever is published is whole, and a run ends in time with a code that says why."""

from __future__ import annotations

from collections import Counter

import checks
from checks import Final, expect
from faults import Plan
from link import Proxy
from trial import Bench, Result, Trial
from world import DATES, PIECES, VERSIONS, World, shape

# Runs at a time: most of them wait.
JOBS = 16

# How a run may end, besides with success: storage in trouble, refused, without conditions; out of time.
FAILED = {20, 21, 22, 50}

WITHOUT_CONDITIONS = 22

# Faults that pass when the request is repeated.
PASSING = [
    "500",
    "502",
    "503",
    "429",
    "reset-before",
    "reset-after",
    "apply-then-500",
    "truncated",
    "stall",
    "slow",
    "error-in-200",
    "conflict",
    "range-ignored",
    "range-shifted",
]

# Faults that do not pass: whoever meets one should stop at once.
REFUSALS = ["expired-400", "expired-403", "skewed"]

# All of them that leave the connection usable or break it at once, together.
MIXED = ["500", "502", "503", "429", "reset-before", "reset-after", "apply-then-500", "truncated", "conflict"]

# Share of requests that go wrong, and of trials with so many; a request that stalls costs seconds, so few are many.
LIGHT, HEAVY, SHARE_LIGHT = 0.1, 0.75, 0.8
LIGHT_STALLS = 0.02

# Seconds that a run may take, how long it may take to leave after that, and what a busy machine adds. Requests for data are repeated for up to
# three minutes, so a run with few faults may need more.
LIGHT_SECONDS, HEAVY_SECONDS, GRACE, SLACK = 300, 15, 2, 15

# Share of runs under light faults that must succeed.
SUCCESS = 0.999

BEFORE, MIXED_SHARE = 0.3, 0.2


def run(trials: int, seed: int, world: World, deadline: float | None = None) -> Result:
    """Runs so many trials on the store of the world."""
    bench = Bench("T4", world, seed, deadline)
    world.learn()
    counts: Counter[str] = Counter()
    with Proxy(world.store.environment) as proxy:

        def one(index: int) -> None:
            dataset = f"t4/{index:05}/predictions"
            trial = Trial(bench, index, dataset, DATES[index % len(DATES)])
            if bench.attempt(trial, lambda trial: body(trial, proxy, counts)):
                for path in (dataset, dataset + ".batch-infer"):
                    world.store.remove(path)

        bench.side_by_side(JOBS, range(trials), one)
    bench.count("requests", counts.pop("requests", 0))
    bench.count("faults", counts.total())
    result = bench.end()
    light, succeeded = int(result.figures.get("light", 0)), int(result.figures.get("light success", 0))
    if light - succeeded > (1 - SUCCESS) * light:
        result.failures.append(f"of {light} runs with at most {LIGHT:.0%} of faults that pass, {succeeded} succeeded")
    return result


def drawn(trial: Trial) -> tuple[Plan, bool, bool]:
    """Faults by chance; whether they are few, and whether they pass."""
    rng = trial.rng
    few = rng.random() < SHARE_LIGHT
    rate = LIGHT if few else HEAVY
    if rng.random() < MIXED_SHARE:
        return Plan(rng.randrange(2**32), {kind: rate / len(MIXED) for kind in MIXED}), few, True
    kind = rng.choice(PASSING + REFUSALS)
    if kind == "stall" and few:
        rate = LIGHT_STALLS
    return Plan(rng.randrange(2**32), {kind: rate}), few, kind in PASSING


def body(trial: Trial, proxy: Proxy, counts: Counter[str]) -> None:
    """One trial: a run through the proxy, what it left, and a run without faults."""
    plan, few, passing = drawn(trial)
    # Only a file in pieces has a completion that can go wrong.
    environment = PIECES if "error-in-200" in plan.rates else shape(trial.store.name, trial.rng)
    trial.say(f"faults {plan.rates}")
    version, other = trial.rng.sample(VERSIONS, 2)
    if trial.rng.random() < BEFORE:
        trial.run(other)
    before = checks.final(trial.store, trial.dataset, trial.date)
    seconds = LIGHT_SECONDS if few else HEAVY_SECONDS
    limits = {"BATCH_INFER_RUN_SHUTDOWN_GRACE": f"{GRACE}s"}
    with proxy.faulty(plan, counts) as url:
        faulty = environment | limits | {"AWS_ENDPOINT_URL": url}
        process = trial.start(version, "--max-runtime", f"{seconds}s", environment=faulty)
        code = trial.ends(process, {0, *FAILED}, seconds + GRACE + SLACK)
    trial.bench.count(f"exit {code}")
    if code == WITHOUT_CONDITIONS:
        # A service that is only in trouble must not be taken for one that ignores conditions: nobody would try again.
        expect(not passing, "faults that pass were taken for a service without conditional writes")
    if few and passing:
        trial.bench.count("light")
        trial.bench.count("light success", code == 0)
        if code:
            trial.bench.result.notes.append(f"{trial.name} ended {code}: {'+'.join(plan.rates)}")
    left(trial, before, version, code)
    if code or trial.rng.random() < 0.1:
        trial.run(version, environment=environment)
        left(trial, before, version, 0)
        trial.verify()


def left(trial: Trial, before: Final | None, version: str, code: int) -> None:
    """What is published: the new version when the run says so, else that or what was there before."""
    found = checks.final(trial.store, trial.dataset, trial.date)
    checks.alone(trial.store, trial.dataset, trial.date)
    if code and (found is None or (before is not None and found.object == before.object)):
        expect(found is not None or before is None, "what was published is gone")
        return
    expect(found is not None, "a run ended with 0 and published nothing")
    assert found is not None
    checks.whole(trial.world, found, trial.date, version)
    if code == 0:
        checks.recorded(trial.state, found)
