"""Makes the files beside it with writers that are too large to install for every test.

    pip install pyspark==4.3.0     # and Java 17
    python make.py spark
    pip install chdb==4.4.0        # ClickHouse
    python make.py clickhouse

The columns `small`, `medium`, `large` and `at` are those of the model `raw-integers`, which gives `at` back as
microseconds; `../test_written.py` states what the other columns must become.
"""

import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent

# The ends of Spark's calendar, a moment beyond either end of what 64 bits of nanoseconds hold, one before the epoch, and today.
MOMENTS = [
    "0001-01-01 00:00:00",
    "1677-09-21 00:12:43",
    "1969-12-31 23:59:59.999999",
    "2026-11-19 12:34:56.789012",
    "2262-04-11 23:47:17",
    "9999-12-31 23:59:59.999999",
]


def spark():
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[1]").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    moments = ", ".join(f"({k}, timestamp'{moment}')" for k, moment in enumerate(MOMENTS))
    rows = session.sql(
        f"""
        select cast(k as bigint) as k, cast(0 as tinyint) as small, 0 as medium, cast(0 as bigint) as large, at,
            if(k = 2, null, at) as maybe,
            named_struct('at', at, 'n', k) as inside,
            array(at, null) as several,
            map('first', at) as named,
            array(named_struct('at', at)) as deep
        from values {moments} as t(k, at)
        """
    )
    written("spark-4.3.0-int96.parquet", rows.coalesce(1).write)
    plain = rows.coalesce(1).write.option("parquet.enable.dictionary", "false").option("parquet.writer.version", "v2")
    written("spark-4.3.0-int96-plain-v2.parquet", plain)
    session.stop()


def written(name, writer):
    """Spark writes folders; the only part of one becomes the file."""
    with tempfile.TemporaryDirectory() as folder:
        writer.parquet(f"{folder}/out")
        (part,) = pathlib.Path(folder, "out").glob("part-*.parquet")
        shutil.copy(part, HERE / name)


def clickhouse():
    import chdb

    file = HERE / "clickhouse-26.9-enum.parquet"
    file.unlink(missing_ok=True)
    chdb.query(
        f"""
        insert into function file('{file}', Parquet)
        select toInt64(number) as k, toInt8(0) as small, toInt32(0) as medium, toInt64(0) as large,
            toDateTime64('2026-11-19 12:34:56.789012', 6, 'UTC') as at,
            cast(['free', 'pro', 'größer'][number % 3 + 1] as Enum8('free' = 1, 'pro' = 2, 'größer' = 3)) as plan,
            [plan] as plans
        from numbers(6)
        """
    )


if __name__ == "__main__":
    {"spark": spark, "clickhouse": clickhouse}[sys.argv[1]]()
