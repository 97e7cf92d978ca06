"""What every trial works on: dates of features, two model versions, a job, and the predictions that an uninterrupted run makes.

Every date has the same rows under other keys, so that the predictions of one uninterrupted run a model version are those of
every date. A few rows are bad, so that rejected rows are part of every trial.
"""

from __future__ import annotations

import datetime
import functools
import io
import pathlib
import threading
from dataclasses import dataclass
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from program import REPOSITORY, Process
from stores import Store

JOB = "campaign"
KEY = "transaction_id"

ROWS = 2000
CHUNK_ROWS = 500
CHUNKS = ROWS // CHUNK_ROWS
THREADS = 2

# Every such row lacks a number that the models need: some chunks have rejected rows, some have none.
BAD_EVERY = 667

# The first date is published before a trial begins and never again: nobody may ever see it otherwise.
DATES = [(datetime.date(2026, 1, 1) + datetime.timedelta(days)).isoformat() for days in range(25)]
BYSTANDER = DATES[0]

# Versions of the model of the sample data.
VERSIONS = ("1", "2")

# Columns that differ from run to run.
OF_THE_RUN = ["run_id", "inference_timestamp"]

JOB_FILE = """version = 1
name = "{job}"

[input]
path = "{features}/date={{date}}/"
keys = ["{key}"]
passthrough = ["customer_id", "event_time"]

[model]
registry = "{registry}"
name = "fraud-detector"
version = "1"

[output]
path = "{output}"

[rows]
max_bad_rows = {bad}
max_bad_fraction = 1.0
on.NULL_FEATURE = "reject"
"""

# Settings of every run; a trial may override them.
SETTINGS = {
    "BATCH_INFER_LINE_CHUNK_ROWS": str(CHUNK_ROWS),
    # Fixed, so that runs agree to the last bit.
    "BATCH_INFER_LINE_BATCH_ROWS": "256",
    "BATCH_INFER_THREADS_SCORE": str(THREADS),
    "BATCH_INFER_LEASE_TTL": "1s",
}

# Makes any file too large for a single PUT, so that it is published in pieces, and how often a trial on S3 does that.
PIECES = {"BATCH_INFER_PUBLISH_SINGLE_PUT_MAX": "1KiB"}
SHARE_OF_PIECES = 0.25


def shape(store: str, rng: Random) -> dict[str, str]:
    """Settings for a way to publish: there is one on a disk, two on S3."""
    return PIECES if store == "s3" and rng.random() < SHARE_OF_PIECES else {}


@dataclass(frozen=True)
class Signature:
    """What a whole partition looks like to a reader, small enough to compare thousands of times."""

    rows: int
    keys: int
    # Ties every prediction to its key; see `mix`.
    mix: int
    versions: tuple[str, ...]
    # Distinct values of the timestamp.
    stamps: int


def mix(keys: np.ndarray, probability: np.ndarray) -> int:
    """A sum that every reader can compute and that changes when a row is lost, doubled or has the value of another.

    Exact in 64 bits: whole numbers below 10^9, times at most 1,009, over a few thousand rows.
    """
    scaled = np.floor(probability.astype(np.float64) * 1e9).astype(np.int64)
    return int((scaled * (keys % 1009 + 1)).sum())


def signature(table: pa.Table) -> Signature:
    """The signature of a partition as it lies in its file."""
    keys, probability = table[KEY].to_numpy(), table["probability"].to_numpy()
    versions = tuple(sorted(set(table["model_version"].to_pylist())))
    stamps = len(set(table["inference_timestamp"].cast(pa.int64()).to_pylist()))
    return Signature(table.num_rows, len(np.unique(keys)), mix(keys, probability), versions, stamps)


class World:
    """Features, models and a job in a store, and how to run it."""

    def __init__(self, store: Store, work: pathlib.Path, models_in_store: bool = False) -> None:
        self.store = store
        self.work = work
        self.work.mkdir(parents=True, exist_ok=True)
        self._temporary = work / "tmp"
        self._temporary.mkdir(exist_ok=True)
        self._lock = threading.Lock()
        # How long an uninterrupted run takes here and now; see `learn` and `took`.
        self.usual_seconds = 60.0
        # How long the binary takes until it does anything.
        self.start_seconds = 0.0
        self._lay_out(models_in_store)

    def _lay_out(self, models_in_store: bool) -> None:
        features = self.work / "made"
        for date in DATES:
            write_features(features / f"date={date}", keys_of(date))
        self.store.upload(features, "features")
        registry = str(REPOSITORY / "sample_data/models")
        if models_in_store:
            self.store.upload(REPOSITORY / "sample_data/models/fraud-detector", "models/fraud-detector")
            registry = self.store.url("models")
        self.job_file = self.work / "job.toml"
        self.job_file.write_text(
            JOB_FILE.format(
                job=JOB,
                features=self.store.url("features"),
                key=KEY,
                registry=registry,
                output=self.store.url("predictions"),
                bad=ROWS,
            )
        )

    def start(
        self,
        dataset: str,
        date: str,
        version: str,
        log: pathlib.Path,
        arguments: list[str] | None = None,
        environment: dict[str, str] | None = None,
    ) -> Process:
        """Starts a run that publishes a date below a dataset with a version of the model."""
        line = ["run", *self._target(dataset, date), "--set", f"model.version={version}", *(arguments or [])]
        return self.process(line, log, environment)

    def verify(self, dataset: str, date: str, log: pathlib.Path, *arguments: str) -> Process:
        """Starts the binary's own comparison of the partition with its records."""
        return self.process(["verify", *self._target(dataset, date), *arguments], log)

    @functools.cached_property
    def can_verify(self) -> bool:
        """True when the binary has the command."""
        return self.process(["verify", "--help"], self.work / "verify.log").wait() == 0

    def _target(self, dataset: str, date: str) -> list[str]:
        output, state = self.store.url(dataset), self.store.url(dataset + ".batch-infer")
        job = ["--job", str(self.job_file), "--date", date]
        return [*job, "--set", f"output.path={output}", "--set", f"output.state={state}"]

    def process(self, arguments: list[str], log: pathlib.Path, environment: dict[str, str] | None = None) -> Process:
        """Starts the binary with the settings of this world and a trial's own over them."""
        settings = SETTINGS | {"TMPDIR": str(self._temporary)} | self.store.environment | (environment or {})
        return Process(arguments, settings, log)

    def expected(self, date: str, version: str) -> pa.Table:
        """The columns of a published date that do not differ from run to run."""
        table = self._reference(version)
        good = keys_of(date)[good_rows()]
        return table.set_column(table.column_names.index(KEY), table.schema.field(KEY), pa.array(good))

    def signature(self, date: str, version: str) -> Signature:
        """What readers must see of a published date."""
        table = self._reference(version)
        keys = keys_of(date)[good_rows()]
        return Signature(table.num_rows, len(keys), mix(keys, table["probability"].to_numpy()), (version,), 1)

    def _reference(self, version: str) -> pa.Table:
        with self._lock:
            return self._uninterrupted(version)

    @functools.cache
    def _uninterrupted(self, version: str) -> pa.Table:
        dataset, log = f"reference/{version}/predictions", self.work / f"reference-{version}.log"
        process = self.start(dataset, BYSTANDER, version, log)
        assert process.wait() == 0, f"{process.line()}\n{process.said()}"
        self.usual_seconds = min(process.seconds or 1.0, self.usual_seconds)
        found = self.store.read(final_of(dataset, BYSTANDER))
        assert found is not None, "the uninterrupted run published nothing"
        table = pq.read_table(io.BytesIO(found.data))
        # Independent of the binary: exactly the good rows, in the order of the input.
        assert table[KEY].to_numpy().tolist() == keys_of(BYSTANDER)[good_rows()].tolist()
        assert set(table["model_version"].to_pylist()) == {version}
        return table.drop_columns(OF_THE_RUN)

    def took(self, seconds: float) -> None:
        """A run among others took so long: it follows how busy the machine is, so that random moments lie within a run."""
        with self._lock:
            self.usual_seconds += (seconds - self.usual_seconds) / 10

    def learn(self) -> None:
        """Makes the uninterrupted runs, and knows from then on how long one takes: `usual_seconds`."""
        for version in VERSIONS:
            self._reference(version)
        begun = self.process(["--version"], self.work / "version.log")
        begun.wait()
        self.start_seconds = min(begun.seconds or 0.0, self.usual_seconds / 2)

    def moment(self, rng: Random) -> float:
        """A random time in a run, in seconds from its start: few runs are so slow that it comes before all, or after."""
        return rng.uniform(0.8 * self.start_seconds, 1.1 * self.usual_seconds)


def final_of(dataset: str, date: str) -> str:
    """Path of a date's file."""
    return f"{dataset}/date={date}/part-00000.parquet"


def keys_of(date: str) -> np.ndarray:
    """Keys of a date's rows; no two dates share one."""
    day = datetime.date.fromisoformat(date).toordinal()
    return day * 1_000_000 + np.arange(ROWS, dtype=np.int64) * 7


def bad_keys(date: str) -> list[int]:
    """Keys of a date's rows that are rejected."""
    return keys_of(date)[~good_rows()].tolist()


def good_rows() -> np.ndarray:
    """Which rows have all that the models need."""
    return np.arange(ROWS) % BAD_EVERY != BAD_EVERY - 1


@functools.cache
def sample() -> pa.Table:
    """Rows of the sample data, some of them made bad."""
    files = sorted((REPOSITORY / "sample_data/features/fraud-detector").rglob("*.parquet"))
    table = pa.concat_tables(pq.ParquetFile(file).read() for file in files).slice(0, ROWS).combine_chunks()
    at = table.column_names.index("amount")
    amount = pa.array(table["amount"].to_numpy(), mask=~good_rows())
    return table.set_column(at, "amount", amount)


def write_features(folder: pathlib.Path, keys: np.ndarray) -> None:
    """A date's features: one file with a row group a chunk, one with a single row group, both with checksums of pages."""
    folder.mkdir(parents=True, exist_ok=True)
    table = sample().set_column(0, sample().schema.field(KEY), pa.array(keys))
    half = ROWS // 2
    for number, row_group in enumerate([CHUNK_ROWS, half]):
        piece, file = table.slice(number * half, half), folder / f"part-{number:05}.parquet"
        pq.write_table(piece, file, row_group_size=row_group, write_page_checksum=True, data_page_size=16 * 1024)
