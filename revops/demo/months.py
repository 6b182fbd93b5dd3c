"""The months of the sample company: three full ones and the open one, counted back from an instant."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Months:
    """First days of months. `first` to `third` are over, `open` is running."""

    first: dt.date
    second: dt.date
    third: dt.date
    open: dt.date

    @classmethod
    def before(cls, at: dt.datetime) -> Months:
        """The three months before the one of an instant (UTC), and that one."""
        return cls.beginning(shifted(at.date().replace(day=1), -3))

    @classmethod
    def beginning(cls, first: dt.date) -> Months:
        return cls(first, shifted(first, 1), shifted(first, 2), shifted(first, 3))

    def words(self) -> dict[str, str]:
        """The months by the names the files use, as in 2026-08."""
        named = {
            "first": self.first,
            "second": self.second,
            "third": self.third,
            "open": self.open,
            "next": shifted(self.open, 1),
            "year": shifted(self.open, 13),
        }
        return {name: f"{day:%Y-%m}" for name, day in named.items()}


def shifted(first_day: dt.date, months: int) -> dt.date:
    """The first day of the month so many months on."""
    number = first_day.year * 12 + first_day.month - 1 + months
    return dt.date(number // 12, number % 12 + 1, 1)


def moment(day: dt.date, days: int, hour: int, minute: int = 0) -> dt.datetime:
    """An instant so many days after a day, UTC."""
    return dt.datetime.combine(day, dt.time(hour, minute), dt.UTC) + dt.timedelta(days=days)
