"""The places at which the binary can be killed, stopped or made to fail, and what to say in FAILPOINTS.

A point is called `<record>.<operation>.<before|after>`. The binary has a point wherever it touches a store, so which of
these names exist, and how often a run passes each, is found by asking one run: see `discover`.
"""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Callable, Sequence

# What a store holds, by the names that the binary gives it.
RECORDS = [
    "probe",
    "lock",
    "lease",
    "log",
    "plan",
    "part",
    "done",
    "rejects",
    "spool",
    "final",
    "published",
    "success",
    "upload",
    "other",
]

# What is done with it. `rename` and `sync` exist on a local disk only.
OPERATIONS = ["create", "replace", "put", "read", "head", "list", "remove", "rename", "sync"]

SIDES = ["before", "after"]

POINTS = [f"{record}.{operation}.{side}" for record in RECORDS for operation in OPERATIONS for side in SIDES]

# Level of the log at which a point that is passed says so.
DISCOVERY_LOG_LEVEL = "warn,fail=info"

_PASSED = re.compile(r"passed <([a-z]+\.[a-z]+\.(?:before|after))>")


def discover(run: Callable[[str], str]) -> Counter[str]:
    """How often one run passes each point. `run` starts it with a value for FAILPOINTS and returns what it logged."""
    said = run(";".join(f"{point}=print(passed <{point}>)" for point in POINTS))
    return Counter(_PASSED.findall(said))


def at(point: str, nth: int, action: str) -> str:
    """FAILPOINTS for doing something when a point is passed for the nth time, counted from 0."""
    return f"{point}={nth}*off->1*return({action})" if nth else f"{point}=1*return({action})"


def choose(rng: Random, passed: Counter[str], action: str, points: Sequence[str] | None = None) -> str:
    """FAILPOINTS for a random point of those that a run passes, and a random time of passing it."""
    point = rng.choice(sorted(points if points is not None else passed))
    return at(point, rng.randrange(passed[point]), action)
