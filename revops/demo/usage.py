"""What the customers of the sample company use: the same events for the same day, whenever they are asked for.

An event is a minute of a customer's traffic, as a gateway adds it up. Nothing here reads a clock or a row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

SEED = "aurora"
GATEWAY, MEDIA, STORAGE = "gateway", "media", "storage"
MODELS = ("aurora-large", "aurora-small", "aurora-code")
# Records in each hour of a customer's day, as weights: an office wakes up, has lunch, and leaves batch jobs behind.
HOURS = (2, 2, 2, 1, 1, 2, 3, 6, 10, 12, 12, 11, 8, 11, 12, 11, 10, 8, 5, 4, 3, 3, 2, 2)

_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Habit:
    """How a customer uses the platform. Numbers are records a working day, and tokens of a record."""

    customer: str
    subjects: tuple[str, ...]
    zone: str
    starts_after: int = 0
    """Days after the first of the first month."""
    texts: int = 0
    tokens: int = 0
    pictures: int = 0
    transcripts: int = 0
    sessions: int = 0
    users: int = 0
    storage: int = 0
    """Gigabytes at first; a measurement is taken four times a day."""
    growth: float = 0.004
    """A day."""


HABITS = (
    Habit(
        "helios", ("helios", "helios-robotics", "helios-lab"), "Europe/Berlin", 0, 36, 710_000, sessions=18, users=31
    ),
    Habit("bergmann", ("bergmann-logistik",), "Europe/Berlin", 0, 22, 520_000, sessions=12, users=14),
    Habit("lumiere", ("lumiere-prod",), "Europe/Paris", 0, 18, 350_000, transcripts=10),
    Habit("tulip", ("tulip-mobility",), "Europe/Amsterdam", 14, 16, 420_000, sessions=8, users=9),
    Habit("northgate", ("northgate-api",), "Europe/London", 0, 30, 680_000),
    Habit("oakfield", ("oakfield-media",), "Europe/London", 9, 14, 320_000),
    Habit("maple", ("maple-dx", "maple-research"), "America/New_York", 0, 40, 1_060_000, transcripts=14, storage=84),
    Habit("redwood", ("redwood-labs",), "America/Los_Angeles", 0, 34, 770_000, storage=41),
    Habit("cascade", ("cascade-health", "cascade-claims"), "America/Chicago", 0, 52, 1_560_000),
    Habit("sakura", ("sakura-studio",), "Asia/Tokyo", 0, 14, 340_000, pictures=18),
    Habit("kitano", ("kitano-sys",), "Asia/Tokyo", 31, 18, 510_000, pictures=8),
    Habit("alpine", ("alpine-foto",), "Europe/Zurich", 0, pictures=26, storage=320, growth=0.006),
    Habit("fjord", ("fjord-energi",), "Europe/Oslo", 0, 12, 200_000, transcripts=4),
    Habit("wattle", ("wattle-software",), "Australia/Sydney", 46, 20, 490_000, transcripts=9, storage=22),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as its source sends it."""

    occurred_at: dt.datetime
    source: str
    id: str
    record: bytes


def events_of_day(habit: Habit, day: dt.date, first: dt.date) -> Iterator[Sent]:
    """The events of a customer's local day, in no particular order; `first` is the day its growth counts from."""
    chance = Random(f"{SEED}:{habit.customer}:{day.isoformat()}")
    age = (day - first).days
    if age < habit.starts_after:
        return
    pace = (1 + habit.growth) ** age * (1.0 if day.weekday() < 5 else 0.35) * chance.uniform(0.85, 1.15)
    kinds = (
        (GATEWAY, "inference.completed", habit.texts, _text),
        (MEDIA, "picture.generated", habit.pictures, _picture),
        (MEDIA, "audio.transcribed", habit.transcripts, _transcript),
        (GATEWAY, "session.started", habit.sessions, _session),
    )
    number = 0
    for source, kind, records, data in kinds:
        for _ in range(round(records * pace)):
            number += 1
            yield _event(habit, day, number, source, kind, _moment(habit, day, chance), data(habit, chance), chance)
    for hour in range(0, 24, 6) if habit.storage else ():
        number += 1
        at = dt.datetime.combine(day, dt.time(hour, chance.randrange(60)), ZoneInfo(habit.zone))
        gigabytes = round(habit.storage * (1 + habit.growth) ** age * chance.uniform(0.97, 1.03), 1)
        yield _event(habit, day, number, STORAGE, "storage.measured", at, {"gigabytes": str(gigabytes)}, chance)


def _event(
    habit: Habit,
    day: dt.date,
    number: int,
    source: str,
    kind: str,
    at: dt.datetime,
    data: dict[str, Any],
    chance: Random,
) -> Sent:
    instant = at.astimezone(dt.UTC)
    name = f"{habit.customer}-{day:%Y%m%d}-{number:04d}"
    return Sent(instant, source, name, cloud_event(name, source, kind, chance.choice(habit.subjects), instant, data))


def cloud_event(name: str, source: str, kind: str, subject: str, at: dt.datetime, data: dict[str, Any]) -> bytes:
    """A CloudEvent 1.0 in JSON."""
    return _encode(
        {
            "specversion": "1.0",
            "id": name,
            "source": source,
            "type": kind,
            "subject": subject,
            "time": at.isoformat().replace("+00:00", "Z"),
            "data": data,
        }
    )


def _moment(habit: Habit, day: dt.date, chance: Random) -> dt.datetime:
    [hour] = chance.choices(range(24), HOURS)
    time = dt.time(hour, chance.randrange(60), chance.randrange(60), chance.randrange(1_000_000))
    return dt.datetime.combine(day, time, ZoneInfo(habit.zone))


def _text(habit: Habit, chance: Random) -> dict[str, Any]:
    tokens = round(habit.tokens * chance.lognormvariate(-0.08, 0.4))
    [model] = chance.choices(MODELS, (5, 3, 2))
    return {
        "model": model,
        "requests": max(1, tokens // 2600),
        "input_tokens": tokens,
        "output_tokens": round(tokens * chance.uniform(0.16, 0.3)),
    }


def _picture(habit: Habit, chance: Random) -> dict[str, Any]:
    return {"size": chance.choice(("1024", "2048")), "pictures": chance.randrange(4, 60)}


def _transcript(habit: Habit, chance: Random) -> dict[str, Any]:
    return {"language": chance.choice(("en", "de", "fr")), "minutes": f"{chance.uniform(2, 95):.2f}"}


def _session(habit: Habit, chance: Random) -> dict[str, Any]:
    return {"user": f"u{chance.randrange(habit.users):03d}"}
