"""fraud-detector: card transactions of three dates and two model versions, the second one better.

Customers are the same on every date. A fraudulent transaction differs in amount, place, pace,
device and kind of shop. Whether it was fraudulent is known in training only: it is no column of
the features.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from . import contract, metrics, model, partition, version
from .partition import nullable

NAME = "fraud-detector"
SENTENCE = "three dates of card transactions, two model versions"
DATES = {"2026-11-17": 3412, "2026-11-18": 3685, "2026-11-19": 3907}
TRAINING_DATE, HOLDOUT_DATE = "2026-10-20", "2026-10-27"
HOLDOUT_ROWS = 20_000

# Kind of shop: share of honest rows, share of fraudulent rows, usual amount, usual number of items.
CATEGORIES = {
    "groceries": (0.24, 0.03, 38, 14),
    "restaurants": (0.17, 0.03, 31, 3),
    "fuel": (0.10, 0.03, 52, 1),
    "clothing": (0.09, 0.08, 64, 2),
    "electronics": (0.06, 0.24, 180, 1),
    "travel": (0.05, 0.12, 310, 1),
    "pharmacy": (0.06, 0.02, 22, 3),
    "entertainment": (0.06, 0.04, 27, 2),
    "home": (0.05, 0.06, 88, 2),
    "gift_cards": (0.02, 0.20, 75, 1),
    "cash_withdrawal": (0.06, 0.08, 120, 0),
    "utilities": (0.03, 0.01, 95, 0),
    # Younger than the models: not in the vocabulary.
    "crypto_exchange": (0.006, 0.05, 240, 0),
    "scooter_rental": (0.004, 0.01, 6, 1),
}
UNKNOWN_CATEGORIES = {"crypto_exchange", "scooter_rental"}
COUNTRIES = "DE FR NL AT BE ES IT PL CH GB US TR NG IS FJ".split()
UNKNOWN_COUNTRIES = {"IS", "FJ"}
HOME_SHARE = [0.34, 0.16, 0.12, 0.08, 0.07, 0.06, 0.05, 0.05, 0.04, 0.03]
CUSTOMERS = 6_000


def customers() -> dict[str, np.ndarray]:
    """Home country, day of sign-up, usual spending."""
    rng = np.random.default_rng([1, 0])
    opened = np.datetime64("2026-10-01") - (rng.gamma(1.6, 520, CUSTOMERS)).astype(np.int64)
    return {
        "home": rng.choice(len(HOME_SHARE), CUSTOMERS, p=HOME_SHARE),
        "opened": opened,
        "spending": np.exp(rng.normal(0, 0.35, CUSTOMERS)),
    }


def transactions(date: str, count: int) -> tuple[pa.Table, np.ndarray]:
    """The transactions of a date in the order of time, and which of them are fraudulent."""
    rng = np.random.default_rng([1, 1, int(date.replace("-", ""))])
    world = customers()
    who = (rng.random(count) ** 1.7 * CUSTOMERS).astype(np.int64)
    fraud = rng.random(count) < 0.03
    share = np.array(list(CATEGORIES.values()))
    kind = np.where(
        fraud,
        rng.choice(len(share), count, p=share[:, 1] / share[:, 1].sum()),
        rng.choice(len(share), count, p=share[:, 0] / share[:, 0].sum()),
    )
    night = rng.random(count) < np.where(fraud, 0.4, 0.06)
    hour = np.where(night, rng.uniform(0, 6, count), np.clip(rng.normal(14.5, 4, count), 6, 23.99))
    time = np.sort((hour * 3_600_000_000).astype(np.int64))
    card_present = rng.random(count) < np.where(fraud, 0.22, 0.68)
    abroad = rng.random(count) < np.where(fraud, 0.45, 0.05)
    country = np.where(abroad, rng.integers(0, len(COUNTRIES), count), world["home"][who])
    # Items, and an amount that grows with them for honest customers only.
    usual_items = share[kind, 3]
    items = np.where(usual_items == 0, 0, 1 + rng.poisson(np.maximum(usual_items - 1, 0.3)))
    amount = share[kind, 2] * world["spending"][who] * np.exp(rng.normal(0, 0.55, count))
    honest = 0.6 + 0.4 * items / np.maximum(1, usual_items)
    amount *= np.where(fraud, np.exp(rng.normal(0.7, 0.6, count)), honest)
    items = np.where(fraud, np.minimum(items, 1 + rng.poisson(0.4, count)), items)
    pace = rng.poisson(np.where(fraud, 7, 2.6) * np.exp(rng.normal(0, 0.4, count)))
    # No place is further away than half of the way around the earth.
    distance = np.minimum(np.exp(rng.normal(np.where(abroad, 6.8, 1.9) + 0.9 * fraud, 1.2)), 19_900)
    device = rng.beta(np.where(fraud, 3.2, 1.4), np.where(fraud, 2.4, 5.0))
    age = (np.datetime64(date) - world["opened"][who]).astype(np.int32)
    young = fraud & (rng.random(count) < 0.4)
    age = np.where(young, np.minimum(age, rng.integers(1, 60, count, np.int32)), age)
    # A place is unknown for some sales at a distance; a card that is present shows no device.
    no_distance = rng.random(count) < np.where(card_present, 0.005, 0.12)
    no_device = rng.random(count) < np.where(card_present, 0.7, 0.03)
    day = int(np.datetime64(date).astype(np.int64))
    number = day * 1_000_000 + np.arange(count) * 7 + rng.integers(0, 7, count)
    columns = {
        "transaction_id": pa.array(number),
        "customer_id": pa.array([f"C{n:06d}" for n in who * 37 % 999_983]),
        "event_time": pa.array(np.datetime64(date, "us") + time).cast(pa.timestamp("us", tz="UTC")),
        "amount": pa.array(np.round(np.maximum(amount, 0.5), 2)),
        "merchant_category": nullable(np.array(list(CATEGORIES))[kind], rng.random(count) < 0.02),
        "country": pa.array(np.array(COUNTRIES)[country]),
        "days_since_signup": pa.array(age),
        "transactions_24h": nullable(pace, rng.random(count) < 0.015),
        "distance_from_home_km": nullable(np.round(distance, 1).astype(np.float32), no_distance),
        "is_card_present": pa.array(card_present),
        "items": pa.array(items.astype(np.int32)),
        "device_score": nullable(np.round(device, 4), no_device),
    }
    required = ("transaction_id", "customer_id", "event_time")
    fields = [pa.field(n, a.type, nullable=n not in required) for n, a in columns.items()]
    return pa.table(columns, pa.schema(fields)), fraud


def specification(number: str, table: pa.Table) -> dict:
    """The contract; constants come from the training rows."""
    numbers = [
        {"name": "amount", "log1p": True},
        {"name": "days_since_signup", "log1p": True},
        {"name": "transactions_24h", "impute": 0.0, "log1p": True},
        {"name": "distance_from_home_km", "impute": 0.0, "log1p": True},
    ]
    derived = []
    if number == "2":
        derived = [{"name": "amount_per_item", "sql": "amount / nullif(items, 0)"}]
        numbers += [
            {"name": "amount_per_item", "impute": 0.0, "log1p": True},
            {"name": "device_score", "impute": 0.25},
        ]
    table = contract.with_derived({"derived": derived}, table)
    features = []
    for feature in numbers:
        feature = {"name": feature["name"], "kind": "numeric", "dtype": "float32"} | feature
        features.append(version.fitted(feature, table[feature["name"]]))
    features.append({"name": "is_card_present", "kind": "numeric", "dtype": "float32"})
    known = [c for c in CATEGORIES if c not in UNKNOWN_CATEGORIES]
    places = [c for c in COUNTRIES if c not in UNKNOWN_COUNTRIES]
    for name, vocabulary in (("merchant_category", known), ("country", places)):
        feature = {"name": name, "kind": "categorical", "dtype": "string"}
        features.append(feature | {"vocabulary": vocabulary, "oov_index": 0})
    output = {"column": "probability", "dtype": "float32", "shape": [-1, 1]}
    return {
        "id_columns": ["transaction_id"],
        "derived": derived,
        "features": features,
        "inputs": version.tensors(features),
        "outputs": [output | {"activation": "sigmoid"}],
    }


def make_version(
    out: Path, number: str, created_at: str, rows: int, hidden: int, epochs: int
) -> None:
    folder = out / "models" / NAME / number
    table, label = transactions(TRAINING_DATE, rows)
    metadata = specification(number, table)
    inputs = contract.model_inputs(metadata, table, folder)
    torch.manual_seed(int(number))
    vocabularies = [len(f["vocabulary"]) for f in metadata["features"] if "vocabulary" in f]
    module = model.TabularModel(inputs[0].shape[1], vocabularies, 4, hidden, 1)
    target = label.astype(np.float32)[:, None]
    model.train(module, inputs, target, torch.nn.BCEWithLogitsLoss(), epochs, 4e-3)
    held, held_label = transactions(HOLDOUT_DATE, HOLDOUT_ROWS)
    with torch.inference_mode():
        logit = module(*contract.model_inputs(metadata, held, folder))
    quality, threshold = metrics.binary(torch.sigmoid(logit)[:, 0].numpy(), held_label)
    print(f"  version {number}: {quality}")
    stated = {"name": NAME, "version": number, "created_at": created_at, "metrics": quality}
    tags = {"team": "payments-risk", "training_date": TRAINING_DATE, "training_rows": rows}
    decision = {"source": "probability", "column": "prediction", "threshold": threshold}
    today, fraud = transactions("2026-11-19", DATES["2026-11-19"])
    unusual = {
        "category": np.isin(today["merchant_category"], list(UNKNOWN_CATEGORIES)),
        "country": np.isin(today["country"], list(UNKNOWN_COUNTRIES)),
        "items": today["items"].to_numpy() == 0,
    }
    # Fraudulent rows four times, so that the decision is seen both ways.
    unusual |= {f"fraud {i}": fraud & (np.arange(len(fraud)) % 4 == i) for i in range(4)}
    golden = version.golden_rows(today, unusual)
    metadata = stated | {"tags": tags} | metadata | {"decision": decision}
    version.write(folder, metadata, module, golden)


def make(out: Path) -> None:
    for date, count in DATES.items():
        table, _ = transactions(date, count)
        partition.write(table, out / "features" / NAME / f"date={date}", files=2, row_group=600)
    make_version(out, "1", "2026-10-29T08:30:00Z", rows=8_000, hidden=16, epochs=6)
    make_version(out, "2", "2026-11-12T08:30:00Z", rows=60_000, hidden=32, epochs=14)
    version.write_alias(out / "models" / NAME, "champion", "2")
    version.write_alias(out / "models" / NAME, "challenger", "1")
