"""What can go wrong between a client and an S3 service, and how often: the words of the proxy."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, field

# What a request does, told by its method, query and headers.
GET, HEAD, LIST, DELETE = "get", "head", "list", "delete"
PUT, CREATE, UPDATE = "put", "create", "update"
UPLOAD_CREATE, UPLOAD_PART, UPLOAD_COMPLETE, UPLOAD_ABORT = (
    "upload-create",
    "upload-part",
    "upload-complete",
    "upload-abort",
)
OPERATIONS = [GET, HEAD, LIST, DELETE, PUT, CREATE, UPDATE, UPLOAD_CREATE, UPLOAD_PART, UPLOAD_COMPLETE, UPLOAD_ABORT]

# Kinds of fault, and the operations that each can happen to; none named: all.
KINDS: dict[str, list[str]] = {
    # An error instead of an answer; nothing was done.
    "500": [],
    "502": [],
    "503": [],
    "429": [],
    # The connection is reset; nothing was done.
    "reset-before": [],
    # It was done, and the connection is reset before the answer.
    "reset-after": [],
    # It was done, and the answer says that it was not.
    "apply-then-500": [],
    # The answer's body ends early.
    "truncated": [GET],
    # The answer's head comes, its body never; where there is no body, nothing comes.
    "stall": [],
    # 20 kB a second both ways.
    "slow": [],
    # The answer is 200 and its body an error; nothing was done.
    "error-in-200": [UPLOAD_COMPLETE],
    # A conflicting operation is said to have happened; nothing was done.
    "conflict": [PUT, CREATE, UPDATE, UPLOAD_COMPLETE],
    # A range was asked for, and the whole object comes.
    "range-ignored": [GET],
    # A range was asked for, and another one comes, under its own name.
    "range-shifted": [GET],
    # Credentials that were good a moment ago are refused.
    "expired-400": [],
    "expired-403": [],
    # The clocks are said to be too far apart.
    "skewed": [],
}

# The answers that come instead of the service's, as status, reason and code of the error.
ANSWERS = {
    "500": (500, "Internal Server Error", "InternalError"),
    "502": (502, "Bad Gateway", ""),
    "503": (503, "Service Unavailable", "SlowDown"),
    "429": (429, "Too Many Requests", "TooManyRequests"),
    "apply-then-500": (500, "Internal Server Error", "InternalError"),
    "error-in-200": (200, "OK", "InternalError"),
    "conflict": (409, "Conflict", "ConditionalRequestConflict"),
    "expired-400": (400, "Bad Request", "ExpiredToken"),
    "expired-403": (403, "Forbidden", "ExpiredToken"),
    "skewed": (403, "Forbidden", "RequestTimeTooSkewed"),
}


@dataclass(frozen=True)
class Plan:
    """Which faults happen to a share of the requests."""

    seed: int
    # Probability of each kind.
    rates: dict[str, float]
    # Only these operations; none named: all.
    operations: list[str] = field(default_factory=list)

    def applies(self, kind: str, operation: str, has_range: bool) -> bool:
        """True when a fault of this kind can happen to such a request."""
        if kind.startswith("range-") and not has_range:
            return False
        return operation in (KINDS[kind] or OPERATIONS) and operation in (self.operations or OPERATIONS)


def operation_of(method: str, target: str, headers: dict[str, str]) -> str:
    """What a request does; names of headers are in lower case."""
    path, _, query = target.partition("?")
    asked = urllib.parse.parse_qs(query, keep_blank_values=True)
    is_bucket = "/" not in path.strip("/")
    if method == "GET":
        return LIST if is_bucket or "uploads" in asked or "uploadId" in asked else GET
    if method == "POST":
        return UPLOAD_CREATE if "uploads" in asked else UPLOAD_COMPLETE if "uploadId" in asked else DELETE
    if method == "PUT":
        if "partNumber" in asked:
            return UPLOAD_PART
        return CREATE if "if-none-match" in headers else UPDATE if "if-match" in headers else PUT
    if method == "DELETE":
        return UPLOAD_ABORT if "uploadId" in asked else DELETE
    return HEAD


def error_body(code: str) -> bytes:
    """The service's way to say an error; a gateway in between says nothing."""
    if not code:
        return b""
    message = "injected by the proxy of the campaign"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
