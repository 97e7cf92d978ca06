"""The output in pandas, which reads a folder with `date`, and single files without it."""

import glob

import pandas as pd
import pyarrow as pa
import pytest

from published import FORMS


def read(published, form):
    """pandas knows no globs, so Python expands them and the path gives the date, as people do."""
    if not form:
        return pd.read_parquet(published.root)
    files = sorted(glob.glob(f"{published.root}/{form}", recursive=True))
    frames = [pd.read_parquet(file, partitioning=None) for file in files]
    dates = [file.split("date=")[-1].split("/")[0] for file in files]
    return pd.concat([frame.assign(date=date) for frame, date in zip(frames, dates)], ignore_index=True)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_path_gives_the_rows_of_the_files(published, form):
    published.assert_same(pa.Table.from_pandas(read(published, form)))


@pytest.mark.parametrize("form", FORMS)
def test_types_are_those_that_an_analyst_expects(published, form):
    frame = read(published, form)
    assert str(frame["inference_timestamp"].dtype) == "datetime64[us, UTC]"
    for name, size in published.vector_columns().items():
        assert set(frame[name].map(len)) == {size}
    expected = published.schema()
    for field in expected:
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            # No null has turned whole numbers into floats, or single precision into double.
            assert frame[field.name].dtype == field.type.to_pandas_dtype()


def test_one_date_can_be_asked_for(published):
    for date in published.dates:
        only = pd.read_parquet(published.root, filters=[("date", "==", date)])
        published.assert_same(pa.Table.from_pandas(only), [date])
