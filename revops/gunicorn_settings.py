"""Settings of the web server (`serve` names this module to gunicorn and adds address and number of workers)."""

from __future__ import annotations

import gc
import sys
from typing import Any

from django.conf import settings

from revops.embedded.guarding import start_guard

wsgi_app = "revops.wsgi:application"
worker_class = "revops.gunicorn_worker.Worker"  # slow clients and idle connections cost no process
worker_connections = 1000
preload_app = True
timeout = 120
graceful_timeout = 30  # what a worker may take to finish what it does
keepalive = 15
loglevel = "warning"
logger_class = "revops.log_lines.ServerLog"
control_socket_disable = True

# Seconds a thread may compute while another waits to go on. One that holds locks in the database must not wait long
# after each of its statements for those that decode.
sys.setswitchinterval(0.0005)


def when_ready(server: Any) -> None:
    """What is loaded stays: no worker looks it through for garbage in the midst of a request, nor copies its pages."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """The embedded server comes back after a crash, as long as somebody serves."""
    if settings.PLAN.embedded:
        start_guard()
