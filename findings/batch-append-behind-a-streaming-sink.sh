#!/usr/bin/env bash
# A batch job appends to the folder of a Spark Structured Streaming sink: Spark itself does not see the rows, all others do.
#
# pyspark 4.3.0 (Java 17), pyarrow 26.0.1, duckdb 2.0.1, polars 2.1.0.
#
# Expected: `write.mode("append").parquet(folder)` succeeds, so `read.parquet(folder)` has the rows; or the append is refused.
# Found: the folder has `_spark_metadata/`, the list of the files that the stream has committed. Spark goes by that list
# whenever the folder itself is read, without a word; a glob of the same folder goes by the files. Other readers know no
# such list, so they also count what a failed micro-batch left behind.
#
# Seen, after a stream of 2 rows and an append of 3:
#   spark, folder  2
#   spark, glob    5
#   duckdb         5
#   polars         5
#   pyarrow        5
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
spark.range(2).write.parquet("source")
stream = spark.readStream.schema("id bigint").parquet("source").writeStream.format("parquet")
stream.option("checkpointLocation", "checkpoint").option("path", "sink").trigger(availableNow=True).start().awaitTermination()
assert spark.read.parquet("sink").count() == 2

spark.range(10, 13).write.mode("append").parquet("sink")
found = {
    "spark, folder": spark.read.parquet("sink").count(),
    "spark, glob": spark.read.parquet("sink/*.parquet").count(),
    "duckdb": duckdb.sql("select count(*) from 'sink/*.parquet'").fetchall()[0][0],
    "polars": pl.read_parquet("sink/*.parquet").height,
    "pyarrow": pq.read_table("sink").num_rows,
}
spark.stop()
for reader, rows in found.items():
    print(f"{reader:14} {rows}")
assert found == {"spark, folder": 2, "spark, glob": 5, "duckdb": 5, "polars": 5, "pyarrow": 5}
PY
