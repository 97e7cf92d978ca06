"""Parquet files of one date: `features/<dataset>/date=YYYY-MM-DD/part-NNNNN.parquet`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_file(table: pa.Table, path: Path, row_group: int = 1_000_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", row_group_size=row_group)


def write(table: pa.Table, folder: Path, files: int, row_group: int) -> None:
    """Consecutive rows, the first file a little larger than the others."""
    share = table.num_rows // files
    first = table.num_rows - share * (files - 1) + share // 10 * (files - 1)
    start = 0
    for i in range(files):
        stop = table.num_rows if i == files - 1 else first + share * i
        write_file(table.slice(start, stop - start), folder / f"part-{i:05d}.parquet", row_group)
        start = stop


def nullable(values, missing) -> pa.Array:
    """An array that is null where `missing` is true."""
    return pa.array(values, mask=missing)
