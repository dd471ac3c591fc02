"""Heads of requests are bounded in size and time, on a real server."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.bench.processes import resident_mb
from tests.unit.shared.observability.test_server import free_port, service, wait_until_alive

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /nowhere HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    found = free_port()
    with service(found):
        wait_until_alive(found)
        yield found


@pytest.fixture(scope="module")
def hasty_port() -> Iterator[int]:
    """Of a service that gives a head half a second."""
    found = free_port()
    with service(found, "impatient"):
        wait_until_alive(found)
        yield found


def answer(port: int, *pieces: bytes, times: int = 1, pause_s: float = 0.0) -> bytes:
    """What comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        with suppress(ConnectionError):
            for _ in range(times):
                for piece in pieces:
                    client.sendall(piece)
                    time.sleep(pause_s)
        with suppress(ConnectionError):
            return b"".join(iter(lambda: client.recv(65536), b""))
    return b""


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (GET, b"X-%d: " % 7 + b"a" * 1_000 + b"\r\n"),
        (GET + b"X: ", b"a" * 10_000),
        (b"GET /", b"a" * 10_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 10_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"a" * 1_000 + b"\r\n"),
    ],
    ids=["headers", "one header", "address", "chunk", "trailers"],
)
def test_what_has_no_end_is_cut_off_and_takes_no_memory(start: bytes, piece: bytes) -> None:
    port = free_port()
    with service(port) as process:
        wait_until_alive(port)
        before, sent = resident_mb(process.pid), 0
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(start)
            with suppress(ConnectionError):
                while sent < 40_000_000:
                    client.sendall(piece)
                    sent += len(piece)
        assert sent < 20_000_000
        assert resident_mb(process.pid) < before + 15
        wait_until_alive(port)


def test_too_many_headers_are_told_so(port: int) -> None:
    told = answer(port, GET + b"X: " + b"a" * 70_000)
    assert told.startswith(b"HTTP/1.1 431 ")
    assert b"expected at most 65536" in told


def test_many_headers_that_end_and_many_requests_in_one_go_are_answered(port: int) -> None:
    assert answer(port, GET + b"X: " + b"a" * 40_000 + b"\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 200 "
    )
    requests = (GET + b"X: " + b"a" * 200 + b"\r\n\r\n") * 1_000 + GET + b"Connection: close\r\n\r\n"
    assert answer(port, requests).count(b"HTTP/1.1 200 ") == 1_001


def test_a_body_may_be_larger_than_a_head(port: int) -> None:
    head = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\nConnection: close\r\n\r\n"
    assert answer(port, head, b"a" * 3_000_000).endswith(b"3000000")


def test_a_head_that_stops_half_way_is_told_so_and_a_silent_connection_ends(hasty_port: int) -> None:
    assert answer(hasty_port, GET).startswith(b"HTTP/1.1 408 ")
    assert answer(hasty_port) == b""


def test_a_later_request_has_its_time_too(hasty_port: int) -> None:
    told = answer(hasty_port, GET + b"\r\n", GET, pause_s=0.1)
    assert told.count(b"HTTP/1.1 200 ") == 1
    assert told.count(b"HTTP/1.1 408 ") == 1


def test_a_head_in_pieces_that_comes_in_time_is_answered(port: int) -> None:
    told = answer(port, GET, b"X: 1\r\n", b"Connection: close\r\n\r\n", pause_s=0.05)
    assert told.startswith(b"HTTP/1.1 200 ")


def test_head_requests_on_one_connection_get_heads_alone(port: int) -> None:
    asked = b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\nHEAD /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    asked += b"HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + GET + b"Connection: close\r\n\r\n"
    told = answer(port, asked)
    *heads, body = told.split(b"\r\n\r\n")
    assert [head.split(b" ", 2)[1] for head in heads] == [b"200", b"200", b"404", b"200"]
    assert body == b'{"status":"alive"}'
    assert heads[0].count(b"content-length: 18") == 1
    assert b"transfer-encoding" not in heads[1]
