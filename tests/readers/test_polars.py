"""The output in Polars, which finds `date` in the path of a folder by itself and in globs when asked."""

import datetime

import polars as pl
import pytest

from published import FORMS


def scan(published, form):
    return pl.scan_parquet(f"{published.root}/{form}", hive_partitioning=True)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_path_gives_the_rows_of_the_files(published, form):
    published.assert_same(scan(published, form).collect().to_arrow())


@pytest.mark.parametrize("form", FORMS)
def test_types_are_those_that_an_analyst_expects(published, form):
    schema = scan(published, form).collect_schema()
    assert schema["date"] == pl.Date
    assert schema["inference_timestamp"] == pl.Datetime("us", "UTC")
    for name, size in published.vector_columns().items():
        assert schema[name] == pl.Array(pl.Float32, size)


def test_a_folder_alone_has_the_date(published):
    published.assert_same(pl.read_parquet(published.root).to_arrow())


def test_one_date_can_be_asked_for(published):
    for date in published.dates:
        only = scan(published, "").filter(pl.col("date") == datetime.date.fromisoformat(date))
        published.assert_same(only.collect().to_arrow(), [date])
