"""Which versions of a date a reader may see when, and whether what it saw was one of them."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from world import Signature

# A reader sees a date as it is published, or not at all.
Seen = Signature | None


@dataclass
class Span:
    """A version and the time in which it may be seen, on the machine's monotonic clock."""

    seen: Seen
    since: float
    until: float = math.inf


class History:
    """What trials did to the dates of one dataset."""

    def __init__(self) -> None:
        self._spans: dict[str, list[Span]] = {}
        self._lock = threading.Lock()

    def changing(self, date: str, version: Seen) -> None:
        """From now on the date may turn into this version at any moment."""
        with self._lock:
            self._spans.setdefault(date, [Span(None, -math.inf)]).append(Span(version, time.monotonic()))

    def settled(self, date: str) -> None:
        """From now on the date is the version that was announced last."""
        now = time.monotonic()
        with self._lock:
            for span in self._spans[date][:-1]:
                span.until = min(span.until, now)

    def dates(self) -> list[str]:
        """Dates that anything was done to."""
        with self._lock:
            return sorted(self._spans)

    def place(self, date: str, seen: Seen, start: float, end: float, after: int) -> int | None:
        """Which of the date's versions a scan from `start` to `end` saw, not counting those before the version `after`.

        `None` when it saw none that it may have seen.
        """
        with self._lock:
            spans = self._spans.get(date, [Span(None, -math.inf)])
            for number, span in enumerate(spans):
                if number >= after and span.since <= end and span.until >= start and span.seen == seen:
                    return number
        return None

    def told(self, date: str) -> str:
        """The versions of a date, for people."""
        with self._lock:
            return "; ".join(
                f"{span.seen} in [{span.since:.3f}, {span.until:.3f}]" for span in self._spans.get(date, [])
            )
