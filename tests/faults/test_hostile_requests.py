"""Requests that are too large, too slow, cut off or wrongly measured: refused early, and nobody else notices."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults import company
from tests.faults.installation import Installation

HUGE = 100_000_000
MEBIBYTE = 1024 * 1024
BATCH = "application/cloudevents-batch+json"

numbers = itertools.count(1)


@pytest.fixture
def untouched(installation: Installation) -> Iterator[None]:
    """What the test does leaves nothing behind."""
    before = stored(installation)
    yield
    assert stored(installation) == before


def stored(installation: Installation) -> tuple[int, ...]:
    """Events, register and receipts; that of an empty batch says nothing."""
    return installation.sql(
        "SELECT (SELECT count(*) FROM billing_event), (SELECT count(*) FROM billing_register),"
        " (SELECT count(*) FROM billing_receipt WHERE received > 0)"
    )[0]


def head(installation: Installation, *lines: str, path: str = "/api/v1/events") -> bytes:
    given = [
        f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {installation.secret}",
        f"Content-Type: {BATCH}", *lines,
    ]  # fmt: skip
    return "\r\n".join([*given, "", ""]).encode()


def connected(installation: Installation, timeout: float = 20) -> socket.socket:
    return socket.create_connection(("127.0.0.1", installation.port), timeout)


def answer_of(client: socket.socket) -> tuple[int, bytes]:
    """The status and all that was answered, to the end of the connection or of the body."""
    said = b""
    while piece := client.recv(65536):
        said += piece
        if is_whole(said):
            break
    assert said, "the connection was closed without an answer"
    return int(said.split(b" ", 2)[1]), said


def is_whole(said: bytes) -> bool:
    top, separator, body = said.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in top.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(separator and lengths and len(body) >= lengths[0])


def memory(installation: Installation) -> int:
    """The most memory any web process ever had, in bytes."""
    peaks = []
    for pid in installation.web_processes():
        status = Path(f"/proc/{pid}/status").read_text()
        peaks.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")))
    return max(peaks) * 1024


@pytest.mark.usefixtures("untouched")
class TestABodyOfAHundredMegabytes:
    @pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/calculate", "/api/v1/corrections"])
    def test_is_refused_before_a_byte_of_it_is_sent(self, installation: Installation, path: str) -> None:
        with connected(installation) as client:
            client.sendall(head(installation, f"Content-Length: {HUGE}", path=path))
            status, said = answer_of(client)
        assert status == 413
        assert b"application/problem+json" in said

    def test_that_is_sent_all_the_same_still_gets_its_answer_and_costs_no_memory(
        self, installation: Installation
    ) -> None:
        warm(installation)
        before = memory(installation)
        answer = installation.post(b" " * HUGE)
        assert answer.status == 413
        assert "16 MiB" in answer.json["detail"]
        assert memory(installation) - before < 8 * MEBIBYTE

    def test_in_chunks_is_refused_once_it_is_too_much(self, installation: Installation) -> None:
        warm(installation)
        before = memory(installation)
        chunk = b"%x\r\n%b\r\n" % (MEBIBYTE, b" " * MEBIBYTE)
        with connected(installation) as client:
            client.sendall(head(installation, "Transfer-Encoding: chunked"))
            sent = send_until_answered(client, chunk, HUGE // MEBIBYTE)
            status, _ = answer_of(client)
        assert status == 413
        assert sent >= 16
        assert memory(installation) - before < 3 * 17 * MEBIBYTE  # what is read before it is too much, and its copies

    def test_at_the_sign_in_of_the_console_is_refused_too(self, installation: Installation) -> None:
        with connected(installation) as client:
            client.sendall(
                b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" % HUGE
            )
            client.sendall(b"a" * 100_000)
            status, _ = answer_of(client)
        assert status in (400, 403, 413)


def warm(installation: Installation) -> None:
    """What the first request of a process loads is not what is measured."""
    for _ in range(8):
        assert installation.post(b"[]").status == 200


def send_until_answered(client: socket.socket, piece: bytes, most: int) -> int:
    """How many pieces were sent before the server said something."""
    for sent in range(most):
        client.setblocking(False)
        try:
            if client.recv(1, socket.MSG_PEEK):
                return sent
        except BlockingIOError:
            pass
        finally:
            client.settimeout(20)
        client.sendall(piece)
    return most


class TestABatch:
    def test_of_one_record_too_many_is_refused(self, installation: Installation, untouched: None) -> None:
        answer = installation.post(company.encode([company.event(n) for n in range(10_001)]))
        assert answer.status == 413
        assert "at most 10000" in answer.json["detail"]

    def test_of_nothing_is_answered_with_zeros(self, installation: Installation) -> None:
        answer = installation.post(b"[]")
        assert answer.status == 200
        counted = {name: answer.json[name] for name in ("received", "accepted", "duplicates", "quarantined", "results")}
        assert counted == {"received": 0, "accepted": 0, "duplicates": 0, "quarantined": 0, "results": []}

    def test_of_the_largest_number_is_taken(self, installation: Installation) -> None:
        answer = installation.post(company.encode([company.event(n) for n in range(100_000, 110_000)]))
        assert (answer.status, answer.json["accepted"]) == (200, 10_000)

    def test_in_chunks_is_taken(self, installation: Installation) -> None:
        body = company.encode([company.event(next(numbers))])
        with connected(installation) as client:
            client.sendall(head(installation, "Transfer-Encoding: chunked"))
            for place in range(0, len(body), 50):
                piece = body[place : place + 50]
                client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.sendall(b"0\r\n\r\n")
            status, said = answer_of(client)
        assert (status, json.loads(said.partition(b"\r\n\r\n")[2])["accepted"]) == (200, 1)

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
    def test_that_is_compressed_is_refused(self, installation: Installation, untouched: None, encoding: str) -> None:
        answer = installation.post(b"\x1f\x8b", headers={"Content-Encoding": encoding})
        assert answer.status == 415
        assert "content encoding" in answer.json["detail"]


@pytest.mark.usefixtures("untouched")
class TestALengthThatIsNotTrue:
    def test_of_a_body_that_ends_early_stores_nothing(self, installation: Installation) -> None:
        body = company.encode([company.event(next(numbers))])
        for announced in (len(body) + 1, len(body) + 1000):
            with connected(installation) as client:
                client.sendall(head(installation, f"Content-Length: {announced}") + body)
                client.shutdown(socket.SHUT_WR)
                said = client.recv(65536)
            assert said == b"" or int(said.split(b" ", 2)[1]) == 400

    def test_of_chunks_that_end_early_stores_nothing(self, installation: Installation) -> None:
        body = company.encode([company.event(next(numbers))])
        for end in (b"", b"\r\n", b"\r\n5\r\nab"):
            with connected(installation) as client:
                client.sendall(head(installation, "Transfer-Encoding: chunked") + b"%x\r\n%b" % (len(body), body) + end)
                client.shutdown(socket.SHUT_WR)
                said = client.recv(65536)
            assert said == b"" or int(said.split(b" ", 2)[1]) == 400

    @pytest.mark.parametrize(
        "lines",
        [
            ["Content-Length: many"], ["Content-Length: -5"], ["Content-Length: 1e3"], ["Content-Length: 0x10"],
            ["Content-Length: 10", "Content-Length: 20"], ["Content-Length: 10", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: gzip, chunked"], ["Content-Length: 99999999999999999999999999"],
            ["Content-Length : 5"], ["X" * 9000 + ": 1"], [f"X-{n}: 1" for n in range(200)],
        ],
        ids=lambda lines: lines[0][:30],
    )  # fmt: skip
    def test_or_makes_no_sense_is_refused(self, installation: Installation, lines: list[str]) -> None:
        with connected(installation) as client:
            client.sendall(head(installation, *lines) + b"[]")
            client.shutdown(socket.SHUT_WR)
            said = client.recv(65536)
        assert said == b"" or 400 <= int(said.split(b" ", 2)[1]) < 500 or b" 501 " in said[:40]

    def test_shorter_than_the_body_takes_no_more_than_was_said(self, installation: Installation) -> None:
        """The rest would be another request, and is none."""
        with connected(installation) as client:
            client.sendall(head(installation, "Content-Length: 5") + company.encode([company.event(next(numbers))]))
            status, _ = answer_of(client)
        assert status == 400


class TestSlowClients:
    """More of them than there are threads (2 processes of 4): the others are served all the same."""

    COUNT = 40

    @pytest.mark.parametrize(
        "piece", [b"", b"P", b"POST /api/v1/events HTTP/1.1\r\nHost: loc"], ids=["silence", "a byte", "half a header"]
    )
    def test_that_never_finish_their_headers_do_not_keep_the_threads(
        self, installation: Installation, piece: bytes
    ) -> None:
        with ExitStack() as stack:
            for _ in range(self.COUNT):
                client = stack.enter_context(connected(installation))
                if piece:
                    client.sendall(piece)
            self.assert_served(installation, within=30)

    def test_that_send_a_header_byte_by_byte_are_cut_off(self, installation: Installation) -> None:
        with connected(installation, timeout=1) as client:
            begun = time.monotonic()
            try:
                while time.monotonic() - begun < 30:
                    client.sendall(b"G")
                    time.sleep(0.5)
            except OSError:
                pass
            assert time.monotonic() - begun < 20

    def test_that_never_send_their_body_do_not_keep_the_threads(self, installation: Installation) -> None:
        """Neither a body that is waited for (with a key), nor one that is not (without)."""
        with ExitStack() as stack:
            for place in range(self.COUNT):
                client = stack.enter_context(connected(installation))
                lines = head(installation, "Content-Length: 1000")
                client.sendall(lines if place % 4 == 0 else lines.replace(b"Bearer ", b"Bearer x"))
            self.assert_served(installation, within=45)

    def assert_served(self, installation: Installation, within: float) -> None:
        begun = time.monotonic()
        assert installation.post(b"[]", timeout=within).status == 200
        assert time.monotonic() - begun < within


def test_the_books_hold_after_all_this(installation: Installation) -> None:
    assert installation.check_books(company.LATER)["ok"]
