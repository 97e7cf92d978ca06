#!/usr/bin/env bash
# Scores that PyArrow adds to a table of Spark's are not there for Spark.
#
# pyspark 4.3.0 (Java 17), pyarrow 26.0.1, pandas 3.1.1, polars 2.1.0, duckdb 2.0.1.
#
# Expected: a Parquet file has the columns of its schema, for every reader.
# Found: Spark leaves its own schema in the footer (`org.apache.spark.sql.parquet.row.metadata`), and believes it more than the
# schema of the file. PyArrow carries the metadata of a table along, from the file it read to the file it writes, so that a
# column which was added in between stands in the file, and Spark shows the table without it, in silence. Polars and pandas drop the
# metadata on the way. `table.replace_schema_metadata(None)` before writing cures it.
#
# Seen, columns as Spark reads them:
#   pyarrow            ['id']
#   pyarrow, replaced  ['id', 'score']
#   pandas             ['id', 'score']
#   polars             ['id', 'score']
# and DuckDB of the first: ['id', 'score']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pyspark==4.3.0 pyarrow==26.0.1 pandas==3.1.1 polars==2.1.0 duckdb==2.0.1
venv/bin/python - <<'PY'
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.showConsoleProgress", "false").getOrCreate()
spark.range(3).coalesce(1).write.parquet("features")

scored = pq.read_table("features").append_column("score", pa.array([0.1, 0.2, 0.3]))
pq.write_table(scored, "pyarrow.parquet")
pq.write_table(scored.replace_schema_metadata(None), "replaced.parquet")
pd.read_parquet("features").assign(score=0.5).to_parquet("pandas.parquet")
pl.read_parquet("features/*.parquet").with_columns(score=0.5).write_parquet("polars.parquet")
found = {name: spark.read.parquet(f"{name}.parquet").columns for name in ("pyarrow", "replaced", "pandas", "polars")}
spark.stop()
found["pyarrow in duckdb"] = duckdb.sql("from 'pyarrow.parquet'").columns
for name, columns in found.items():
    print(f"{name:18} {columns}")
both = ["id", "score"]
assert found == {"pyarrow": ["id"], "replaced": both, "pandas": both, "polars": both, "pyarrow in duckdb": both}
PY
