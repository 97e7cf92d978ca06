"""The judges of the campaign find what they are there to find: each is shown something wrong and something right."""

from __future__ import annotations

import io
import pathlib
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import checks
from checks import Broken, Final
from failpoints import POINTS, at, discover
from history import History
from readers import judged
from records import DateState
from stores import LocalStore, Object
from world import CHUNKS, KEY, Signature, keys_of, signature

DATE = "2026-01-02"
OLD = Signature(10, 10, 1234, ("1",), 1)
NEW = replace(OLD, mix=4321, versions=("2",))


def scan(seen: Signature | None, replaced: bool = False) -> dict[str, Any]:
    now = time.monotonic()
    dates = {} if seen is None else {DATE: [seen.rows, seen.keys, seen.mix, list(seen.versions), seen.stamps]}
    return {"seen": dates, "start": now, "end": now, "replaced": replaced}


@pytest.fixture
def history() -> History:
    """A date that was published and is being replaced."""
    history = History()
    history.changing(DATE, OLD)
    history.settled(DATE)
    history.changing(DATE, NEW)
    return history


@pytest.mark.parametrize("seen", [OLD, NEW])
def test_old_and_new_may_be_seen_while_it_is_replaced(history: History, seen: Signature) -> None:
    assert judged(scan(seen), history, {}) == []


@pytest.mark.parametrize(
    "seen",
    [
        None,
        replace(OLD, rows=9, keys=9),
        replace(OLD, rows=20),
        replace(OLD, mix=1),
        replace(NEW, versions=("1", "2")),
        replace(NEW, stamps=2),
    ],
)
def test_neither_absence_nor_half_nor_both_may_be_seen(history: History, seen: Signature | None) -> None:
    assert len(judged(scan(seen), history, {})) == 1


def test_a_reader_never_goes_back(history: History) -> None:
    last: dict[str, int] = {}
    assert judged(scan(NEW), history, last) == []
    assert len(judged(scan(OLD), history, last)) == 1


def test_the_old_version_is_gone_when_the_run_has_ended(history: History) -> None:
    history.settled(DATE)
    time.sleep(0.001)
    assert judged(scan(NEW), history, {}) == []
    assert len(judged(scan(OLD), history, {})) == 1


def test_dates_that_nobody_published_may_not_be_seen() -> None:
    assert len(judged(scan(OLD), History(), {})) == 1
    assert judged(scan(None), History(), {}) == []


class Predictions:
    """Stands in for a world whose uninterrupted run made these rows."""

    def expected(self, date: str, version: str) -> pa.Table:
        return rows().drop_columns(["run_id", "inference_timestamp"])


def rows() -> pa.Table:
    probability = np.linspace(0, 1, 100, dtype=np.float32)
    stamp = pa.array([7] * 100).cast(pa.timestamp("us", tz="UTC"))
    columns = {KEY: keys_of(DATE)[:100], "probability": probability, "model_version": ["1"] * 100}
    return pa.table(columns | {"inference_timestamp": stamp, "run_id": ["r"] * 100})


def final(table: pa.Table) -> Final:
    return Final(Object(b"", ""), table, {}, 2, "p")


def test_a_file_as_it_must_be_is_whole() -> None:
    checks.whole(Predictions(), final(rows()), DATE, "1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        rows().slice(1),
        pa.concat_tables([rows(), rows().slice(99)]),
        rows().take(list(range(99, -1, -1))),
        rows().set_column(1, "probability", pa.array(np.roll(rows()["probability"].to_numpy(), 1))),
        rows().set_column(3, "inference_timestamp", pa.array([7] * 99 + [8]).cast(pa.timestamp("us", tz="UTC"))),
        rows().drop_columns(["model_version"]),
    ],
    ids=["lost", "doubled", "reordered", "shifted", "two timestamps", "column lost"],
)
def test_files_that_are_not_whole_are_found(wrong: pa.Table) -> None:
    with pytest.raises(Broken):
        checks.whole(Predictions(), final(wrong), DATE, "1")  # type: ignore[arg-type]


def test_what_is_no_parquet_file_is_found() -> None:
    sink = io.BytesIO()
    pq.write_table(rows(), sink)
    with pytest.raises(Broken, match="no Parquet"):
        checks.opened(Object(sink.getvalue()[:-20], ""), "it")
    with pytest.raises(Broken, match="lacks"):
        checks.opened(Object(sink.getvalue(), ""), "it")


OPEN = {"kind": "open", "plan_id": "a"}
COMMIT = {"kind": "commit", "plan_id": "a"}


@pytest.mark.parametrize(
    ("log", "fine"),
    [
        ([OPEN | {"number": 1}, COMMIT | {"number": 2}], True),
        ([OPEN | {"number": 1}, OPEN | {"number": 2, "plan_id": "b"}], True),
        ([OPEN | {"number": 1}, COMMIT | {"number": 3}], False),
        ([COMMIT | {"number": 1}], False),
        ([OPEN | {"number": 1, "plan_id": "b"}, COMMIT | {"number": 2}], False),
    ],
)
def test_logs_that_break_the_protocol_are_found(log: list[dict[str, Any]], fine: bool) -> None:
    if fine:
        checks.consistent(log)
    else:
        with pytest.raises(Broken):
            checks.consistent(log)


def test_chunks_that_are_scored_for_nothing_are_found(tmp_path: pathlib.Path) -> None:
    state = DateState(LocalStore(tmp_path), "predictions", DATE)
    chunks = tmp_path / state.folder / "plans/p/chunks"
    chunks.mkdir(parents=True)
    for attempt in range(3):
        for chunk in range(CHUNKS):
            (chunks / f"{chunk:06}.{attempt}.part").touch()
    assert checks.redone(state, {}, 1) == 2 * CHUNKS
    with pytest.raises(Broken, match="after 0 kills"):
        checks.redone(state, {}, 0)
    before = state.works()
    assert checks.redone(state, before, 0) == 0
    (chunks / "000000.done.json").touch()
    finished = state.works()
    (chunks / "000001.3.part").touch()
    assert checks.redone(state, finished, 1) == 1
    (chunks / "000000.3.part").touch()
    with pytest.raises(Broken, match="chunk 0 was finished"):
        checks.redone(state, finished, 1)


def test_strangers_among_the_published_files_are_found(tmp_path: pathlib.Path) -> None:
    store, partition = LocalStore(tmp_path), tmp_path / f"predictions/date={DATE}"
    partition.mkdir(parents=True)
    (partition / "part-00000.parquet").touch()
    (partition / "_SUCCESS").touch()
    checks.alone(store, "predictions", DATE)
    (partition / ".part-00000.parquet.tmp").touch()
    with pytest.raises(Broken):
        checks.alone(store, "predictions", DATE)


def test_a_signature_changes_with_every_row() -> None:
    whole = signature(rows())
    swapped = rows()["probability"].to_numpy().copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert signature(rows().set_column(1, "probability", pa.array(swapped))) != whole
    assert signature(rows().slice(1)) != whole


def test_points_that_a_run_passes_are_counted() -> None:
    def run(value: str) -> str:
        assert value.count(";") == len(POINTS) - 1
        return "INFO fail: passed <log.create.before>\nINFO fail: passed <log.create.before>\nINFO other\n"

    assert discover(run) == {"log.create.before": 2}
    assert at("a.b.after", 0, "kill") == "a.b.after=1*return(kill)"
    assert at("a.b.after", 2, "stop") == "a.b.after=2*off->1*return(stop)"
