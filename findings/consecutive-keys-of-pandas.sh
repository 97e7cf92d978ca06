#!/usr/bin/env bash
# A frame with its key as index: whether the Parquet file has the key depends on whether the keys follow one another.
#
# pandas 3.1.1, pyarrow 26.0.1, duckdb 2.0.1, polars 2.1.0.
#
# Expected: `frame.set_index("id").to_parquet(...)` writes the index as the column `id`.
# Found: where the values of the column are at equal distances (1001, 1002, 1003), `set_index` makes a RangeIndex, which
# `to_parquet` keeps as three numbers in the metadata "pandas" and not as a column. pandas reads it back, so a test with
# pandas on both sides sees nothing; every other reader misses the key. One gap among the keys, and the column is there.
# `to_parquet(..., index=True)` cures it, and so does `reset_index()` before.
#
# Seen:
#   1001, 1002, 1003  pandas ['id', 'amount']  duckdb ['amount']        polars ['amount']
#   1001, 1002, 1004  pandas ['id', 'amount']  duckdb ['amount', 'id']  polars ['amount', 'id']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pandas==3.1.1 pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0
venv/bin/python - <<'PY'
import duckdb
import pandas as pd
import polars as pl


def columns(keys, **options):
    pd.DataFrame({"id": keys, "amount": [1.0, 2.0, 3.0]}).set_index("id").to_parquet("a.parquet", **options)
    back = list(pd.read_parquet("a.parquet").reset_index().columns)
    found = back, duckdb.sql("from 'a.parquet'").columns, pl.read_parquet("a.parquet").columns
    print(f"{', '.join(map(str, keys))}  pandas {found[0]}  duckdb {str(found[1]):18} polars {found[2]}")
    return found


assert columns([1001, 1002, 1003]) == (["id", "amount"], ["amount"], ["amount"])
assert columns([1001, 1002, 1004]) == (["id", "amount"], ["amount", "id"], ["amount", "id"])
assert columns([1001, 1002, 1003], index=True) == (["id", "amount"], ["amount", "id"], ["amount", "id"])
PY
