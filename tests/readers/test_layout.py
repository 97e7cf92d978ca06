"""What lies on the disk: partitions of Parquet and nothing else, so that a reader of the folder meets only predictions."""

import re

import pyarrow as pa
import pyarrow.parquet as pq


def test_below_the_output_lie_only_parquet_files_of_dates_and_their_empty_markers(published):
    paths = [path.relative_to(published.root).as_posix() for path in published.root.rglob("*") if not path.is_dir()]
    assert paths
    for path in paths:
        assert re.fullmatch(r"date=\d{4}-\d\d-\d\d/([^/_.][^/]*\.parquet|_SUCCESS)", path), path
    markers = list(published.root.rglob("_SUCCESS"))
    assert len(markers) == len(published.dates)
    assert all(marker.stat().st_size == 0 for marker in markers)


def test_state_lies_beside_the_output_and_not_below_it(published):
    beside = {path for path in published.root.parent.iterdir()}
    assert beside <= {published.root, published.state}


def test_every_date_of_the_input_has_a_partition(published):
    folders = sorted(path.name for path in published.root.iterdir())
    assert folders == [f"date={date}" for date in published.dates]


def test_columns_and_types_are_those_of_the_job_and_the_contract(published):
    expected = published.schema()
    for file in published.files():
        found = pq.ParquetFile(file).schema_arrow
        assert found.names == expected.names
        for field in expected:
            assert same_type(found.field(field.name).type, field.type), field.name


def test_rows_keep_the_order_of_the_input(published):
    for date in published.dates:
        carried = published.features(date)
        files = [pq.ParquetFile(file).read(columns=carried.column_names) for file in published.files(date)]
        found = pa.concat_tables(files).select(carried.column_names)
        assert found.to_pylist() == carried.to_pylist()


def test_every_row_says_which_model_made_it(published):
    for date in published.dates:
        for file in published.files(date):
            table = pq.ParquetFile(file).read()
            assert set(table["model_name"].to_pylist()) == {published.contract["name"]}
            assert set(table["model_version"].to_pylist()) == {published.contract["version"]}
            # One run made the file, at one time.
            assert len(set(table["run_id"].to_pylist())) == 1
            assert len(set(table["inference_timestamp"].to_pylist())) == 1


def same_type(found, expected):
    """Equal types; of a list the name and nullability of its element do not matter to a reader."""
    if pa.types.is_fixed_size_list(expected):
        same_size = pa.types.is_fixed_size_list(found) and found.list_size == expected.list_size
        return same_size and found.value_type == expected.value_type
    return found == expected
