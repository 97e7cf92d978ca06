"""churn: accounts of one date and a model of three classes: stay, at_risk, leave.

Holds the column types that need a stated cast, a decimal and a timestamp, and a category of
integers.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from . import contract, metrics, model, partition, version
from .partition import nullable

NAME = "churn"
SENTENCE = "one date of accounts, a model of three classes"
DATE, ROWS = "2026-11-19", 1_500
TRAINING_DATE, TRAINING_ROWS = "2026-08-19", 20_000
HOLDOUT_DATE, HOLDOUT_ROWS = "2026-08-20", 8_000
LABELS = ["stay", "at_risk", "leave"]
PLANS = ["free", "starter", "team", "business", "enterprise", "nonprofit"]
KNOWN_PLANS = PLANS[:-1]
FEES = np.array([0, 19, 79, 249, 990, 40])
TERMS = [14, 30, 60, 90]


def accounts(date: str, count: int) -> tuple[pa.Table, np.ndarray]:
    """The accounts of a date, and what became of them: a position in LABELS."""
    rng = np.random.default_rng([2, int(date.replace("-", ""))])
    fate = rng.choice(3, count, p=[0.74, 0.16, 0.10])
    plan = rng.choice(len(PLANS), count, p=[0.22, 0.3, 0.24, 0.16, 0.06, 0.02])
    age = np.minimum(rng.gamma(1.5, np.array([420, 330, 260])[fate]), 2_900).astype(np.int64) + 3
    logins = rng.poisson(np.array([19, 8, 3])[fate] * np.exp(rng.normal(0, 0.5, count)))
    tickets = rng.poisson(np.array([0.6, 1.9, 2.4])[fate])
    change = np.round(rng.normal(np.array([1.05, 0.8, 0.5])[fate], 0.28), 3)
    seats = 1 + rng.poisson(np.array([0, 2, 9, 30, 120, 12])[plan])
    fee = np.round(FEES[plan] * rng.uniform(0.85, 1.1, count) * np.maximum(1, seats / 10), 2)
    terms = np.array(TERMS + [45])[rng.choice(5, count, p=[0.3, 0.5, 0.1, 0.08, 0.02])]
    # Plans start at midnight UTC.
    start = (np.datetime64(date, "D") - age).astype("datetime64[us]")
    names = rng.permutation(100_000)[:count]
    columns = {
        "account_id": pa.array([f"acct-{n:05d}" for n in np.sort(names)]),
        "plan": nullable(np.array(PLANS)[plan], rng.random(count) < 0.01),
        "payment_terms_days": nullable(terms, rng.random(count) < 0.03),
        "monthly_fee": pa.array([Decimal(f"{x:.2f}") for x in fee], pa.decimal128(9, 2)),
        "plan_started_at": pa.array(start).cast(pa.timestamp("us", tz="UTC")),
        "seats": pa.array(seats.astype(np.int32)),
        "logins_30d": nullable(logins.astype(np.int32), rng.random(count) < 0.02),
        "support_tickets_90d": pa.array(tickets.astype(np.int32)),
        "usage_change_ratio": nullable(change, rng.random(count) < 0.04),
        "has_annual_contract": pa.array(rng.random(count) < np.array([0.5, 0.25, 0.12])[fate]),
    }
    fields = [pa.field(n, a.type, nullable=n != "account_id") for n, a in columns.items()]
    return pa.table(columns, pa.schema(fields)), fate


def specification(table: pa.Table) -> dict:
    """The contract; constants come from the training rows."""
    numbers = [
        {"name": "monthly_fee", "log1p": True, "cast": "float"},
        {"name": "plan_started_at", "cast": "epoch_days"},
        {"name": "seats", "log1p": True},
        {"name": "logins_30d", "impute": 0.0, "log1p": True},
        {"name": "support_tickets_90d", "log1p": True},
        {"name": "usage_change_ratio", "impute": 1.0},
    ]
    features = []
    for feature in numbers:
        feature = {"name": feature["name"], "kind": "numeric", "dtype": "float32"} | feature
        features.append(version.fitted(feature, table[feature["name"]]))
    features.append({"name": "has_annual_contract", "kind": "numeric", "dtype": "float32"})
    categories = (("plan", "string", KNOWN_PLANS), ("payment_terms_days", "int64", TERMS))
    for name, dtype, values in categories:
        feature = {"name": name, "kind": "categorical", "dtype": dtype}
        features.append(feature | {"vocabulary": values, "oov_index": 0})
    columns = [f"probability_{label}" for label in LABELS]
    output = {"column": "probability", "columns": columns, "dtype": "float32"}
    return {
        "id_columns": ["account_id"],
        "features": features,
        "inputs": version.tensors(features),
        "outputs": [output | {"shape": [-1, len(LABELS)], "activation": "softmax"}],
        "decision": {"source": "probability", "column": "prediction", "labels": LABELS},
    }


def make(out: Path) -> None:
    today, fate = accounts(DATE, ROWS)
    partition.write(today, out / "features" / NAME / f"date={DATE}", files=1, row_group=500)
    folder = out / "models" / NAME / "1"
    table, label = accounts(TRAINING_DATE, TRAINING_ROWS)
    metadata = specification(table)
    inputs = contract.model_inputs(metadata, table, folder)
    torch.manual_seed(1)
    vocabularies = [len(KNOWN_PLANS), len(TERMS)]
    module = model.TabularModel(inputs[0].shape[1], vocabularies, 3, 24, len(LABELS))
    model.train(module, inputs, label, torch.nn.CrossEntropyLoss(), 10, 4e-3)
    held, held_label = accounts(HOLDOUT_DATE, HOLDOUT_ROWS)
    with torch.inference_mode():
        logits = module(*contract.model_inputs(metadata, held, folder))
    quality = metrics.multi_class(torch.softmax(logits, 1).numpy(), held_label)
    print(f"  version 1: {quality}")
    stated = {"name": NAME, "version": "1", "created_at": "2026-09-03T14:00:00Z"}
    stated["metrics"] = quality
    stated["tags"] = {"team": "customer-success", "training_rows": TRAINING_ROWS}
    unusual = {
        "plan": np.isin(today["plan"], PLANS[-1:]),
        "terms": np.isin(today["payment_terms_days"], [45]),
    } | {label: fate == k for k, label in enumerate(LABELS)}
    version.write(folder, stated | metadata, module, version.golden_rows(today, unusual))
