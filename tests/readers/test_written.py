"""Input that other programs wrote, scored by the binary, and the output in the hands of readers.

The files in `written/` are those of `written/make.py`. The model hands the column `at` back as microseconds.
"""

import base64
import datetime
import os
import pathlib
import shutil
import subprocess
import uuid

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from published import REPOSITORY, RUN_SECONDS

DATE = "2026-11-19"
WRITTEN = pathlib.Path(__file__).resolve().parent / "written"
INT96 = ["spark-4.3.0-int96.parquet", "spark-4.3.0-int96-plain-v2.parquet"]
CARRIED = ["at", "maybe", "inside", "several", "named", "deep"]

UTC = datetime.timezone.utc
MOMENTS = [
    datetime.datetime(1, 1, 1, tzinfo=UTC),
    datetime.datetime(1677, 9, 21, 0, 12, 43, tzinfo=UTC),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime.datetime(2026, 11, 19, 12, 34, 56, 789012, tzinfo=UTC),
    datetime.datetime(2262, 4, 11, 23, 47, 17, tzinfo=UTC),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]


def day_of(tmp_path):
    """The folder of the date, made."""
    day = tmp_path / "in" / f"date={DATE}"
    day.mkdir(parents=True)
    return day


def scored(tmp_path, name, carried):
    """Scores one of the written files and gives the published file."""
    shutil.copy(WRITTEN / name, day_of(tmp_path))
    done = run(tmp_path, carried)
    assert done.returncode == 0, done.stderr
    return published(tmp_path)


def published(tmp_path):
    return tmp_path / "out" / f"date={DATE}" / "part-00000.parquet"


def run(tmp_path, carried):
    """Scores what lies in the folder of the date."""
    job = tmp_path / "job.toml"
    job.write_text(
        f"""
        version = 1
        name = "written"
        [input]
        path = "{tmp_path}/in/date={{date}}/"
        keys = ["k"]
        passthrough = {carried}
        [model]
        registry = "{REPOSITORY}/tests/models"
        name = "raw-integers"
        version = "1"
        [output]
        path = "{tmp_path}/out"
        """
    )
    command = [os.environ["BATCH_INFER_BIN"], "run", "--job", job, "--date", DATE]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=RUN_SECONDS)


def micros(moment):
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=UTC)) // datetime.timedelta(microseconds=1)


@pytest.mark.parametrize("name", INT96)
def test_int96_of_spark_reaches_the_model_as_microseconds(tmp_path, name):
    table = pq.ParquetFile(scored(tmp_path, name, [])).read()
    assert table["k"].to_pylist() == list(range(len(MOMENTS)))
    assert table["micros"].to_pylist() == [micros(moment) for moment in MOMENTS]


@pytest.mark.parametrize("name", INT96)
def test_int96_of_spark_is_carried_as_microseconds_in_utc_wherever_it_stands(tmp_path, name):
    file = pq.ParquetFile(scored(tmp_path, name, CARRIED))
    assert all(file.schema.column(i).physical_type != "INT96" for i in range(len(file.schema)))
    moment = pa.timestamp("us", tz="UTC")
    found = file.schema_arrow
    assert found.field("at").type == moment
    assert found.field("maybe").type == moment
    assert found.field("inside").type.field("at").type == moment
    assert found.field("several").type.value_type == moment
    assert found.field("named").type.item_type == moment
    assert found.field("deep").type.value_type.field("at").type == moment
    assert file.read(columns=CARRIED).to_pylist() == [
        {
            "at": moment,
            "maybe": None if k == 2 else moment,
            "inside": {"at": moment, "n": k},
            "several": [moment, None],
            "named": [("first", moment)],
            "deep": [{"at": moment}],
        }
        for k, moment in enumerate(MOMENTS)
    ]


@pytest.mark.parametrize("name", INT96)
def test_carried_int96_is_an_instant_in_duckdb_and_polars(tmp_path, name):
    file = scored(tmp_path, name, CARRIED)
    # `at` is a word of DuckDB's SQL.
    places = ['"at"', 'inside."at"', "several[1]", "named['first']", 'deep[1]."at"']
    types = duckdb.sql(f"select {', '.join(places)} from '{file}'").types
    assert set(map(str, types)) == {"TIMESTAMP WITH TIME ZONE"}
    instants = ", ".join(f"epoch_us({place})" for place in places)
    found = duckdb.sql(f"select {instants} from '{file}' order by k").fetchall()
    assert found == [(micros(moment),) * len(places) for moment in MOMENTS]
    frame = pl.read_parquet(file, columns=["at", "maybe"])
    assert frame.dtypes == [pl.Datetime("us", "UTC")] * 2
    assert frame["at"].dt.timestamp("us").to_list() == [micros(moment) for moment in MOMENTS]


def test_enum_of_clickhouse_is_carried_as_text(tmp_path):
    file = pq.ParquetFile(scored(tmp_path, "clickhouse-26.9-enum.parquet", ["plan", "plans"]))
    plans = ["free", "pro", "größer", "free", "pro", "größer"]
    assert file.schema_arrow.field("plan").type == pa.string()
    assert file.schema_arrow.field("plans").type.value_type == pa.string()
    assert file.read(columns=["plan", "plans"]).to_pylist() == [{"plan": plan, "plans": [plan]} for plan in plans]


class Keys(pe.KmsClient):
    """A service of keys that hands them out as they are."""

    def __init__(self, _connection):
        super().__init__()

    def wrap_key(self, key, _master):
        return base64.b64encode(key)

    def unwrap_key(self, wrapped, _master):
        return base64.b64decode(wrapped)


def write_encrypted(path, columns):
    """Writes a file of which these columns are encrypted, and the footer is not."""
    table = pa.table(
        {
            "k": pa.array([0, 1], pa.int64()),
            "small": pa.array([1, 1], pa.int8()),
            "medium": pa.array([1, 1], pa.int32()),
            "large": pa.array([1, 1], pa.int64()),
            "at": pa.array([5, 6], pa.int64()),
            "secret": ["a", "b"],
        }
    )
    config = pe.EncryptionConfiguration(footer_key="footer", column_keys={"columns": columns}, plaintext_footer=True)
    properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), config)
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)


def test_encrypted_columns_that_nobody_reads_do_not_matter(tmp_path):
    write_encrypted(day_of(tmp_path) / "part-0.parquet", ["secret"])
    done = run(tmp_path, [])
    assert done.returncode == 0, done.stderr
    assert pq.ParquetFile(published(tmp_path)).read(columns=["k", "micros"]).to_pydict() == {"k": [0, 1], "micros": [5, 6]}


@pytest.mark.parametrize("columns, carried", [(["large"], []), (["k", "secret"], []), (["secret"], ["secret"])])
def test_an_encrypted_column_that_is_read_is_refused_by_its_name(tmp_path, columns, carried):
    write_encrypted(day_of(tmp_path) / "part-0.parquet", columns)
    done = run(tmp_path, carried)
    assert done.returncode == 13, done.stderr
    assert f"part-0.parquet` encrypts the column `{columns[0]}`" in done.stderr, done.stderr
    assert "without encryption" in done.stderr
    assert not published(tmp_path).exists()


def model_columns(rows):
    """The columns that the model and the key need."""
    return {
        "k": pa.array(range(rows), pa.int64()),
        "small": pa.array([1] * rows, pa.int8()),
        "medium": pa.array([1] * rows, pa.int32()),
        "large": pa.array([1] * rows, pa.int64()),
        "at": pa.array([5] * rows, pa.int64()),
    }


DAYS = pa.array([datetime.date(2026, 11, 19), datetime.date(1969, 12, 31), None], pa.date64())
NAMES = pa.array([uuid.UUID(int=7).bytes, uuid.UUID(int=8).bytes, None], pa.uuid())
DOCUMENTS = pa.array(['{"a": 1}', "[]", None], pa.json_())


def typed_columns():
    """Columns whose Parquet type says more than Arrow's storage does, at the top and inside others."""
    return {
        "day": DAYS,
        "name": NAMES,
        "document": DOCUMENTS,
        "days": pa.ListArray.from_arrays([0, 2, 3, 3], DAYS),
        "names": pa.ListArray.from_arrays([0, 2, 3, 3], NAMES),
        "both": pa.StructArray.from_arrays([NAMES, DAYS, DOCUMENTS], names=["name", "day", "document"]),
        "by_text": pa.MapArray.from_arrays([0, 1, 1, 2], pa.array(["a", "b"]), NAMES[:2]),
    }


@pytest.mark.parametrize("options", [{}, {"store_schema": False}, {"use_dictionary": False, "compression": "zstd"}])
def test_carried_columns_keep_their_types_wherever_they_stand(tmp_path, options):
    given = day_of(tmp_path) / "part-0.parquet"
    columns = typed_columns()
    pq.write_table(pa.table(model_columns(3) | columns), given, **options)
    done = run(tmp_path, list(columns))
    assert done.returncode == 0, done.stderr
    found = pq.ParquetFile(published(tmp_path))
    leaves = {}
    for place in range(len(found.schema)):
        leaf = found.schema.column(place)
        leaves[leaf.path] = (str(leaf.logical_type), leaf.physical_type)
    assert {path: leaf for path, leaf in leaves.items() if path.split(".")[0] in columns} == {
        "day": ("Date", "INT32"),
        "name": ("UUID", "FIXED_LEN_BYTE_ARRAY"),
        "document": ("JSON", "BYTE_ARRAY"),
        "days.list.element": ("Date", "INT32"),
        "names.list.element": ("UUID", "FIXED_LEN_BYTE_ARRAY"),
        "both.name": ("UUID", "FIXED_LEN_BYTE_ARRAY"),
        "both.day": ("Date", "INT32"),
        "both.document": ("JSON", "BYTE_ARRAY"),
        "by_text.key_value.key": ("String", "BYTE_ARRAY"),
        "by_text.key_value.value": ("UUID", "FIXED_LEN_BYTE_ARRAY"),
    }
    names = ", ".join(f'"{name}"' for name in columns)
    rows = [f"select {names} from read_parquet('{file}', hive_partitioning=false) order by k" for file in (given, published(tmp_path))]
    given, carried = map(duckdb.sql, rows)
    assert list(map(str, carried.types)) == list(map(str, given.types))
    assert carried.fetchall() == given.fetchall()


@pytest.mark.skipif(int(duckdb.__version__.split(".")[0]) < 2, reason="writes no VARIANT")
def test_times_with_a_zone_and_variants_of_duckdb_keep_their_types(tmp_path):
    given = day_of(tmp_path) / "part-0.parquet"
    rows = "select i as k, 1::tinyint as small, 1::int as medium, 1::bigint as large, 5::bigint as at"
    typed = "'12:00:00+02'::timetz as clock, (i::int)::variant as anything, [uuid()] as names"
    duckdb.sql(f"copy ({rows}, {typed} from range(3) t(i)) to '{given}'")
    done = run(tmp_path, ["clock", "anything", "names"])
    assert done.returncode == 0, done.stderr
    columns = "clock, anything::varchar, names"
    kinds = [str(kind) for kind in duckdb.sql(f"select clock, anything, names from '{published(tmp_path)}'").types]
    assert kinds == ["TIME WITH TIME ZONE", "VARIANT", "UUID[]"]
    of = lambda file: duckdb.sql(f"select {columns} from read_parquet('{file}', hive_partitioning=false) order by k").fetchall()
    assert of(published(tmp_path)) == of(given)


def test_keys_are_optional_also_where_the_input_has_no_nulls(tmp_path):
    schema = pa.schema([pa.field(name, column.type, nullable=False) for name, column in model_columns(3).items()])
    pq.write_table(pa.table(model_columns(3), schema=schema), day_of(tmp_path) / "part-0.parquet")
    done = run(tmp_path, ["large"])
    assert done.returncode == 0, done.stderr
    found = pq.ParquetFile(published(tmp_path)).schema_arrow
    assert found.field("k").nullable and found.field("large").nullable
    assert not found.field("micros").nullable
