#!/usr/bin/env bash
# The column `store` stands in the folder's name (store=7) and in the file (70). Which one is it?
#
# polars 2.1.0, duckdb 2.0.1, pyarrow 26.0.1, pyspark 4.3.0 (Java 17).
#
# Expected: a reader has one answer, however the same files are named to it.
# Found: Spark and DuckDB take the path. Polars takes the path where it is given the folder, and the file where it is given
# a glob of the same folder. PyArrow's dataset takes the path, and its `read_table` on the same folder is an error.
#
# Seen:
#   spark               [7]
#   duckdb, glob        [7]
#   polars, folder      [7]
#   polars, glob        [70]
#   pyarrow.dataset     [7]
#   pyarrow.read_table  ArrowTypeError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pyspark==4.3.0 pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1
venv/bin/python - <<'PY'
import os

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

os.makedirs("written/store=7")
pq.write_table(pa.table({"id": [1], "store": pa.array([70], pa.int32())}), "written/store=7/a.parquet")
spark = SparkSession.builder.master("local[1]").config("spark.ui.showConsoleProgress", "false").getOrCreate()


def read_table():
    try:
        return pq.read_table("written")["store"].to_pylist()
    except pa.ArrowTypeError as error:
        return type(error).__name__


found = {
    "spark": [row["store"] for row in spark.read.parquet("written").collect()],
    "duckdb, glob": [row[0] for row in duckdb.sql("select store from 'written/*/*.parquet'").fetchall()],
    "polars, folder": pl.read_parquet("written")["store"].to_list(),
    "polars, glob": pl.read_parquet("written/*/*.parquet")["store"].to_list(),
    "pyarrow.dataset": ds.dataset("written", partitioning="hive").to_table()["store"].to_pylist(),
    "pyarrow.read_table": read_table(),
}
spark.stop()
for reader, store in found.items():
    print(f"{reader:19} {store}")
assert found == {
    "spark": [7],
    "duckdb, glob": [7],
    "polars, folder": [7],
    "polars, glob": [70],
    "pyarrow.dataset": [7],
    "pyarrow.read_table": "ArrowTypeError",
}
PY
