"""What metadata.json says of a model's quality on rows that it has not seen."""

from __future__ import annotations

import numpy as np


def binary(probability: np.ndarray, label: np.ndarray) -> tuple[dict, float]:
    """Metrics, and the threshold with the best F1."""
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(label[order])
    positive, rows = label.sum(), len(label)
    ranks = np.empty(rows)
    ranks[order] = np.arange(rows, 0, -1)
    area = ranks[label == 1].sum() - positive * (positive + 1) / 2
    precision = hits / np.arange(1, rows + 1)
    f1 = 2 * hits / (np.arange(1, rows + 1) + positive)
    best = int(f1[:-1].argmax())
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    log_loss = -np.mean(label * np.log(p) + (1 - label) * np.log(1 - p))
    threshold = (float(probability[order[best]]) + float(probability[order[best + 1]])) / 2
    found = {
        "auc": area / (positive * (rows - positive)),
        "average_precision": precision[label[order] == 1].mean(),
        "log_loss": log_loss,
        "f1": f1[best],
        "positive_share": positive / rows,
    }
    return rounded(found) | {"holdout_rows": rows}, round(threshold, 4)


def multi_class(probability: np.ndarray, label: np.ndarray) -> dict:
    """Accuracy, log loss, and F1 averaged over the classes."""
    chosen = probability.argmax(axis=1)
    scores = []
    for k in range(probability.shape[1]):
        hit = ((chosen == k) & (label == k)).sum()
        scores.append(2 * hit / ((chosen == k).sum() + (label == k).sum()))
    found = {
        "accuracy": (chosen == label).mean(),
        "macro_f1": np.mean(scores),
        "log_loss": -np.log(probability[np.arange(len(label)), label]).mean(),
    }
    return rounded(found) | {"holdout_rows": len(label)}


def nearest_neighbour(embedding: np.ndarray, label: np.ndarray) -> dict:
    """How often the nearest other text is about the same topic."""
    similar = embedding @ embedding.T
    np.fill_diagonal(similar, -2)
    same = label[similar.argmax(axis=1)] == label
    return rounded({"nearest_neighbour_same_topic": same.mean()}) | {"holdout_rows": len(label)}


def rounded(metrics: dict) -> dict:
    return {name: round(float(value), 4) for name, value in metrics.items()}
