"""Where a campaign's files lie, seen from outside: a folder of this machine or a bucket.

Paths are relative to the store's root. Nothing here is shared with the binary: it is what its work is judged with.
"""

from __future__ import annotations

import os
import pathlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

# Uploads and removals at a time.
CONCURRENT = 8


@dataclass(frozen=True)
class Object:
    """A file or object, whole."""

    data: bytes
    # Changes whenever somebody replaces it, also by the same bytes.
    identity: str
    # User metadata; empty on a disk.
    metadata: dict[str, str] = field(default_factory=dict)


class LocalStore:
    """A folder."""

    name = "local"

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}

    def url(self, path: str) -> str:
        """What the binary and readers are told."""
        return str(self.root / path)

    def list(self, path: str) -> dict[str, int]:
        """Every file below a path with its size, whatever its name."""
        found: dict[str, int] = {}
        for folder, _, names in os.walk(self.root / path):
            for name in names:
                file = pathlib.Path(folder, name)
                try:
                    found[file.relative_to(self.root).as_posix()] = file.lstat().st_size
                except FileNotFoundError:
                    continue  # It was replaced or removed meanwhile.
        return found

    def read(self, path: str) -> Object | None:
        """A file; `None` when there is none."""
        try:
            with open(self.root / path, "rb") as file:
                status = os.fstat(file.fileno())
                return Object(file.read(), f"{status.st_ino}-{status.st_mtime_ns}")
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes) -> None:
        """Writes a file over what is there."""
        (self.root / path).write_bytes(data)

    def delete(self, path: str) -> None:
        """Deletes one file."""
        (self.root / path).unlink()

    def copy(self, source: str, target: str) -> None:
        """Copies what lies below a path to below another."""
        if (self.root / source).exists():
            shutil.copytree(self.root / source, self.root / target, dirs_exist_ok=True)

    def upload(self, source: pathlib.Path, path: str) -> None:
        """Copies a folder to below a path."""
        shutil.copytree(source, self.root / path, dirs_exist_ok=True)

    def download(self, path: str, target: pathlib.Path) -> None:
        """Copies what lies below a path to a folder."""
        if (self.root / path).exists():
            shutil.copytree(self.root / path, target / path, dirs_exist_ok=True)

    def remove(self, path: str) -> None:
        """Removes what lies below a path."""
        shutil.rmtree(self.root / path, ignore_errors=True)


class S3Store:
    """A bucket of its own on a service; `environment` holds the service's AWS_ variables."""

    name = "s3"

    def __init__(self, environment: dict[str, str], bucket: str) -> None:
        self.environment = environment
        self.bucket = bucket
        self.client = client(environment)
        self.client.create_bucket(Bucket=bucket)

    def url(self, path: str) -> str:
        """What the binary and readers are told."""
        return f"s3://{self.bucket}/{path}"

    def list(self, path: str) -> dict[str, int]:
        """Every object below a path with its size."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=path.rstrip("/") + "/")
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def read(self, path: str) -> Object | None:
        """An object; `None` when there is none."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=path)
        except self.client.exceptions.NoSuchKey:
            return None
        identity = f"{answer['ETag']}-{answer['LastModified'].timestamp()}"
        return Object(answer["Body"].read(), identity, answer["Metadata"])

    def metadata(self, path: str) -> dict[str, str] | None:
        """User metadata of an object; `None` when there is none."""
        try:
            return self.client.head_object(Bucket=self.bucket, Key=path)["Metadata"]
        except self.client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def write(self, path: str, data: bytes) -> None:
        """Puts an object over what is there."""
        self.client.put_object(Bucket=self.bucket, Key=path, Body=data)

    def delete(self, path: str) -> None:
        """Deletes one object."""
        self.client.delete_object(Bucket=self.bucket, Key=path)

    def copy(self, source: str, target: str) -> None:
        """Copies what lies below a path to below another."""
        for key in self.list(source):
            found = {"Bucket": self.bucket, "Key": key}
            self.client.copy_object(Bucket=self.bucket, Key=target + key.removeprefix(source), CopySource=found)

    def upload(self, source: pathlib.Path, path: str) -> None:
        """Puts the files of a folder below a path."""
        files = [file for file in source.rglob("*") if file.is_file()]

        def put(file: pathlib.Path) -> None:
            key = f"{path}/{file.relative_to(source).as_posix()}"
            self.client.put_object(Bucket=self.bucket, Key=key, Body=file.read_bytes())

        with ThreadPoolExecutor(CONCURRENT) as pool:
            list(pool.map(put, files))

    def download(self, path: str, target: pathlib.Path) -> None:
        """Copies what lies below a path to a folder."""
        for key in self.list(path):
            found = self.read(key)
            if found is not None:
                (target / key).parent.mkdir(parents=True, exist_ok=True)
                (target / key).write_bytes(found.data)

    def remove(self, path: str) -> None:
        """Removes what lies below a path, 1,000 objects a request."""
        keys = sorted(self.list(path))
        for start in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[start : start + 1000]]
            self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})


Store = LocalStore | S3Store


def client(environment: dict[str, str]) -> Any:
    """A client of a service, for many threads."""
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment.get("AWS_REGION", "us-east-1"),
        config=Config(max_pool_connections=64, retries={"max_attempts": 5}, s3={"addressing_style": "path"}),
    )
