#!/usr/bin/env python3
"""Make the models of `tests/it/models.rs`: forms of input and result that the sample models lack.

    python tests/models/make.py

replaces the folders beside this file. Each model is a closed formula with small whole weights, so
that the tests can state what it must give; none is trained. Packages as for `sample_data/make.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Dict, Tuple

if __name__ == "__main__" and os.environ.get("PYTHONHASHSEED") != "0":
    # As in sample_data/make.py: names of constants are written in the order of a set.
    os.execve(sys.executable, sys.orig_argv, os.environ | {"PYTHONHASHSEED": "0"})

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "sample_data"))

import torch
from making.model import save_torchscript
from torch import Tensor, nn


class DictResult(nn.Module):
    """A dict whose keys come in another order than the contract's outputs."""

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        a, b = x[:, 0], x[:, 1]
        return {"total": a + b, "product": (a * b).unsqueeze(1), "scaled": 3 * a - b}


class TupleResult(nn.Module):
    """A tuple, of a vector, a scalar, and a scalar that loses its row in a batch of one."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        a, b = x[:, :1], x[:, 1:]
        return torch.cat([a, b, a - b], dim=1), a + 2 * b, (a * b).squeeze()


class ThreeTensors(nn.Module):
    """Three tensors of three types, each of which is insisted on."""

    def forward(self, dense: Tensor, ids: Tensor, half: Tensor) -> Tensor:
        assert dense.dtype == torch.float32
        assert ids.dtype == torch.int64
        assert half.dtype == torch.float16
        ids = ids.float()
        return dense[:, 0] + 2 * dense[:, 1] + 10 * ids[:, 0] + 100 * ids[:, 1] + half.float()[:, 0]


class VectorAndScalars(nn.Module):
    """A vector of four between scalars in one tensor; each place has its own weight."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.tensor([1.0, 10.0, 20.0, 30.0, 40.0, 1000.0])


class RawIntegers(nn.Module):
    """Integers that no float32 holds, and times, handed over as they are."""

    def forward(self, small: Tensor, medium: Tensor, large: Tensor) -> Tuple[Tensor, Tensor]:
        assert small.dtype == torch.int8
        assert medium.dtype == torch.int32
        assert large.dtype == torch.int64
        return small[:, 0] + medium[:, 0] + large[:, 0], large[:, 1]


class Image(nn.Module):
    """Pixels as channels, rows and columns, and a grid of scalar columns."""

    def forward(self, pixels: Tensor, grid: Tensor) -> Tensor:
        assert pixels.dim() == 4 and pixels.size(1) == 3
        channel = torch.tensor([100.0, 200.0, 300.0]).reshape(3, 1, 1)
        row = torch.tensor([10.0, 20.0]).reshape(1, 2, 1)
        column = torch.tensor([1.0, 2.0]).reshape(1, 1, 2)
        corners = torch.tensor([[1.0, 10.0], [100.0, 1000.0]])
        return (pixels * (channel + row + column)).sum([1, 2, 3]) + (grid * corners).sum([1, 2])


class FlagAndCount(nn.Module):
    """A bool, and an integer that no float32 holds."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        return x[:, 0] > x[:, 1], (x[:, 0] * 4).to(torch.int64) * 1_099_511_627_776 + 1


class Flattened(nn.Module):
    """Looks at memory as it lies: `view` refuses a transposed tensor."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.view(-1)
        return flat[0::2] + 5 * flat[1::2]


class Picky(nn.Module):
    """Throws on some rows and gives no number for others."""

    def forward(self, x: Tensor, v: Tensor, r: Tensor) -> Tensor:
        a, b, plan = x[:, 0], x[:, 1], x[:, 2]
        if bool((a == 666).any()):
            raise RuntimeError("the fan is on fire")
        score = a + b + 10 * plan + v.sum(1) + r[:, 0]
        return torch.where(b == 777, torch.full_like(score, float("nan")), score)


class Stubborn(nn.Module):
    """Takes rows of zeros, as a probe gives them, and no other."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x != 0).any()):
            raise RuntimeError("nothing but zeros, please")
        return x.sum(1)


def numeric(name: str) -> dict:
    return {"name": name, "kind": "numeric", "dtype": "float32"}


def raw(name: str, dtype: str) -> dict:
    return {"name": name, "kind": "raw", "dtype": dtype}


def vector(name: str, width: int) -> dict:
    return {"name": name, "kind": "vector", "dtype": "float32", "width": width}


def tensor(name: str, dtype: str, shape: list[int], *columns: str) -> dict:
    return {"name": name, "dtype": dtype, "shape": shape, "columns": list(columns)}


def output(column: str, dtype: str = "float32", shape: list[int] = [-1], **more) -> dict:
    return {"column": column, "dtype": dtype, "shape": shape} | more


A_AND_B = {
    "features": [numeric("a"), numeric("b")],
    "inputs": [tensor("x", "float32", [-1, 2], "a", "b")],
}

MODELS = {
    "dict-result": (
        DictResult(),
        A_AND_B
        | {
            "outputs": [
                output("first", result="scaled"),
                output("second", result="total"),
                # No `result`: the key of the column's name.
                output("product", shape=[-1, 1]),
            ]
        },
    ),
    "tuple-result": (
        TupleResult(),
        A_AND_B
        | {
            "outputs": [
                output("sum", shape=[-1, 1], result=1),
                output("product", result=2),
                output("parts", shape=[-1, 3], result=0),
            ]
        },
    ),
    "three-tensors": (
        ThreeTensors(),
        {
            "features": [numeric("a"), numeric("b"), raw("i", "int64"), raw("j", "int64"), raw("h", "float16")],
            "inputs": [
                tensor("dense", "float32", [-1, 2], "a", "b"),
                tensor("ids", "int64", [-1, 2], "i", "j"),
                tensor("half", "float16", [-1, 1], "h"),
            ],
            "outputs": [output("score")],
        },
    ),
    "vector-and-scalars": (
        VectorAndScalars(),
        {
            "features": [
                numeric("a") | {"impute": -1.0},
                vector("v", 4),
                {"name": "plan", "kind": "categorical", "dtype": "string", "vocabulary": ["basic", "pro"]},
            ],
            "inputs": [tensor("x", "float32", [-1, 6], "a", "v", "plan")],
            "outputs": [output("score")],
        },
    ),
    "raw-integers": (
        RawIntegers(),
        {
            "features": [raw("small", "int8"), raw("medium", "int32"), raw("large", "int64"), raw("at", "int64")],
            "inputs": [
                tensor("small", "int8", [-1, 1], "small"),
                tensor("medium", "int32", [-1, 1], "medium"),
                tensor("large", "int64", [-1, 2], "large", "at"),
            ],
            "outputs": [output("sum", "int64"), output("micros", "int64")],
        },
    ),
    "image": (
        Image(),
        {
            "features": [vector("pixels", 12)] + [numeric(name) for name in "abcd"],
            "inputs": [
                tensor("pixels", "float32", [-1, 3, 2, 2], "pixels"),
                tensor("grid", "float32", [-1, 2, 2], "a", "b", "c", "d"),
            ],
            "outputs": [output("score")],
        },
    ),
    "flag-and-count": (
        FlagAndCount(),
        A_AND_B
        | {
            "outputs": [output("flag", "bool"), output("count", "int64", [-1, 1])],
            "decision": {"source": "flag", "column": "prediction", "threshold": 1},
        },
    ),
    "flattened": (Flattened(), A_AND_B | {"outputs": [output("score")]}),
    "picky": (
        Picky(),
        {
            "features": [
                numeric("a"),
                numeric("b") | {"impute": 0.0, "range": [-1000.0, 1000.0]},
                {"name": "plan", "kind": "categorical", "dtype": "string", "vocabulary": ["basic", "pro"]},
                vector("v", 2),
                raw("r", "float32") | {"range": [0.0, 100.0]},
            ],
            "inputs": [
                tensor("x", "float32", [-1, 3], "a", "b", "plan"),
                tensor("v", "float32", [-1, 2], "v"),
                tensor("r", "float32", [-1, 1], "r"),
            ],
            "outputs": [output("score")],
        },
    ),
    "stubborn": (Stubborn(), A_AND_B | {"outputs": [output("score")]}),
}


def main() -> None:
    for name, (module, contract) in MODELS.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        folder = HERE / name / "1"
        folder.mkdir(parents=True)
        save_torchscript(module, folder / "model.pt")
        metadata = {
            "name": name,
            "version": "1",
            "format": "torchscript",
            "sha256": hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest(),
            "torch_version": torch.__version__.split("+")[0],
        }
        (folder / "metadata.json").write_text(json.dumps(metadata | contract, indent=2) + "\n")


if __name__ == "__main__":
    main()
