"""Patterns of rules: plain text in which each * stands for anything.

A pattern is matched from left to right, each star taking as little as it can. There is nothing to go back to, so no
text makes it slow, unlike a regular expression.
"""

from __future__ import annotations

import re

STAR = "*"
MOST_STARS = 3

_TAKEN = re.compile(r"\$([1-9])", re.ASCII)


class Pattern:
    """A pattern, cut at its stars."""

    def __init__(self, text: str) -> None:
        self.first, *self.rest = text.split(STAR)
        self.last = self.rest.pop() if self.rest else None

    def match(self, text: str) -> list[str] | None:
        """What each star took; None where the text is not of the pattern. A pattern without stars is the text."""
        first, last = self.first, self.last
        if last is None:
            return [] if text == first else None
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return None
        place, end = len(first), len(text) - len(last)
        taken: list[str] = []
        for part in self.rest:
            found = text.find(part, place, end)
            if found < 0:
                return None
            taken.append(text[place:found])
            place = found + len(part)
        return [*taken, text[place:end]]


def fill_in(result: str, taken: list[str]) -> str:
    """The result with $1, $2 ... in it replaced by what the stars took."""
    return _TAKEN.sub(lambda named: taken[int(named[1]) - 1], result)


def stars_named(result: str) -> int:
    """The highest star that a result names; 0 where it names none."""
    return max((int(number) for number in _TAKEN.findall(result)), default=0)
