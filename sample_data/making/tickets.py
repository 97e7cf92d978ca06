"""ticket-embedding: short support tickets and a small text model whose neighbours share a topic.

The tickets are put together from the sentences below, so that the data set holds nobody's words.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

from . import contract, metrics, model, partition, version
from .phrases import DETAILS, ENDINGS, GREETINGS, SLOTS, TOPICS

NAME = "ticket-embedding"
SENTENCE = "one date of support tickets, a text model"
DATE, ROWS, TRAINING_ROWS, HOLDOUT_ROWS = "2026-11-19", 300, 4_000, 600
WIDTH, HEADS, MAX_TOKENS, VOCABULARY = 32, 4, 48, 800
SPECIAL = ["<pad>", "<s>", "</s>"]

# Tickets that break careless code; they replace the first ones of the date.
UNUSUAL = [
    "",
    "Refund?",
    "WHERE IS MY ORDER!!! " * 12,
    "The café's naïve résumé upload failed: 100 % CPU, “quotes” and €49.99",
    "支払いができません 🙁",
    "   \t spaces   and\n\nnew lines   ",
]


def ticket(topic: int, rng: np.random.Generator) -> str:
    def pick(options: list[str]) -> str:
        return options[rng.integers(len(options))]

    parts = [pick(GREETINGS), pick(TOPICS[topic][1])]
    if rng.random() < 0.6:
        parts.append(pick(TOPICS[topic][1]))
    if rng.random() < 0.5:
        parts.append(pick(DETAILS))
    if rng.random() < 0.4:
        parts.append(pick(ENDINGS))
    text = " ".join(part for part in parts if part)
    for slot, options in SLOTS.items():
        while "{" + slot + "}" in text:
            text = text.replace("{" + slot + "}", pick(options), 1)
    return text.replace("{number}", str(rng.integers(1_000, 99_999)))


def tickets(stream: int, count: int) -> tuple[list[str], np.ndarray]:
    """Texts, and the topic of each."""
    rng = np.random.default_rng([3, stream])
    topics = rng.integers(0, len(TOPICS), count)
    return [ticket(topic, rng) for topic in topics], topics


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE, digits apart. The trainer of WordPiece gives other pieces in every run."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), bytes_of_words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in SPECIAL[1:]]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=ids
    )
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


class TopicLoss(torch.nn.Module):
    """Cross entropy of the similarity to one learned direction a topic; used in training only."""

    def __init__(self, topics: int):
        super().__init__()
        self.directions = torch.nn.Parameter(torch.randn(topics, WIDTH))

    def forward(self, embedding: torch.Tensor, topic: torch.Tensor) -> torch.Tensor:
        similarity = embedding @ torch.nn.functional.normalize(self.directions, dim=1).T
        return torch.nn.functional.cross_entropy(8 * similarity, topic)


def specification() -> dict:
    text = {"name": "text", "kind": "text", "dtype": "string", "tokenizer": "tokenizer.json"}
    tokens = {"dtype": "int64", "shape": [-1, -1], "columns": ["text"]}
    output = {"column": "embedding", "dtype": "float32", "shape": [-1, WIDTH]}
    return {
        "id_columns": ["ticket_id"],
        "features": [text | {"max_tokens": MAX_TOKENS, "pad_id": 0}],
        "inputs": [{"name": "input_ids"} | tokens, {"name": "attention_mask"} | tokens],
        "outputs": [output | {"activation": "identity"}],
    }


def table_of(texts: list[str]) -> pa.Table:
    number = pa.array(np.arange(len(texts), dtype=np.int64) * 3 + 840_001)
    fields = [pa.field("ticket_id", pa.int64(), nullable=False), pa.field("text", pa.string())]
    return pa.table([number, pa.array(texts)], pa.schema(fields))


def make(out: Path) -> None:
    folder = out / "models" / NAME / "1"
    folder.mkdir(parents=True)
    texts, topics = tickets(0, TRAINING_ROWS)
    tokenizer = train_tokenizer(texts)
    tokenizer.save(str(folder / "tokenizer.json"))
    metadata = specification()
    torch.manual_seed(1)
    module = model.TextModel(tokenizer.get_vocab_size(), MAX_TOKENS, WIDTH, HEADS)
    inputs = contract.model_inputs(metadata, table_of(texts), folder)
    model.train(module, inputs, topics, TopicLoss(len(TOPICS)), 6, 3e-3)
    held, held_topics = tickets(1, HOLDOUT_ROWS)
    with torch.inference_mode():
        embedding = module(*contract.model_inputs(metadata, table_of(held), folder))
    quality = metrics.nearest_neighbour(embedding.numpy(), held_topics)
    print(f"  version 1: {quality}, {tokenizer.get_vocab_size()} tokens")
    stated = {"name": NAME, "version": "1", "created_at": "2026-10-05T10:15:00Z"}
    stated["metrics"] = quality
    stated["tags"] = {"team": "support", "topics": [name for name, _ in TOPICS]}
    today = UNUSUAL + tickets(2, ROWS)[0][len(UNUSUAL) :]
    # Spread over the date, so that every batch holds a short and a long one.
    today = [today[i] for i in np.random.default_rng([3, 9]).permutation(ROWS)]
    table = table_of(today)
    features = out / "features" / "support-tickets" / f"date={DATE}"
    partition.write(table, features, files=1, row_group=100)
    unusual = {text: np.array([other == text for other in today]) for text in UNUSUAL}
    version.write(folder, stated | metadata, module, version.golden_rows(table, unusual))
