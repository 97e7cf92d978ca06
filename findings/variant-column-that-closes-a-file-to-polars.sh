#!/usr/bin/env bash
# A column of type VARIANT: Polars opens no column of the file any more.
#
# duckdb 2.0.1, polars 2.1.0, pyarrow 26.0.1.
#
# Expected: a reader that does not know a type reads the columns beside it, or the two columns of bytes that a VARIANT is made of.
# Found: Polars refuses the file when it reads the footer, also where another column alone is asked for, and calls it out of
# specification; `scan_parquet` does the same before a plan is made. VARIANT is in the specification of Parquet, and DuckDB writes
# it for each VARIANT. PyArrow reads the other columns, and the VARIANT as a struct. DuckDB stores values that are all of one type
# in a third column, `typed_value`, and leaves `value` null: who takes `value` from that struct gets nulls.
#
# Seen:
#   polars, id   ComputeError: parquet: File out of specification: LogicalType union has no variant set
#   pyarrow, id  [0, 1]
#   pyarrow, v   value [None, None], typed_value [7, 8]
#   duckdb, v    [7, 8]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet duckdb==2.0.1 polars==2.1.0 pyarrow==26.0.1
venv/bin/python - <<'PY'
import duckdb
import polars as pl
import pyarrow.parquet as pq

duckdb.sql("copy (select i as id, (i + 7)::int::variant as v from range(2) t(i)) to 'a.parquet'")
for read in [lambda: pl.read_parquet("a.parquet", columns=["id"]), lambda: pl.scan_parquet("a.parquet").select("id").collect()]:
    try:
        read()
    except pl.exceptions.ComputeError as error:
        print(f"polars, id   ComputeError: {error}")
        assert "out of specification: LogicalType union has no variant set" in str(error)
    else:
        raise SystemExit("polars opens the file")
ids = pq.read_table("a.parquet", columns=["id"])["id"].to_pylist()
rows = pq.read_table("a.parquet", columns=["v"])["v"].to_pylist()
values, typed = [row["value"] for row in rows], [row["typed_value"] for row in rows]
print(f"pyarrow, id  {ids}\npyarrow, v   value {values}, typed_value {typed}")
assert (ids, values, typed) == ([0, 1], [None, None], [7, 8])
found = [row[0] for row in duckdb.sql("select v from 'a.parquet' order by id").fetchall()]
print(f"duckdb, v    {found}")
assert found == [7, 8]
PY
