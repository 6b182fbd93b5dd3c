"""How a long check says how far it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Bar(Protocol):
    """What shows how far a step is."""

    def update(self, n: float = 1) -> object: ...


class Watch(Protocol):
    """Opens a bar for a step of so many units; None where that is not known."""

    def __call__(self, total: int | None, label: str) -> AbstractContextManager[Bar]: ...


class _Unseen:
    def update(self, n: float = 1) -> None:
        return


def unseen(total: int | None, label: str) -> AbstractContextManager[Bar]:
    """Watches nothing."""
    return nullcontext(_Unseen())
