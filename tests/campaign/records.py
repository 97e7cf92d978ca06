"""The records of a date in the state folder, read by someone who knows only the layout."""

from __future__ import annotations

import io
import json
import posixpath
import re
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from stores import Store
from world import JOB, KEY

Record = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What lies in the folder of one plan."""

    # Names of parts by chunk.
    parts: dict[int, list[str]]
    # Chunks with a record that they are done.
    done: set[int]


class DateState:
    """One date's state."""

    def __init__(self, store: Store, dataset: str, date: str) -> None:
        self.store = store
        self.date = date
        self.folder = f"{dataset}.batch-infer/v1/{JOB}/date={date}"

    def log(self) -> list[Record]:
        """Opens and commits by number. A gap in the numbers is an error of its own, see `checks`."""
        return self._numbered("log")

    def commits(self) -> list[Record]:
        """Commits by number."""
        return [record for record in self.log() if record["kind"] == "commit"]

    def published(self) -> list[Record]:
        """Records of what was published, by number."""
        return self._numbered("published")

    def plan(self, plan_id: str) -> Record:
        """The plan of that id."""
        return self._read(f"{self.folder}/plans/{plan_id}/plan.json")

    def rejected(self, plan_id: str) -> list[int]:
        """Keys of the rows that a plan did not score."""
        found = self.store.read(f"{self.folder}/rejects/{plan_id}.parquet")
        return [] if found is None else pq.read_table(io.BytesIO(found.data))[KEY].to_pylist()

    def lease(self) -> Record | None:
        """The lease; there is none on a disk."""
        found = self.store.read(f"{self.folder}/lease.json")
        return None if found is None else json.loads(found.data)

    def works(self) -> dict[str, Work]:
        """What lies in each plan's folder."""
        works: dict[str, Work] = {}
        for path in self.store.list(f"{self.folder}/plans"):
            found = re.fullmatch(r".*/plans/([^/]+)/chunks/(\d+)\.(.+)", path)
            if not found:
                continue
            work = works.setdefault(found[1], Work({}, set()))
            if found[3] == "done.json":
                work.done.add(int(found[2]))
            elif found[3].endswith(".part"):
                work.parts.setdefault(int(found[2]), []).append(path)
        return works

    def _numbered(self, name: str) -> list[Record]:
        paths = sorted(self.store.list(f"{self.folder}/{name}"))
        records = [path for path in paths if re.fullmatch(r"\d+\.json", posixpath.basename(path))]
        return [self._read(path) | {"number": int(posixpath.basename(path)[:-5])} for path in records]

    def _read(self, path: str) -> Record:
        found = self.store.read(path)
        assert found is not None, f"{path} was listed and is gone"
        return json.loads(found.data)
