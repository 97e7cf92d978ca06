"""What must hold of a date once its runs have ended. Each check raises `Broken` with a sentence that says what does not."""

from __future__ import annotations

import hashlib
import io
import posixpath
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from records import DateState, Record, Work
from stores import Object, S3Store, Store
from world import CHUNKS, KEY, OF_THE_RUN, THREADS, World, bad_keys, final_of

# Chunks that one process may have in work at once: twice the threads, and four that wait to be written.
IN_FLIGHT = 2 * THREADS + 4

# Prefix of our keys in a footer.
FOOTER = "batch_infer."


class Broken(Exception):
    """Something that must hold does not."""


def expect(holds: bool, otherwise: str) -> None:
    """Raises `Broken` unless a condition holds."""
    if not holds:
        raise Broken(otherwise)


@dataclass(frozen=True)
class Final:
    """A published file with what it says about itself."""

    object: Object
    table: pa.Table
    footer: dict[str, str]
    seq: int
    plan: str

    @property
    def version(self) -> str:
        """The version of the model that made the rows."""
        return ",".join(sorted(set(self.table["model_version"].to_pylist())))


def final(store: Store, dataset: str, date: str) -> Final | None:
    """The published file of a date; `None` when there is none."""
    found = store.read(final_of(dataset, date))
    return None if found is None else opened(found, f"the final file of {date}")


def opened(found: Object, what: str) -> Final:
    """A file as a table, with the marks of whoever published it."""
    try:
        file = pq.ParquetFile(io.BytesIO(found.data))
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise Broken(f"{what} is no Parquet file: {error}") from error
    pairs = {
        key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items() if key != b"ARROW:schema"
    }
    footer = {key.removeprefix(FOOTER): value for key, value in pairs.items() if key.startswith(FOOTER)}
    for key in ("seq", "plan_id", "nonce"):
        expect(key in footer, f"the footer of {what} lacks {FOOTER}{key}")
    return Final(found, table, footer, int(footer["seq"]), footer["plan_id"])


def seq_of(store: Store, dataset: str, date: str) -> int:
    """The number of what is published; 0 when nothing is. Cheap enough to ask all the time."""
    if isinstance(store, S3Store):
        metadata = store.metadata(final_of(dataset, date))
        return 0 if metadata is None else int(metadata["bi-seq"])
    found = store.read(final_of(dataset, date))
    return 0 if found is None else int(pq.ParquetFile(io.BytesIO(found.data)).metadata.metadata[b"batch_infer.seq"])


def whole(world: World, found: Final, date: str, version: str) -> None:
    """The file holds each good row of the input exactly once, with the values of an uninterrupted run."""
    table = found.table
    expected = world.expected(date, version)
    keys = table[KEY].to_pylist()
    doubled = len(keys) - len(set(keys))
    lost = len(set(expected[KEY].to_pylist()) - set(keys))
    expect(doubled == 0 and lost == 0, f"{lost} rows lost, {doubled} doubled of {expected.num_rows}")
    stamps = len(set(table["inference_timestamp"].cast(pa.int64()).to_pylist()))
    expect(stamps == 1, f"{stamps} values of inference_timestamp in one file")
    rest = table.drop_columns(OF_THE_RUN)
    if not rest.equals(expected):
        wrong = [
            name
            for name in expected.column_names
            if rest.schema.names != expected.schema.names or rest[name] != expected[name]
        ]
        raise Broken(f"the columns {wrong} differ from those of an uninterrupted run with version {version}")


def alone(store: Store, dataset: str, date: str) -> None:
    """Below the date lies its file, perhaps an empty `_SUCCESS`, and nothing else."""
    for path, size in store.list(f"{dataset}/date={date}").items():
        name = posixpath.basename(path)
        fine = path == final_of(dataset, date) or (name == "_SUCCESS" and size == 0)
        expect(fine, f"{path} of {size} bytes lies where readers look")


def recorded(state: DateState, found: Final) -> None:
    """The file is the one that the newest commit names, and the log is as the protocol writes it."""
    log = state.log()
    consistent(log)
    commits = [record for record in log if record["kind"] == "commit"]
    expect(bool(commits), "a file is published and the log has no commit")
    newest = commits[-1]
    expect(found.seq == newest["number"], f"published is {found.seq}, the newest commit is {newest['number']}")
    expect(found.plan == newest["plan_id"], f"published is plan {found.plan}, committed plan {newest['plan_id']}")
    expect(found.footer["nonce"] == newest["nonce"], "the footer's nonce is not that of the commit")
    digest = hashlib.sha256(found.object.data).hexdigest()
    expect(len(newest["files"]) == 1, f"the commit names {len(newest['files'])} files")
    stated = newest["files"][0]
    expect(digest == stated["sha256"], f"the file's SHA-256 is {digest}, the commit says {stated['sha256']}")
    expect(stated["rows"] == found.table.num_rows, "the commit states another number of rows")
    if state.store.name == "s3":
        marks = {"bi-seq": str(found.seq), "bi-plan": found.plan, "bi-nonce": newest["nonce"], "bi-sha256": digest}
        expect(found.object.metadata.items() >= marks.items(), f"metadata {found.object.metadata}, expected {marks}")
    numbers = [record["number"] for record in state.published()]
    expect(found.seq in numbers, f"no published record {found.seq}, only {numbers}")
    keys = state.rejected(found.plan)
    expect(keys == bad_keys(state.date), f"rows kept as rejected are {keys}, not {bad_keys(state.date)}")


def consistent(log: list[Record]) -> None:
    """Numbers have no gap; every commit stands right behind an open of its own plan, its run's own or a later run's."""
    numbers = [record["number"] for record in log]
    expect(numbers == list(range(1, len(numbers) + 1)), f"numbers of the log: {numbers}")
    for before, record in zip([None, *log], log):
        if record["kind"] == "commit":
            fits = before is not None and before["kind"] == "open" and before["plan_id"] == record["plan_id"]
            expect(fits, f"commit {record['number']} does not follow an open of its plan")


def redone(state: DateState, before: dict[str, Work], kills: int) -> int:
    """Chunks that were scored again since `before`: none that was finished then, and at most what was in work when killed."""
    again = 0
    for plan, work in state.works().items():
        expect(len(work.done) <= CHUNKS, f"plan {plan} has {len(work.done)} done records of {CHUNKS} chunks")
        earlier = before.get(plan, Work({}, set()))
        for chunk, parts in work.parts.items():
            known = earlier.parts.get(chunk, [])
            expect(chunk not in earlier.done or parts == known, f"chunk {chunk} was finished and has been scored again")
            again += max(0, len(parts) - max(1, len(known)))
    expect(again <= kills * IN_FLIGHT, f"{again} chunks were scored again after {kills} kills")
    return again
