#!/usr/bin/env python3
"""Make the models of `tests/it/models.rs` and of the tests of models that misbehave.

    python tests/models/make.py

replaces the folders beside this file: forms of input and result that the sample models lack, and
models that loop, swallow memory, or lie about their rows. Each is a closed formula with small whole
weights, so that the tests can state what it must give; none is trained. `../not-models` gets files
that people put in the place of TorchScript, each written by the library that people write it with.
Packages as for `sample_data/make.py`, and onnx, onnxscript and safetensors.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Dict, Tuple

if __name__ == "__main__" and os.environ.get("PYTHONHASHSEED") != "0":
    # As in sample_data/make.py: names of constants are written in the order of a set.
    os.execve(sys.executable, sys.orig_argv, os.environ | {"PYTHONHASHSEED": "0"})

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "sample_data"))

import safetensors.torch
import torch
from making.model import save_torchscript
from torch import Tensor, nn

OTHER = HERE.parent / "not-models"


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


class Ratio(nn.Module):
    """Not a number where both columns are 0, as in the try before a run."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] / x[:, 1]


class Endless(nn.Module):
    """Never comes back from a batch in which the first column has the value."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, 0]
        while bool((y == self.value).any()):
            y = y * 1.0
        return y + x[:, 1]


class Hungry(nn.Module):
    """Wants 64 TiB for a batch in which the first column has the value."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        if bool((x[:, 0] == self.value).any()):
            return torch.ones([1 << 44])[: x.size(0)] + x[:, 1]
        return x[:, 0] + x[:, 1]


class FewRows(nn.Module):
    """Gives two rows, however many it gets."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:2, 0] + x[:2, 1]


class NoTensor(nn.Module):
    """Gives a Python number."""

    def forward(self, x: Tensor) -> float:
        return float(x.sum())


class Spectrum(nn.Module):
    """Gives complex numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.complex(x[:, 0], x[:, 1])


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
    "ratio": (Ratio(), A_AND_B | {"outputs": [output("score")]}),
    "endless": (Endless(1000.0), A_AND_B | {"outputs": [output("score")]}),
    "endless-at-once": (Endless(0.0), A_AND_B | {"outputs": [output("score")]}),
    "hungry": (Hungry(1000.0), A_AND_B | {"outputs": [output("score")]}),
    "hungry-at-once": (Hungry(0.0), A_AND_B | {"outputs": [output("score")]}),
    "few-rows": (FewRows(), A_AND_B | {"outputs": [output("score")]}),
    "no-tensor": (NoTensor(), A_AND_B | {"outputs": [output("score")]}),
    "spectrum": (Spectrum(), A_AND_B | {"outputs": [output("score")]}),
    "unknown-operator": (Ratio(), A_AND_B | {"outputs": [output("score")]}),
    "newer-form": (Ratio(), A_AND_B | {"outputs": [output("score")]}),
}

# Models whose archive is changed after it was saved: the member, and what it becomes.
CHANGED = {
    "unknown-operator": (".py", lambda code: code.replace(b"torch.div(", b"ops.elsewhere.divide(")),
    "newer-form": ("/version", lambda _: b"99\n"),
}


def change(path: Path, ending: str, how) -> None:
    """Writes the archive anew with one kind of member changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            changed = how(content) if member.filename.endswith(ending) else content
            assert changed != content or not member.filename.endswith(ending), member.filename
            # Without the time at which it was made.
            new.writestr(zipfile.ZipInfo(member.filename), changed)
    path.write_bytes(buffer.getvalue())


def make_others() -> None:
    """Files that are no TorchScript."""
    shutil.rmtree(OTHER, ignore_errors=True)
    OTHER.mkdir()
    torch.manual_seed(7)
    net = nn.Linear(2, 1).eval()
    example = torch.zeros(2, 2)
    torch.save(net.state_dict(), OTHER / "state_dict.pt")
    torch.save(net, OTHER / "module.pt")
    torch.save(net.state_dict(), OTHER / "before-1.6.pt", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(net.state_dict(), OTHER / "weights.safetensors")
    program = torch.export.export(net, (example,))
    for node in program.graph.nodes:
        # It names the folder of this machine's PyTorch.
        node.meta.pop("stack_trace", None)
    torch.export.save(program, OTHER / "program.pt2")
    torch.onnx.export(net, (example,), OTHER / "model.onnx", dynamo=False)
    # As torch-model-archiver lays it out.
    with zipfile.ZipFile(OTHER / "model.mar", "w") as archive:
        manifest = {
            "createdOn": "19/11/2026 02:00:00",
            "runtime": "python",
            "model": {"modelName": "net", "serializedFile": "model.pt", "modelVersion": "1.0"},
            "archiverVersion": "0.12.0",
        }
        scripted = io.BytesIO()
        torch.jit.save(torch.jit.script(net), scripted)
        for name, content in [
            ("MAR-INF/MANIFEST.json", json.dumps(manifest, indent=2).encode()),
            ("model.pt", scripted.getvalue()),
        ]:
            archive.writestr(zipfile.ZipInfo(name), content)


def main() -> None:
    for name, (module, contract) in MODELS.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        folder = HERE / name / "1"
        folder.mkdir(parents=True)
        save_torchscript(module, folder / "model.pt")
        if name in CHANGED:
            change(folder / "model.pt", *CHANGED[name])
        metadata = {
            "name": name,
            "version": "1",
            "format": "torchscript",
            "sha256": hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest(),
            "torch_version": torch.__version__.split("+")[0],
        }
        (folder / "metadata.json").write_text(json.dumps(metadata | contract, indent=2) + "\n")
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_others()


if __name__ == "__main__":
    main()
