"""The output in DuckDB, which finds `date` in the path by itself."""

import duckdb
import pytest

from published import FORMS


def read(published, form, where="true"):
    return duckdb.sql(f"select * from read_parquet('{published.root}/{form}') where {where}")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_path_gives_the_rows_of_the_files(published, form):
    published.assert_same(read(published, form).to_arrow_table())


@pytest.mark.parametrize("form", FORMS)
def test_date_of_the_path_is_a_date(published, form):
    relation = read(published, form)
    types = dict(zip(relation.columns, map(str, relation.types)))
    assert types["date"] == "DATE"
    assert types["inference_timestamp"] == "TIMESTAMP WITH TIME ZONE"


def test_one_date_can_be_asked_for(published):
    for date in published.dates:
        table = read(published, "**/*.parquet", f"date = DATE '{date}'").to_arrow_table()
        published.assert_same(table, [date])


def test_embeddings_are_lists_of_the_size_that_the_contract_states(published):
    relation = read(published, "")
    types = dict(zip(relation.columns, map(str, relation.types)))
    for name, size in published.vector_columns().items():
        # Parquet has no lists of fixed size; DuckDB goes by Parquet alone. A cast to FLOAT[n] makes them arrays.
        assert types[name] == "FLOAT[]"
        assert relation.aggregate(f"count(distinct len({name})), min(len({name}))").fetchall() == [(1, size)]
        assert relation.project(f"{name}::FLOAT[{size}] as a").aggregate("count(a)").fetchall() != [(0,)]
