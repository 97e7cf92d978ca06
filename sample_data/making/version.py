"""A model version's folder: `models/<name>/<version>/{model.pt,metadata.json,golden.parquet}`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from . import contract, model, partition


def fitted(feature: dict, column: pa.ChunkedArray) -> dict:
    """A numeric feature with `mean` and `std` of the training rows."""
    x = contract.numeric(feature, column).astype(np.float64)
    # Six digits are more than the estimate is worth, and readable.
    mean, std = (float(f"{value:.6g}") for value in (x.mean(), x.std()))
    return feature | {"mean": mean, "std": std, "clip": [-5.0, 5.0]}


def tensors(features: list[dict]) -> list[dict]:
    """The inputs of a tabular model: the numbers, then the categories."""
    inputs = []
    for name, dtype, categories in (("dense", "float32", False), ("categories", "int64", True)):
        columns = [f["name"] for f in features if (f["kind"] == "categorical") == categories]
        shape = [-1, len(columns)]
        inputs.append({"name": name, "dtype": dtype, "shape": shape, "columns": columns})
    return inputs


def write(folder: Path, metadata: dict, module: torch.nn.Module, rows: pa.Table) -> None:
    """Saves the model, writes its metadata, and scores `rows` with what has been saved."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_torchscript(module, folder / "model.pt")
    stated = {key: metadata.pop(key) for key in ("name", "version", "created_at")}
    stated |= {
        "format": "torchscript",
        "sha256": hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest(),
        "torch_version": torch.__version__.split("+")[0],
    }
    text = json.dumps(stated | metadata, indent=2, ensure_ascii=False)
    (folder / "metadata.json").write_text(text + "\n")
    write_golden(folder, rows)


def write_golden(folder: Path, rows: pa.Table) -> None:
    """Inputs and what they must become. Row by row: nothing may depend on a row's neighbours."""
    metadata = json.loads((folder / "metadata.json").read_text())
    loaded = torch.jit.load(folder / "model.pt")
    results = []
    with torch.inference_mode():
        for i in range(rows.num_rows):
            results.append(loaded(*contract.model_inputs(metadata, rows.slice(i, 1), folder)))
        together = loaded(*contract.model_inputs(metadata, rows, folder))
    alone = torch.cat(results)
    assert torch.allclose(alone, together, rtol=0, atol=1e-5), "a row depends on its neighbours"
    for name, column in contract.output_columns(metadata, alone).items():
        rows = rows.append_column(name, column)
    partition.write_file(rows, folder / "golden.parquet")


def golden_rows(table: pa.Table, unusual: dict[str, np.ndarray], count: int = 50) -> pa.Table:
    """A few rows of each unusual kind, and rows from everywhere, in the order of the table."""
    picked = np.array([], int)
    for kind, rows in (nulls(table) | unusual).items():
        rows = np.flatnonzero(rows)
        assert len(rows), f"no row is unusual by its {kind}"
        picked = np.union1d(picked, spread(rows, 4))
    others = np.setdiff1d(np.arange(table.num_rows), picked)
    picked = np.union1d(picked, spread(others, count - len(picked)))
    return table.take(picked).combine_chunks()


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, evenly apart."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), count)).astype(int)]


def nulls(table: pa.Table) -> dict[str, np.ndarray]:
    """For each column with nulls, where they are."""
    columns = {name: table[name] for name in table.column_names if table[name].null_count}
    return {f"null {name}": pc.is_null(column).to_numpy() for name, column in columns.items()}


def write_alias(model_folder: Path, alias: str, version: str) -> None:
    path = model_folder / "aliases" / alias
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(version + "\n")
