"""How a log line looks, whoever writes it: one entry begins at the margin and says no secret.

What somebody sent may be quoted in a message. A line break in it must not look like an entry of its own, a control
character must not reach a terminal, and a key or a password must not be kept.
"""

from __future__ import annotations

import logging
import re

from gunicorn.config import Config
from gunicorn.glogging import Logger

# Line breaks of all kinds (Python's own exceptions use \n), and what moves a terminal's cursor or changes its colours.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SECRETS = [
    (re.compile(r"\bwt_[\w-]{8,}"), "wt_..."),  # keys of the API
    (re.compile(r"(?i)\b(bearer|basic|x-api-key:?) +[^\s'\"]{4,}"), r"\1 ..."),
    (re.compile(r"(?i)\b(sessionid|csrftoken|csrfmiddlewaretoken|password|passwd)(['\"]?\s*[=:]\s*['\"]?)[^\s'\";&,]+"),
     r"\1\2..."),
    (re.compile(r"(?i)\b(postgres(?:ql)?://[^:/@\s]+):[^@\s]+@"), r"\1:...@"),
]  # fmt: skip


class LogLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def plain(entry: str) -> str:
    """An entry with its further lines moved in, control characters written out, and secrets left out."""
    for secret, instead in _SECRETS:
        entry = secret.sub(instead, entry)
    return _CONTROL.sub(_written_out, entry).replace("\n", "\n    ")


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


class ServerLog(Logger):  # type: ignore[misc]  # the server has no types
    """gunicorn's own log, in the same way."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(LogLines(self.error_fmt, self.datefmt))
