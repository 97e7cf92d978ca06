"""A reader as a process of its own: scans a dataset again and again and writes down what it saw.

    python scanning.py duckdb|polars|pyarrow|pandas

Takes lines on stdin: `scan URL` scans from then on, `rest` stops and is answered, the end of stdin ends it. Writes one JSON
object a scan. Every reader works as it does out of the box. It also says whether a file or object was replaced during the
scan, by ETags on S3 and by inodes on a disk: a reader asks for a file more than once, so a replacement can come between.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import select
import sys
import time
from typing import Any, Callable

import numpy as np

from world import KEY, mix

COLUMNS = [KEY, "probability", "model_version", "inference_timestamp"]

# Between two scans, so that readers leave most of the machine to what they watch.
PAUSE = 1.0

# A date's rows, keys, mix, versions and timestamps, in the order of `world.Signature`.
Seen = dict[str, list[Any]]


class Folder:
    """What readers need to know of a disk."""

    def versions(self, root: str) -> dict[str, str]:
        """What tells one version of each of the dataset's files from another."""
        status = {}
        for file in glob.glob(f"{root}/date=*/*.parquet"):
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(file)
                status[file] = f"{found.st_ino}-{found.st_mtime_ns}"
        return status


class Bucket:
    """What readers need to know of S3."""

    def __init__(self) -> None:
        from stores import client

        self._client = client(dict(os.environ))

    def versions(self, root: str) -> dict[str, str]:
        """ETags of the dataset's objects."""
        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/")
        found = [entry for page in pages for entry in page.get("Contents", [])]
        return {f"{bucket}/{entry['Key']}": entry["ETag"] for entry in found if entry["Key"].endswith(".parquet")}

    def read(self, path: str) -> bytes:
        """An object, whole."""
        bucket, _, key = path.partition("/")
        return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()


def of_numpy(keys: np.ndarray, probability: np.ndarray, versions: Any, stamps: int) -> list[Any]:
    return [len(keys), len(np.unique(keys)), mix(keys, probability), sorted(versions), stamps]


def is_remote(root: str) -> bool:
    return root.startswith("s3://")


def arrow_filesystem() -> Any:
    from pyarrow import fs

    return fs.S3FileSystem(
        endpoint_override=os.environ["AWS_ENDPOINT_URL"].split("://")[1],
        scheme=os.environ["AWS_ENDPOINT_URL"].split("://")[0],
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ.get("AWS_REGION", "us-east-1"),
    )


def duckdb_reader(bucket: Bucket | None) -> Callable[[str, int], Seen]:
    """DuckDB. Its extension for S3 is no part of its package; where it is missing, objects are fetched whole first."""
    import tempfile

    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    query = f"""
        select date::varchar, count(*), count(distinct {KEY}),
            sum(floor(probability::double * 1e9)::bigint * ({KEY} % 1009 + 1))::hugeint,
            list(distinct model_version), count(distinct inference_timestamp)
        from read_parquet('FILES', hive_partitioning = true) group by date"""

    def ask(files: str) -> Seen:
        rows = connection.sql(query.replace("FILES", files)).fetchall()
        return {
            date: [count, keys, int(total), sorted(versions), stamps]
            for date, count, keys, total, versions, stamps in rows
        }

    def scan(root: str, number: int) -> Seen:
        form = ["date=*/*.parquet", "**/*.parquet"][number % 2]
        if bucket is None:
            return ask(f"{root}/{form}")
        with tempfile.TemporaryDirectory() as folder:
            for path in bucket.versions(root):
                file = os.path.join(folder, *path.split("/")[-2:])
                os.makedirs(os.path.dirname(file), exist_ok=True)
                with open(file, "wb") as target:
                    target.write(bucket.read(path))
            return ask(f"{folder}/{form}")

    return scan


def polars_reader(bucket: Bucket | None) -> Callable[[str, int], Seen]:
    """Polars, by glob and by folder."""
    import polars as pl

    names = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
    options = {name.lower(): os.environ[name] for name in names if bucket} | (
        {"aws_allow_http": "true"} if bucket else {}
    )
    scaled = (pl.col("probability").cast(pl.Float64) * 1e9).floor().cast(pl.Int64)

    def scan(root: str, number: int) -> Seen:
        form = ["date=*/*.parquet", "**/*.parquet", ""][number % 3]
        frame = pl.scan_parquet(f"{root}/{form}", hive_partitioning=True, storage_options=options or None)
        seen = frame.group_by("date").agg(
            pl.len(),
            pl.col(KEY).n_unique().alias("keys"),
            (scaled * (pl.col(KEY) % 1009 + 1)).sum().alias("mix"),
            pl.col("model_version").unique().alias("versions"),
            pl.col("inference_timestamp").n_unique().alias("stamps"),
        )
        return {
            row["date"].isoformat(): [row["len"], row["keys"], row["mix"], sorted(row["versions"]), row["stamps"]]
            for row in seen.collect().to_dicts()
        }

    return scan


def pyarrow_reader(bucket: Bucket | None) -> Callable[[str, int], Seen]:
    """A PyArrow dataset of the folder."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    filesystem = arrow_filesystem() if bucket else None

    def scan(root: str, number: int) -> Seen:
        dataset = ds.dataset(root.removeprefix("s3://"), format="parquet", partitioning="hive", filesystem=filesystem)
        if "date" not in dataset.schema.names:
            return {}
        table = dataset.to_table(columns=[*COLUMNS, "date"])
        seen: Seen = {}
        for date in pc.unique(table["date"]).to_pylist():
            rows = table.filter(pc.equal(table["date"], date))
            stamps = len(pc.unique(rows["inference_timestamp"].cast(pa.int64())))
            versions = pc.unique(rows["model_version"]).to_pylist()
            seen[str(date)] = of_numpy(rows[KEY].to_numpy(), rows["probability"].to_numpy(), versions, stamps)
        return seen

    return scan


def pandas_reader(bucket: Bucket | None) -> Callable[[str, int], Seen]:
    """pandas, which knows no globs, so Python expands them as people do."""
    import pandas as pd

    filesystem = arrow_filesystem() if bucket else None

    def scan(root: str, number: int) -> Seen:
        seen: Seen = {}
        for file in sorted(bucket.versions(root) if bucket else glob.glob(f"{root}/date=*/*.parquet")):
            frame = pd.read_parquet(file, columns=COLUMNS, partitioning=None, filesystem=filesystem)
            date = file.split("date=")[-1].split("/")[0]
            assert date not in seen, f"two files of {date}"
            keys, probability = frame[KEY].to_numpy(), frame["probability"].to_numpy()
            seen[date] = of_numpy(
                keys, probability, frame["model_version"].unique(), frame["inference_timestamp"].nunique()
            )
        return seen

    return scan


READERS = {"duckdb": duckdb_reader, "polars": polars_reader, "pyarrow": pyarrow_reader, "pandas": pandas_reader}


def observe(scan: Callable[[str, int], Seen], place: Folder | Bucket, root: str, number: int) -> dict[str, Any]:
    """One scan: what was seen from when to when, or the error; and whether a file was replaced meanwhile."""
    before = place.versions(root)
    start = time.monotonic()
    try:
        outcome: dict[str, Any] = {"seen": scan(root, number)}
    except Exception as error:  # Every library has errors of its own.
        outcome = {"error": f"{type(error).__name__}: {error}"}
    end = time.monotonic()
    after = place.versions(root)
    replaced = any(after.get(path) != version for path, version in before.items())
    return outcome | {"start": start, "end": end, "replaced": replaced}


def main(engine: str) -> None:
    """Answers the lines on stdin."""
    # In line, so that `select` and the buffer of a file do not fight.
    commands = io.FileIO(sys.stdin.fileno(), closefd=False)
    scan: Callable[[str, int], Seen] | None = None
    bucket: Bucket | None = None
    root, number, pending = "", 0, b""
    while True:
        ready, _, _ = select.select([commands], [], [], PAUSE if root else None)
        if ready:
            read = commands.read(4096)
            if not read:
                return
            pending += read
            while b"\n" in pending:
                line, _, pending = pending.partition(b"\n")
                word, _, root = line.decode().partition(" ")
                if word == "rest":
                    print(json.dumps({"resting": True}), flush=True)
                elif scan is None:
                    bucket = Bucket() if is_remote(root) else None
                    scan = READERS[engine](bucket)
        if root and scan:
            print(json.dumps(observe(scan, bucket or Folder(), root, number)), flush=True)
            number += 1


if __name__ == "__main__":
    main(sys.argv[1])
