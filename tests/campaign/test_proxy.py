"""The proxy itself: every fault happens as it is called, and without faults nothing is changed on the way."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import threading
import time
import urllib.parse
from collections import Counter
from typing import Iterable, Iterator

import pytest

import faults
from faults import KINDS, Plan, operation_of
from link import Proxy
from server import moto
from stores import client

# A body is sent whole, or in chunks.
Body = bytes | Iterable[bytes] | None

CONTENT = bytes(range(256)) * 40


class Service(http.server.BaseHTTPRequestHandler):
    """Answers any request with what it was, so that nothing can be changed unseen."""

    protocol_version = "HTTP/1.1"
    applied: list[str] = []

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        Service.applied.append(f"{self.command} {self.path}")
        said = f"{self.command} {self.path} {self.headers['Host']} {len(body)}".encode() + b" " + CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with Proxy({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{upstream.server_port}"}) as running:
        yield running
    upstream.shutdown()


@contextlib.contextmanager
def connected(proxy: Proxy, rates: dict[str, float], counts: Counter[str]) -> Iterator[http.client.HTTPConnection]:
    Service.applied.clear()
    with proxy.faulty(Plan(1, rates), counts) as url:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=10)
        yield connection
        connection.close()


def ask(
    connection: http.client.HTTPConnection, method: str = "GET", target: str = "/b/k", body: Body = None
) -> tuple[int, bytes]:
    connection.request(
        method, target, body, {"Host": "signed.example"}, encode_chunked=not isinstance(body, (bytes, type(None)))
    )
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_requests_go_on_as_they_came_on_one_connection(proxy: Proxy) -> None:
    counts: Counter[str] = Counter()
    with connected(proxy, {}, counts) as connection:
        assert ask(connection)[1] == b"GET /b/k signed.example 0 " + CONTENT
        sock = connection.sock
        assert ask(connection, "PUT", "/b/k?x=%2F", b"four")[1].startswith(b"PUT /b/k?x=%2F signed.example 4 ")
        assert ask(connection, "PUT", "/b/k", iter([b"five", b"!"]))[1].startswith(b"PUT /b/k signed.example 5 ")
        assert ask(connection, "HEAD") == (200, b"")
        assert ask(connection, "DELETE")[0] == 200
        assert connection.sock is sock, "the connection did not stay open"
    assert counts == {"requests": 5}


def test_a_client_that_asks_before_its_body_is_told_to_go_on(proxy: Proxy) -> None:
    with proxy.faulty(Plan(1, {}), Counter()) as url, socket.create_connection(
        ("127.0.0.1", urllib.parse.urlsplit(url).port)
    ) as sock:
        sock.settimeout(10)
        sock.sendall(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"abc")
        said = b""
        while not said.endswith(CONTENT):
            said += sock.recv(20_000)
        assert b"PUT /b/k h 3" in said


@pytest.mark.parametrize("kind", ["500", "502", "503", "429", "expired-400", "expired-403", "skewed"])
def test_answers_that_come_instead_apply_nothing(proxy: Proxy, kind: str) -> None:
    with connected(proxy, {kind: 1.0}, Counter()) as connection:
        status, body = ask(connection, "PUT", "/b/k", b"x")
        assert status == faults.ANSWERS[kind][0]
        assert faults.ANSWERS[kind][2].encode() in body
    assert Service.applied == []


@pytest.mark.parametrize(("kind", "applied"), [("reset-before", []), ("reset-after", ["PUT /b/k"])])
def test_resets_are_errors_of_the_connection(proxy: Proxy, kind: str, applied: list[str]) -> None:
    with connected(proxy, {kind: 1.0}, Counter()) as connection, pytest.raises(ConnectionResetError):
        ask(connection, "PUT", "/b/k", b"x")
    assert Service.applied == applied


def test_what_was_applied_can_be_answered_with_500(proxy: Proxy) -> None:
    with connected(proxy, {"apply-then-500": 1.0}, Counter()) as connection:
        assert ask(connection, "PUT", "/b/k", b"x")[0] == 500
    assert Service.applied == ["PUT /b/k"]


def test_truncated_body_is_shorter_than_its_head_says(proxy: Proxy) -> None:
    with connected(proxy, {"truncated": 1.0}, Counter()) as connection, pytest.raises(
        (http.client.IncompleteRead, ConnectionError)
    ):
        ask(connection)


def test_stall_gives_the_head_and_no_body(proxy: Proxy) -> None:
    with connected(proxy, {"stall": 1.0}, Counter()) as connection:
        connection.timeout = 1
        connection.request("GET", "/b/k")
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises(TimeoutError):
            answer.read()


def test_slow_link_takes_its_time(proxy: Proxy) -> None:
    with connected(proxy, {"slow": 1.0}, Counter()) as connection:
        start = time.monotonic()
        assert ask(connection)[1].endswith(CONTENT)
        assert time.monotonic() - start > len(CONTENT) / 25_000


@pytest.mark.parametrize(
    ("kind", "method", "target", "status"),
    [("error-in-200", "POST", "/b/k?uploadId=1", 200), ("conflict", "PUT", "/b/k", 409)],
)
def test_faults_of_one_operation_leave_others_alone(
    proxy: Proxy, kind: str, method: str, target: str, status: int
) -> None:
    with connected(proxy, {kind: 1.0}, Counter()) as connection:
        assert ask(connection)[1].endswith(CONTENT)
        found, body = ask(connection, method, target, b"x")
        assert found == status
        assert b"<Error>" in body
    assert Service.applied == ["GET /b/k"]


def test_ranges_are_ignored_or_shifted() -> None:
    with moto() as environment:
        service = client(environment)
        service.create_bucket(Bucket="bucket")
        service.put_object(Bucket="bucket", Key="a/k", Body=CONTENT)
        found: dict[str, bytes] = {}
        with Proxy(environment) as proxy:
            for kind in ("range-ignored", "range-shifted"):
                with connected(proxy, {kind: 1.0}, Counter()) as connection:
                    connection.request("GET", "/bucket/a/k", headers={"Range": "bytes=100-199"})
                    answer = connection.getresponse()
                    found[kind] = answer.read()
                    assert answer.status == (200 if kind == "range-ignored" else 206)
                    assert answer.headers["ETag"] == service.head_object(Bucket="bucket", Key="a/k")["ETag"]
    assert found == {"range-ignored": CONTENT, "range-shifted": CONTENT[107:200]}
    assert answer.headers["Content-Range"] == f"bytes 107-199/{len(CONTENT)}"


def test_faults_come_at_their_rate_and_are_counted(proxy: Proxy) -> None:
    counts: Counter[str] = Counter()
    with connected(proxy, {"500": 0.1, "503": 0.1}, counts) as connection:
        statuses = Counter(ask(connection)[0] for _ in range(400))
    assert counts["requests"] == 400
    assert counts["500"] == statuses[500] and counts["503"] == statuses[503]
    assert 20 < statuses[500] < 70 and 20 < statuses[503] < 70


@pytest.mark.parametrize(
    ("method", "target", "headers", "operation"),
    [
        ("GET", "/b/k", {}, "get"),
        ("GET", "/b?list-type=2&prefix=a", {}, "list"),
        ("GET", "/b/?list-type=2", {}, "list"),
        ("HEAD", "/b/k", {}, "head"),
        ("PUT", "/b/k", {}, "put"),
        ("PUT", "/b/k", {"if-none-match": "*"}, "create"),
        ("PUT", "/b/k", {"if-match": "x"}, "update"),
        ("PUT", "/b/k?partNumber=1&uploadId=x", {}, "upload-part"),
        ("POST", "/b/k?uploads", {}, "upload-create"),
        ("POST", "/b/k?uploads=", {}, "upload-create"),
        ("POST", "/b/k?uploadId=x", {}, "upload-complete"),
        ("DELETE", "/b/k?uploadId=x", {}, "upload-abort"),
        ("DELETE", "/b/k", {}, "delete"),
        ("POST", "/b?delete", {}, "delete"),
    ],
)
def test_operations_are_told_apart(method: str, target: str, headers: dict[str, str], operation: str) -> None:
    assert operation_of(method, target, headers) == operation
    assert all(set(operations) <= set(faults.OPERATIONS) for operations in KINDS.values())
