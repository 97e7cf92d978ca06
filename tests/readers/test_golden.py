"""The predictions themselves, against those that the training script computed for the same rows in Python."""

import math

import pyarrow.parquet as pq
import pytest

# Both compute in float32 and sum in another order; sample_data/README.md promises agreement within this.
TOLERANCE = 1e-5


def test_predictions_are_those_of_the_training_script(published):
    golden_file = published.model_folder / "golden.parquet"
    if not golden_file.exists():
        pytest.skip(f"no {golden_file}")
    golden = pq.ParquetFile(golden_file).read()
    columns = [name for name in golden.column_names if name in predicted(published)]
    assert columns == predicted(published)
    found = {key_of(published, row): row for row in published.rows()}
    for row in golden.to_pylist():
        ours = found[key_of(published, row)]
        for column in columns:
            assert close(ours[column], row[column]), f"{column} of {key_of(published, row)}"


def predicted(published):
    """Names of the columns that come from the model."""
    carried = published.features(published.dates[0]).column_names
    lineage = ["model_name", "model_version", "inference_timestamp", "run_id"]
    return [name for name in published.schema().names if name not in carried + lineage]


def key_of(published, row):
    return tuple(row[key] for key in published.keys)


def close(ours, golden):
    if isinstance(golden, list):
        return len(ours) == len(golden) and all(map(close, ours, golden))
    if isinstance(golden, float):
        return math.isclose(ours, golden, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return ours == golden
