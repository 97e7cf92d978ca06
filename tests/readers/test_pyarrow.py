"""The output in PyArrow, as a dataset and as a table; `date` is text there unless a partition schema says otherwise."""

import datetime
import glob

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from published import FORMS

DATE = ds.partitioning(pa.schema([("date", pa.date32())]), flavor="hive")


def dataset(published, form, partitioning="hive"):
    """PyArrow knows no globs, so Python expands them, as people do."""
    if not form:
        return ds.dataset(published.root, partitioning=partitioning)
    files = sorted(glob.glob(f"{published.root}/{form}", recursive=True))
    return ds.dataset(files, partitioning=partitioning, partition_base_dir=str(published.root))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_path_gives_the_rows_of_the_files(published, form):
    published.assert_same(dataset(published, form).to_table())


@pytest.mark.parametrize("form", FORMS)
def test_types_are_those_that_an_analyst_expects(published, form):
    schema = dataset(published, form, DATE).schema
    assert schema.field("date").type == pa.date32()
    assert schema.field("inference_timestamp").type == pa.timestamp("us", tz="UTC")
    for name, size in published.vector_columns().items():
        assert pa.types.is_fixed_size_list(schema.field(name).type)
        assert schema.field(name).type.list_size == size


def test_a_table_is_read_from_the_folder(published):
    published.assert_same(pq.read_table(published.root))


def test_one_date_can_be_asked_for(published):
    for date in published.dates:
        only = ds.field("date") == pa.scalar(datetime.date.fromisoformat(date))
        published.assert_same(dataset(published, "", DATE).to_table(filter=only), [date])
