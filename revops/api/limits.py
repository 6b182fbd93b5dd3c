"""How much a key may ask for: an allowance that flows back steadily, counted in memory that all workers share.

For each key and kind there is one number: the moment at which its allowance is whole again (the generic cell rate
algorithm). It costs no query, and all workers of a server count together, because the memory is mapped before they are
forked (`preload_app`). Nothing locks it: two workers that write in the same microsecond may let one call too many
through. Servers on several machines count apart; a restart begins anew.
"""

from __future__ import annotations

import mmap
from enum import IntEnum
from math import ceil
from time import monotonic
from typing import NamedTuple
from zlib import crc32

WINDOW = 60.0  # seconds

REQUESTS = 30_000
RECORDS = 6_000_000
FAILURES = 3_000


class Kind(IntEnum):
    """What is counted."""

    REQUESTS = 0
    RECORDS = 1
    FAILURES = 2

    @property
    def word(self) -> str:
        return self.name.lower()


_HAIR = 1e-6  # seconds; doubles are not exact
_PLACES = 65_536  # of each kind; keys are numbered from 1, addresses are hashed

# One page of doubles per kind; the last place of all counts changes of keys (`revops.api.keys`).
_memory = memoryview(mmap.mmap(-1, 8 * (_PLACES * len(Kind) + 1))).cast("d")
_GENERATION = _PLACES * len(Kind)


class Allowance(NamedTuple):
    """What is left of a limit a minute; `wait` is 0 where the call may pass, else seconds until it may."""

    kind: Kind
    limit: int
    left: int
    wait: float
    whole_in: float

    def headers(self) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy`, as the IETF draft has them (draft-ietf-httpapi-ratelimit-headers)."""
        return {
            "RateLimit": f'"{self.kind.word}";r={self.left};t={ceil(self.whole_in)}',
            "RateLimit-Policy": f'"{self.kind.word}";q={self.limit};w={WINDOW:.0f}',
        }


def take(kind: Kind, number: int, limit: int, cost: int = 1) -> Allowance:
    """Take `cost` out of an allowance, if one is left: what is taken beyond it is waited for afterwards.

    So a batch passes whole, whatever its size, and the next one waits for it.
    """
    place = kind * _PLACES + number % _PLACES
    now = monotonic()
    whole_at = min(max(_memory[place], now), now + 1000 * WINDOW)
    for_one = WINDOW / limit
    if whole_at - now > WINDOW - for_one + _HAIR:
        return Allowance(kind, limit, 0, whole_at - now - WINDOW + for_one, whole_at - now)
    whole_at += cost * for_one
    _memory[place] = whole_at
    left = max(0, int((now + WINDOW - whole_at + _HAIR) * limit / WINDOW))
    return Allowance(kind, limit, left, 0.0, whole_at - now)


def number_of(address: str) -> int:
    """Where an address is counted. Two may share a place."""
    return crc32(address.encode())


def generation() -> float:
    """Grows with every change of keys made on this server."""
    return _memory[_GENERATION]


def next_generation() -> None:
    _memory[_GENERATION] += 1
