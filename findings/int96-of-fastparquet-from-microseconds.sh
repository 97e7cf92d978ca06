#!/usr/bin/env bash
# fastparquet writes INT96 for Spark, pandas 3 hands it microseconds: every time is a thousandth of what it was.
#
# fastparquet 2026.9.0 with pandas 3.1.1; read by fastparquet and duckdb 2.0.1.
#
# Expected: `times="int96"` writes the moments of the frame, whatever unit the column has.
# Found: the numbers of a datetime64[us] column, which pandas 3 makes by default, are written as if they were nanoseconds:
# 2026-11-19 is read back as 1970-01-21, by fastparquet itself as well, without a warning. With `times="int64"`, or a column of
# datetime64[ns], the times are right.
#
# Seen:
#   us int64  2026-11-19 12:00:00
#   ns int96  2026-11-19 12:00:00
#   us int96  1970-01-21 18:38:09.6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet fastparquet==2026.9.0 pandas==3.1.1 duckdb==2.0.1
venv/bin/python - <<'PY'
import duckdb
import fastparquet
import pandas as pd

seen = pd.Series(pd.to_datetime(["2026-11-19 12:00:00"]))
assert seen.dtype == "datetime64[us]"
found = {}
for unit, times in (("us", "int64"), ("ns", "int96"), ("us", "int96")):
    fastparquet.write("a.parquet", pd.DataFrame({"seen": seen.astype(f"datetime64[{unit}]")}), times=times)
    ((text,),) = duckdb.sql("select seen::varchar from 'a.parquet'").fetchall()
    own = fastparquet.ParquetFile("a.parquet").to_pandas()["seen"][0]
    assert own == pd.Timestamp(text), f"fastparquet reads {own}, DuckDB {text}"
    found[unit, times] = text
    print(unit, times, "", text)
right = "2026-11-19 12:00:00"
assert found == {("us", "int64"): right, ("ns", "int96"): right, ("us", "int96"): "1970-01-21 18:38:09.6"}
PY
