#!/usr/bin/env bash
# Is `_SUCCESS` a sign that a folder is whole? Not while Spark appends to it.
#
# pyspark 4.3.0 (Java 17), pyarrow 26.0.1 (which a UDF of PySpark 4.3 needs).
#
# Expected: a job that starts to write takes the marker away, and puts it back at its end.
# Found: with mode("append") the marker of the job before stays for as long as the new one writes, beside `_temporary/`.
# With mode("overwrite") it is gone, together with all files, from the start. A reader that waits for `_SUCCESS` must look
# for `_temporary/` as well, and a marker that is older than `_temporary/` says nothing.
#
# The task lists the folder that it writes to, so nothing depends on time. Seen:
#   append     ['_SUCCESS', '_temporary', 'part']
#   overwrite  ['_temporary']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pyspark==4.3.0 pyarrow==26.0.1
PYSPARK_PYTHON=$folder/venv/bin/python venv/bin/python - <<'PY'
import os
import pathlib

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

spark = SparkSession.builder.master("local[1]").config("spark.ui.showConsoleProgress", "false").getOrCreate()
folder, note = os.path.abspath("written"), os.path.abspath("note")
spark.range(3).coalesce(1).write.parquet(folder)


@udf("bigint")
def look(value):
    """What stands in the folder while a task writes to it."""
    names = [name.split("-")[0] for name in os.listdir(folder) if not name.startswith(".")]
    with open(note, "w") as file:
        file.write(str(sorted(names)))
    return value


found = {}
for mode in ("append", "overwrite"):
    spark.range(1).select(look("id").alias("id")).write.mode(mode).parquet(folder)
    found[mode] = pathlib.Path(note).read_text()
    print(f"{mode:10} {found[mode]}")
spark.stop()
assert found == {"append": "['_SUCCESS', '_temporary', 'part']", "overwrite": "['_temporary']"}
PY
