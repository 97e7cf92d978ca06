#!/usr/bin/env bash
# Codes that are partitions: text while Spark writes them, numbers when they are read.
#
# pyspark 4.3.0 (Java 17), polars 2.1.0, pyarrow 26.0.1, duckdb 2.0.1.
#
# Expected: a column of texts that is written with partitionBy("code") is read as those texts.
# Found: folders have no types, so readers guess one, each in its own way, from the folders that happen to be there.
# Spark makes a decimal of the product code 1E3, Polars a float, DuckDB and PyArrow leave the text. The code 007 loses its zeros
# in Spark, Polars and PyArrow, and keeps them in DuckDB. One more code, of letters, and all are texts again.
#
# Seen:
#            007, 012        1E3, 2E5                   007, A12
#   spark    7, 12           1000, 200000               007, A12
#   polars   7, 12           1000.0, 200000.0           007, A12
#   pyarrow  7, 12           1E3, 2E5                   007, A12
#   duckdb   007, 012        1E3, 2E5                   007, A12
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pyspark==4.3.0 pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1
venv/bin/python - <<'PY'
import duckdb
import polars as pl
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.showConsoleProgress", "false").getOrCreate()


def read(codes):
    """What each reader makes of the codes, as text."""
    folder = "_".join(codes)
    spark.createDataFrame([(i, code) for i, code in enumerate(codes)], "id int, code string").write.partitionBy("code").parquet(folder)
    found = {
        "spark": [row["code"] for row in spark.read.parquet(folder).orderBy("id").collect()],
        "polars": pl.read_parquet(f"{folder}/*/*.parquet", hive_partitioning=True).sort("id")["code"].to_list(),
        "pyarrow": pq.read_table(folder).sort_by("id")["code"].to_pylist(),
        "duckdb": [row[0] for row in duckdb.sql(f"select code from '{folder}/*/*.parquet' order by id").fetchall()],
    }
    return {reader: ", ".join(map(str, values)) for reader, values in found.items()}


zeros, exponents, letters = read(["007", "012"]), read(["1E3", "2E5"]), read(["007", "A12"])
spark.stop()
for reader in zeros:
    print(f"{reader:8} {zeros[reader]:15} {exponents[reader]:26} {letters[reader]}")
assert zeros == {"spark": "7, 12", "polars": "7, 12", "pyarrow": "7, 12", "duckdb": "007, 012"}
assert exponents == {"spark": "1000, 200000", "polars": "1000.0, 200000.0", "pyarrow": "1E3, 2E5", "duckdb": "1E3, 2E5"}
assert set(letters.values()) == {"007, A12"}
PY
