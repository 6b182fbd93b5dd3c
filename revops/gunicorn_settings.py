"""Settings of the web server (`serve` names this module to gunicorn and adds address and number of workers)."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

wsgi_app = "revops.wsgi:application"
worker_class = "gthread"  # slow clients and idle connections cost no process
worker_connections = 1000
preload_app = True
timeout = 120
graceful_timeout = 30  # what a worker may take to finish what it does
keepalive = 15
loglevel = "warning"
control_socket_disable = True

# Seconds a thread may compute while another waits to go on. One that holds locks in the database must not wait long
# after each of its statements for those that decode.
sys.setswitchinterval(0.0005)

DRAINED_BYTES = 64 * 1024 * 1024
DRAINED_FOR = 10.0  # seconds


def post_request(worker: Any, request: Any, environ: dict[str, Any], response: Any) -> None:
    """Take what a client still sends of a body that was refused before it was read.

    Otherwise the connection would be reset under it, and it would never see why. Bounded in bytes and time.
    """
    connection: socket.socket | None = environ.get("gunicorn.socket")
    if connection is None or request.body is None:
        return
    before = connection.gettimeout()
    ends_at = time.monotonic() + DRAINED_FOR
    left = DRAINED_BYTES
    try:
        while left > 0 and (patience := ends_at - time.monotonic()) > 0:
            connection.settimeout(patience)
            piece = request.body.read(min(left, 64 * 1024))
            if not piece:
                return
            left -= len(piece)
    except OSError:
        return
    finally:
        connection.settimeout(before)
