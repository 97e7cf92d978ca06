"""A store that ignores conditions is refused before anything is scored, unless the settings say that there is one writer only."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import subprocess
import threading
import urllib.parse
from typing import Iterator

import boto3
import pytest

from program import base_environment, binary
from server import complete, moto

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
JOB = REPOSITORY / "jobs/fraud-detector.toml"
DATE = "2026-11-19"

# No words of messages: what is secret is masked in them.
KEYS = {"AWS_ACCESS_KEY_ID": "id-3f9c1a", "AWS_SECRET_ACCESS_KEY": "key-77b0e2"}


@contextlib.contextmanager
def forgetting(endpoint: str, header: str) -> Iterator[str]:
    """A service that has not heard of one header of conditions, in front of one that has."""
    upstream = urllib.parse.urlsplit(endpoint)

    class Forgetting(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if self.command != "PUT" or name.lower() != header:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("content-length") if self.command == "HEAD" else None
            self.send_header("content-length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forgetting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [binary(), "run", "--job", str(JOB), "--date", DATE, "--format", "json"]
    command += ["--set", "output.path=s3://lake/predictions", "--set", "output.state=s3://lake/state"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("header", ["if-none-match", "if-match"])
def test_store_that_ignores_a_condition_is_refused(header: str) -> None:
    with moto() as variables, forgetting(variables["AWS_ENDPOINT_URL"], header) as endpoint:
        variables = complete(variables) | {"AWS_ENDPOINT_URL": endpoint} | KEYS
        store = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )
        store.create_bucket(Bucket="lake")
        environment = base_environment() | {"PATH": os.environ["PATH"]} | variables

        refused = run(environment)
        assert refused.returncode == 22, refused.stderr
        assert "cannot be trusted" in refused.stderr and "unsafe_single_writer" in refused.stderr
        assert "Contents" not in store.list_objects_v2(Bucket="lake"), "something was left behind"

        alone = run(environment | {"BATCH_INFER_STATE_UNSAFE_SINGLE_WRITER": "true"})
        assert alone.returncode == 0, alone.stderr
        assert json.loads(alone.stdout)["rows"]["out"] == 3907
