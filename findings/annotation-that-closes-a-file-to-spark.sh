#!/usr/bin/env bash
# The same bytes with and without the annotation UUID: with it, Spark opens nothing of the file.
#
# pyspark 4.3.0 (Java 17), pyarrow 26.0.1.
#
# Expected: a reader that has no type for UUID shows its 16 bytes, as it does without the annotation, or leaves the column out.
# Found: Spark shows 16 bytes without an annotation as binary, and refuses the whole file where the column is a UUID, also where
# `id` alone is asked for. It does the same for a decimal of more than 38 digits and for a time of day, though Spark 4.3 has a type TIME.
# JSON becomes a string. One such column that is carried along closes a data set to everyone who reads it with Spark.
#
# Seen, what `select("id")` gives:
#   bytes    [0, 1]
#   uuid     PARQUET_TYPE_ILLEGAL
#   json     [0, 1]
#   time     UNSUPPORTED_TIME_TYPE
#   decimal  DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pyspark==4.3.0 pyarrow==26.0.1
venv/bin/python - <<'PY' 2>/dev/null
import datetime
import decimal
import os
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

NAMES = [uuid.UUID(int=7).bytes, uuid.UUID(int=8).bytes]
COLUMNS = {
    "bytes": (pa.array(NAMES, pa.binary(16)), [0, 1]),
    "uuid": (pa.array(NAMES, pa.uuid()), "PARQUET_TYPE_ILLEGAL"),
    "json": (pa.array(["{}", "[]"], pa.json_()), [0, 1]),
    "time": (pa.array([datetime.time(1), datetime.time(2)], pa.time64("us")), "UNSUPPORTED_TIME_TYPE"),
    "decimal": (pa.array([decimal.Decimal(1)] * 2, pa.decimal256(39, 0)), "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION"),
}
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
spark = spark.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
for name, (column, expected) in COLUMNS.items():
    path = os.path.abspath(f"{name}.parquet")
    pq.write_table(pa.table({"id": [0, 1], name: column}), path)
    try:
        found = sorted(row.id for row in spark.read.parquet(path).select("id").collect())
    except PySparkException as error:
        found = error.getCondition()
    except Exception as error:  # what Java throws without a class in Python
        found = str(error).partition("[")[2].partition("]")[0]
    print(f"{name:8} {found}", flush=True)
    assert found == expected, (name, found)
spark.stop()
PY
