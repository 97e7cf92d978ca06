"""The arithmetic of metadata.json in numpy, written for clarity: the oracle of the golden files.

  derived      Polars SQL, row by row
  numeric      value, or `impute` where null; log1p; (x - mean) * (1 / std); clip; all in float32
  categorical  position in `vocabulary` + 1, or `oov_index` for null and unknown values
  text         ids by tokenizer.json, cut at `max_tokens`, padded on the right; mask 1 for a token
  output       activation of the model's result, then the threshold or the label of the greatest
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import torch
from tokenizers import Tokenizer

DAY_US = 86_400_000_000


def with_derived(metadata: dict, table: pa.Table) -> pa.Table:
    """The table and the columns that the contract derives from it."""
    for derived in metadata.get("derived", []):
        column = pl.from_arrow(table).select(pl.sql_expr(derived["sql"])).to_series()
        table = table.append_column(derived["name"], column.to_arrow())
    return table


def as_number(column: pa.ChunkedArray, cast: str | None) -> pa.ChunkedArray:
    """A column whose values numpy knows as numbers."""
    if cast == "float":
        return column.cast(pa.float64())
    if cast == "epoch_days":
        us = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        return pc.floor(pc.divide(us.cast(pa.float64()), float(DAY_US)))
    return column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column


def numeric(feature: dict, column: pa.ChunkedArray) -> np.ndarray:
    column = as_number(column, feature.get("cast"))
    missing = column.is_null().to_numpy()
    x = pc.fill_null(column, pa.scalar(0, column.type)).to_numpy().astype(np.float32)
    if missing.any():
        x[missing] = np.float32(feature["impute"])
    if feature.get("log1p"):
        x = np.log1p(x)
    if "mean" in feature:
        x = x - np.float32(feature["mean"])
    if "std" in feature:
        x = x * np.float32(1.0 / feature["std"])
    if "clip" in feature:
        x = np.clip(x, *np.array(feature["clip"], np.float32))
    assert x.dtype == np.float32
    return x


def categorical(feature: dict, column: pa.ChunkedArray) -> np.ndarray:
    positions = {value: i + 1 for i, value in enumerate(feature["vocabulary"])}
    codes = [positions.get(value, feature["oov_index"]) for value in column.to_pylist()]
    return np.array(codes, np.int64)


def tokens(feature: dict, column: pa.ChunkedArray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask, as wide as the longest text."""
    tokenizer = Tokenizer.from_file(str(folder / feature["tokenizer"]))
    tokenizer.enable_truncation(feature["max_tokens"])
    tokenizer.no_padding()
    found = [tokenizer.encode(text).ids for text in column.to_pylist()]
    shape = (len(found), max(map(len, found)))
    ids, mask = np.full(shape, feature["pad_id"], np.int64), np.zeros(shape, np.int64)
    for row, document in enumerate(found):
        ids[row, : len(document)] = document
        mask[row, : len(document)] = 1
    return ids, mask


def model_inputs(metadata: dict, table: pa.Table, folder: Path) -> list[torch.Tensor]:
    """The tensors that the model takes, in call order."""
    table = with_derived(metadata, table)
    features = {feature["name"]: feature for feature in metadata["features"]}
    inputs = []
    for wanted in metadata["inputs"]:
        columns = []
        for feature in map(features.get, wanted["columns"]):
            column = table[feature["name"]]
            if feature["kind"] == "text":
                ids, mask = tokens(feature, column, folder)
                columns = mask if wanted["name"] == "attention_mask" else ids
            elif feature["kind"] == "categorical":
                columns.append(categorical(feature, column))
            else:
                columns.append(numeric(feature, column))
        stacked = np.stack(columns, axis=1) if isinstance(columns, list) else columns
        inputs.append(torch.from_numpy(np.ascontiguousarray(stacked)))
    return inputs


def output_columns(metadata: dict, result: torch.Tensor) -> dict[str, pa.Array]:
    """What is published of the model's result, with the decision as the last column."""
    output = metadata["outputs"][0]
    if output["activation"] == "sigmoid":
        result = torch.sigmoid(result)
    elif output["activation"] == "softmax":
        result = torch.softmax(result, dim=1)
    values = result.numpy()
    width = output["shape"][1]
    if "columns" in output:
        columns = {name: pa.array(values[:, k]) for k, name in enumerate(output["columns"])}
    elif width == 1:
        columns = {output["column"]: pa.array(values[:, 0])}
    else:
        flat = pa.array(values.reshape(-1))
        columns = {output["column"]: pa.FixedSizeListArray.from_arrays(flat, width)}
    if decision := metadata.get("decision"):
        if "threshold" in decision:
            decided = pa.array((values[:, 0] >= np.float32(decision["threshold"])).astype(np.int8))
        else:
            decided = pa.array([decision["labels"][k] for k in values.argmax(axis=1)])
        columns[decision["column"]] = decided
    return columns
