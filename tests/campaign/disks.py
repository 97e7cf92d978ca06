"""Disks that are full or cannot be written: small memory file systems where root may mount them, permissions for everybody else."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from typing import Iterator

# Enough for all that a trial writes.
AMPLE = 64 * 1024 * 1024


class Disk:
    """A mounted file system."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def resize(self, size: int) -> None:
        """Makes it larger or smaller; what is there stays."""
        self._remount(f"size={size}")

    def read_only(self, yes: bool) -> None:
        """Refuses writes, or takes them again."""
        self._remount("ro" if yes else "rw")

    def free(self) -> int:
        """Bytes that are left."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_bsize

    def used(self) -> int:
        """Bytes that are taken."""
        status = os.statvfs(self.folder)
        return (status.f_blocks - status.f_bfree) * status.f_bsize

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True, capture_output=True)


@contextlib.contextmanager
def mounted(folder: pathlib.Path) -> Iterator[Disk]:
    """A file system of its own in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={AMPLE},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "campaign", str(folder)], check=True, capture_output=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def can_mount(folder: pathlib.Path) -> bool:
    """True where this process may mount and remount."""
    try:
        with mounted(folder) as disk:
            disk.read_only(True)
            disk.read_only(False)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextlib.contextmanager
def write_protected(folder: pathlib.Path) -> Iterator[None]:
    """Folders below that their owner may not write to; root may always."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        yield
    finally:
        for path in folders:
            path.chmod(0o755)
