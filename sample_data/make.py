#!/usr/bin/env python3
"""Make the sample data: features of three jobs, trained model versions, golden predictions.

    python make.py [--out FOLDER]

replaces FOLDER/features and FOLDER/models; the default is the folder of this file. It takes nothing
but the packages in requirements.txt, and the same versions on the same kind of processor give the
same bytes. It does not use batch-infer: the golden predictions come from Python alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

if __name__ == "__main__" and os.environ.get("PYTHONHASHSEED") != "0":
    # TorchScript writes the names of constants in the order of a set: fix it, or the bytes of
    # model.pt, though not its weights, differ from run to run.
    os.execve(sys.executable, sys.orig_argv, os.environ | {"PYTHONHASHSEED": "0"})

sys.dont_write_bytecode = True

import torch

from making import churn, fraud, tickets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    out = parser.parse_args().out
    # Sums depend on how they are split over threads, so that weights would depend on the machine.
    torch.set_num_threads(1)
    for folder in ("features", "models"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for job in (fraud, churn, tickets):
        print(f"{job.NAME}: {job.SENTENCE}")
        job.make(out)
    files = [f for name in ("features", "models") for f in (out / name).rglob("*") if f.is_file()]
    size = sum(f.stat().st_size for f in files)
    print(f"{size / 1e6:.2f} MB in {out}")


if __name__ == "__main__":
    main()
