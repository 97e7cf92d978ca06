#!/usr/bin/env bash
# Spark's default timestamps (INT96) of the years 1 and 9999, in the hands of other readers.
#
# pyspark 4.3.0 (Java 17), pyarrow 26.0.1, polars 2.1.0, duckdb 2.0.1, pandas 3.1.1, datafusion 55.0.0.
#
# Expected: INT96 holds days and nanoseconds apart, so each reader gives the moment, or an error where its own type is too small.
# Found: DuckDB and Spark give the moment. PyArrow, pandas and DataFusion decode to 64 bits of nanoseconds, which wrap round in
# silence: the year 1 becomes 1754, and 9999 becomes 1816. Polars stops at the greatest value, for either: the year 1 becomes 2262.
# `coerce_int96_timestamp_unit="us"` cures PyArrow.
#
# Seen:
#   spark       0001-01-01  9999-12-31
#   duckdb      0001-01-01  9999-12-31
#   pyarrow     1754-08-30  1816-03-29
#   pyarrow us  0001-01-01  9999-12-31
#   pandas      1754-08-30  1816-03-29
#   datafusion  1754-08-30  1816-03-29
#   polars      2262-04-11  2262-04-11
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pyspark==4.3.0 pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 datafusion==55.0.0
venv/bin/python - <<'PY'
import glob

import datafusion
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.showConsoleProgress", "false").config("spark.sql.session.timeZone", "UTC").getOrCreate()
rows = spark.sql("select * from values (0, timestamp'0001-01-01 00:00:00'), (1, timestamp'9999-12-31 00:00:00') as t(id, seen)")
rows.coalesce(1).write.parquet("written")
(file,) = glob.glob("written/*.parquet")
assert pq.ParquetFile(file).schema.column(1).physical_type == "INT96"


def days(table):
    """The days of the column, as text, from whatever unit it has."""
    return [str(value)[:10] for value in table["seen"].combine_chunks().to_numpy(zero_copy_only=False)]


context = datafusion.SessionContext()
context.register_parquet("written", file)
found = {
    "spark": [row[0] for row in spark.read.parquet("written").selectExpr("left(cast(seen as string), 10)").collect()],
    "duckdb": [row[0] for row in duckdb.sql(f"select seen::date::varchar from '{file}' order by id").fetchall()],
    "pyarrow": days(pq.read_table(file)),
    "pyarrow us": days(pq.read_table(file, coerce_int96_timestamp_unit="us")),
    "pandas": [str(value)[:10] for value in pd.read_parquet(file)["seen"]],
    "datafusion": days(context.sql("select seen from written order by id").to_arrow_table()),
    "polars": pl.read_parquet(file)["seen"].dt.to_string("%Y-%m-%d").to_list(),
}
spark.stop()
for reader, dates in found.items():
    print(f"{reader:11} {'  '.join(dates)}")
right, wrapped = ["0001-01-01", "9999-12-31"], ["1754-08-30", "1816-03-29"]
assert found == {
    "spark": right,
    "duckdb": right,
    "pyarrow": wrapped,
    "pyarrow us": right,
    "pandas": wrapped,
    "datafusion": wrapped,
    "polars": ["2262-04-11"] * 2,
}
PY
