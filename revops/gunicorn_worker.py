"""The web server's worker process: gunicorn's threads, none of which a slow client can keep for long.

gunicorn waits without end for the rest of a request. So a handful of clients that send their headers a byte at a time,
or stop in the middle of a body, would occupy every thread. Here a request has to arrive within a time; what has not is
cut off, as if the client had hung up.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

# Seconds.
FIRST_BYTE_WITHIN = 0.05  # until it comes, a new connection waits without a thread
HEAD_WITHIN = 10.0  # from a thread's first look at a connection to the end of the headers
HEAD_WITHIN_PRESSED = 1.0  # the same while others wait for a thread
REQUEST_WITHIN = 60.0  # from there to the end of the body; 16 MiB arrive in it at 2.3 Mbit/s
PIECE_WITHIN = 10  # for the next piece of a body to come, and for a piece of an answer to be taken
REFUSED_WITHIN = 10.0  # how long a client may go on sending a body that was refused unread,
REFUSED_PIECE_WITHIN = 1.0  # and how long it may pause

REFUSED_BYTES = 256 * 1024 * 1024


class Worker(ThreadWorker):  # type: ignore[misc]  # the server has no types
    """The main loop looks once a second for requests that are overdue."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heads: dict[TConn, float] = {}  # connections whose headers a thread reads, and since when
        self.requests: dict[TConn, float] = {}  # those whose request it answers, and since when
        self.waiting: set[TConn] = set()  # those that no thread looks at yet

    def enqueue_req(self, conn: TConn) -> None:
        self.waiting.add(conn)
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        self.waiting.discard(conn)
        if not conn.initialized and not conn.wait_for_data(FIRST_BYTE_WITHIN):
            return _DEFER
        self.heads[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self.heads.pop(conn, None)
            self.requests.pop(conn, None)

    def handle_request(self, req: Any, conn: TConn) -> bool:
        self.heads.pop(conn, None)
        self.requests[conn] = time.monotonic()
        limit = struct.pack("ll", PIECE_WITHIN, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, limit)
        keeps_alive = super().handle_request(req, conn)
        return take_the_rest(conn.sock, req) and bool(keeps_alive)

    def murder_pending(self) -> None:
        super().murder_pending()
        now = time.monotonic()
        # Somebody whose turn it is not yet, rather than one who has come this moment.
        head_within = HEAD_WITHIN_PRESSED if self.waiting else HEAD_WITHIN
        overdue = [conn for conn, since in list(self.heads.items()) if now - since > head_within]
        overdue += [conn for conn, since in list(self.requests.items()) if now - since > REQUEST_WITHIN]
        for conn in overdue:
            # Only what is still to be read: an answer that takes its time to make is not disturbed.
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RD)


def take_the_rest(connection: socket.socket, request: Any) -> bool:
    """Take what a client still sends of a body that was refused before it was read. False: there is more.

    Otherwise the connection would be reset under it, and it would never see why.
    """
    ends_at = time.monotonic() + REFUSED_WITHIN
    left = REFUSED_BYTES
    try:
        while left > 0 and (patience := ends_at - time.monotonic()) > 0:
            connection.settimeout(min(patience, REFUSED_PIECE_WITHIN))
            piece = request.body.read(min(left, 64 * 1024))
            if not piece:
                return True
            left -= len(piece)
    except Exception:
        return False  # it has hung up, sends no more, or sends nonsense
    finally:
        connection.settimeout(None)
    return False
