#!/usr/bin/env python3
"""Make the Parquet files that tests read and damage: the same rows from other writers, in their encodings.

    .readers/bin/python tests/corpus/make.py

replaces the files beside this script. The rows are those of `ROWS`; `expected.parquet` holds them as plainly as can be.
Columns with `nested` in their name are features of nobody: they lie beside what is read.
"""

from __future__ import annotations

import datetime
import decimal
import pathlib

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
ROWS = 240
COUNTRIES = ["AT", "CH", "DE", "FR", "IT", "a country whose name is long enough to matter"]

COLUMNS = {
    "id": pa.int64(),
    "name": pa.string(),
    "day": pa.date32(),
    "amount": pa.float64(),
    "count": pa.int32(),
    "flag": pa.bool_(),
    "price": pa.decimal128(12, 2),
    "country": pa.string(),
    "embedding": pa.list_(pa.float32()),
    "seen": pa.timestamp("us"),
    "nested": pa.struct([("a", pa.int32()), ("b", pa.list_(pa.string()))]),
}


def rows() -> pa.Table:
    """The rows, with nulls where the contract of the tests has a value for them."""
    records = [
        {
            "id": 1_000_000 + row,
            "name": f"customer-{row * 7919 % 1000:04}",
            "day": datetime.date(2026, 11, 1) + datetime.timedelta(days=row % 19),
            "amount": None if row % 17 == 5 else row * 1.25 - 40,
            "count": row * row % 101 - 3,
            "flag": row % 3 == 0,
            "price": decimal.Decimal(row * 37 % 10_000) / 100,
            "country": COUNTRIES[row * row % len(COUNTRIES)],
            "embedding": [row / 8, row % 5, -row / 2, 0.5],
            "seen": datetime.datetime(2026, 11, 19, 2) + datetime.timedelta(seconds=row * 61),
            "nested": None if row % 11 == 0 else {"a": row, "b": ["x"] * (row % 4)},
        }
        for row in range(ROWS)
    ]
    return pa.Table.from_pylist(records, schema=pa.schema(COLUMNS))


def arrow(table: pa.Table, name: str, **options: object) -> None:
    """PyArrow, three pages a column chunk and two row groups."""
    usual: dict[str, object] = {"row_group_size": ROWS // 2, "data_page_size": 256, "write_batch_size": 40}
    pq.write_table(table, HERE / f"{name}.parquet", **{**usual, **options})


def delta(table: pa.Table) -> dict[str, str]:
    """The delta encodings, where a type has one."""
    chosen = {
        "id": "DELTA_BINARY_PACKED",
        "count": "DELTA_BINARY_PACKED",
        "seen": "DELTA_BINARY_PACKED",
        "name": "DELTA_BYTE_ARRAY",
        "country": "DELTA_LENGTH_BYTE_ARRAY",
        "amount": "BYTE_STREAM_SPLIT",
        "embedding.list.element": "BYTE_STREAM_SPLIT",
        "flag": "RLE",
    }
    assert {path.split(".")[0] for path in chosen} <= set(table.column_names)
    return chosen


def main() -> None:
    """Writes every file."""
    for old in HERE.glob("*.parquet"):
        old.unlink()
    table = rows()
    pq.write_table(table, HERE / "expected.parquet", compression="none", use_dictionary=False, write_statistics=False)
    for crc in (False, True):
        kind = "crc" if crc else "bare"
        arrow(table, f"pyarrow-plain-{kind}", compression="none", use_dictionary=False, write_page_checksum=crc)
        arrow(
            table,
            f"pyarrow-delta-{kind}",
            compression="none",
            use_dictionary=False,
            column_encoding=delta(table),
            data_page_version="2.0",
            write_page_checksum=crc,
        )
        arrow(table, f"pyarrow-dictionary-{kind}", compression="snappy", write_page_checksum=crc)
    arrow(
        table,
        "pyarrow-delta-zstd",
        compression="zstd",
        use_dictionary=False,
        column_encoding=delta(table),
        data_page_version="2.0",
        write_page_checksum=True,
    )
    # A dictionary that is full after a few values: the rest is written plainly.
    arrow(table, "pyarrow-fallback", compression="gzip", dictionary_pagesize_limit=64, write_page_index=True)
    arrow(table, "pyarrow-brotli", compression="brotli", data_page_version="2.0")
    arrow(table, "pyarrow-lz4", compression="lz4", write_page_index=True)
    duck = duckdb.connect()
    duck.register("t", table)
    for version, codec in (("V1", "snappy"), ("V2", "zstd")):
        target = HERE / f"duckdb-{version.lower()}.parquet"
        options = f"FORMAT parquet, COMPRESSION {codec}, PARQUET_VERSION {version}, ROW_GROUP_SIZE 2048"
        duck.execute(f"COPY (SELECT * FROM t) TO '{target}' ({options})")
    frame = polars.from_arrow(table)
    frame.write_parquet(HERE / "polars.parquet", compression="zstd", row_group_size=ROWS // 2, data_page_size=256)
    frame.write_parquet(HERE / "polars-bare.parquet", compression="uncompressed", row_group_size=ROWS // 2)


if __name__ == "__main__":
    main()
