"""The two kinds of model, their training, and their TorchScript form."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class TabularModel(nn.Module):
    """Numbers beside one embedding a category, through two hidden layers. Gives logits."""

    def __init__(self, dense: int, values: list[int], width: int, hidden: int, outputs: int):
        super().__init__()
        # One row more than the vocabulary has values: index 0 stands for null and unknown.
        self.embeddings = nn.ModuleList([nn.Embedding(n + 1, width) for n in values])
        self.layers = nn.Sequential(
            nn.Linear(dense + width * len(values), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Linear(hidden // 2, outputs),
        )

    def forward(self, dense: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        parts = [dense]
        for i, embedding in enumerate(self.embeddings):
            parts.append(embedding(categories[:, i]))
        return self.layers(torch.cat(parts, dim=1))


class TextModel(nn.Module):
    """One transformer layer and the mean over the tokens that the mask keeps, at unit length."""

    def __init__(self, words: int, positions: int, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.words = nn.Embedding(words, width)
        self.positions = nn.Embedding(positions, width)
        self.first_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        batch, length = input_ids.shape
        positions = torch.arange(length, device=input_ids.device)
        x = self.first_norm(self.words(input_ids) + self.positions(positions))
        qkv = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # Large and finite: a row without tokens must not become NaN.
        bias = (attention_mask == 0).to(x.dtype)[:, None, None, :] * -1e30
        attended = F.scaled_dot_product_attention(
            qkv[0], qkv[1], qkv[2], attn_mask=bias.expand(-1, 1, length, -1)
        )
        attended = attended.transpose(1, 2).reshape(batch, length, -1)
        x = self.attention_norm(x + self.attention_out(attended))
        x = self.norm(x + self.outer(F.gelu(self.inner(x))))
        keep = attention_mask.unsqueeze(-1).to(x.dtype)
        pooled = (x * keep).sum(1) / keep.sum(1).clamp(min=1e-9)
        return F.normalize(pooled, p=2.0, dim=1)


def train(
    model: nn.Module, inputs: list, target: np.ndarray, loss: nn.Module, epochs: int, rate: float
) -> None:
    """A brief Adam run with a falling rate; `loss` takes the model's result and the target."""
    target = torch.from_numpy(target)
    optimiser = torch.optim.Adam([*model.parameters(), *loss.parameters()], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    generator = torch.Generator().manual_seed(7)
    model.train()
    for _ in range(epochs):
        for pick in torch.randperm(len(target), generator=generator).split(256):
            optimiser.zero_grad()
            loss(model(*[x[pick] for x in inputs]), target[pick]).backward()
            optimiser.step()
        schedule.step()
    model.eval()


def save_torchscript(model: nn.Module, path: Path) -> None:
    """Scripted, frozen, and without the debug records, which name the folder of this file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        frozen = torch.jit.freeze(torch.jit.script(model.eval()))
        buffer = io.BytesIO()
        torch.jit.save(frozen, buffer)
    buffer.seek(0)
    reader = torch._C.PyTorchFileReader(buffer)
    writer = torch._C.PyTorchFileWriter(str(path))
    for name in reader.get_all_records():
        # The writer makes the identity itself, of the records that are left.
        if not name.endswith(".debug_pkl") and name != ".data/serialization_id":
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
