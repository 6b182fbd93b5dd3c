"""What goes wrong at the sample company: records that cannot be counted, senders that repeat themselves, late ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from revops.demo.months import Months, moment
from revops.demo.usage import GATEWAY, MEDIA, MODELS, SEED, cloud_event


@dataclass(frozen=True, slots=True)
class Delivery:
    """Records that arrive together."""

    at: dt.datetime
    records: tuple[bytes, ...]


def deliveries(months: Months, until: dt.datetime) -> Iterator[Delivery]:
    """Everything that is held in the end, and an office in Tokyo whose events come weeks late."""
    yield from _mistyped_subject(months)
    yield from _late_office(months)
    yield _staging(moment(months.third, 14, 9, 12))
    yield _no_json(moment(months.third, 16, 13, 5))
    yield from _broken_counters(moment(months.third, 18, 15, 40))
    yield _fast_clock(until - dt.timedelta(hours=30))
    yield from _new_event_type(until)


def _tokens(name: str, subject: str, at: dt.datetime, source: str = GATEWAY, **changes: Any) -> bytes:
    chance = Random(f"{SEED}:{name}")
    data = {
        "model": chance.choice(MODELS),
        "requests": chance.randrange(40, 160),
        "input_tokens": chance.randrange(90_000, 400_000),
        "output_tokens": chance.randrange(20_000, 90_000),
    }
    data = {key: value for key, value in (data | changes).items() if value is not None}
    return cloud_event(name, source, "inference.completed", subject, at, data)


def _mistyped_subject(months: Months) -> Iterator[Delivery]:
    """A new deployment of Helios spells its name wrong for three days; its outbox repeats what was not accepted."""
    for day in range(6, 9):
        at = moment(months.third, day, 16, 30)
        names = [(f"helios-edge-{day}{n:02d}", at - dt.timedelta(minutes=20 * n + 7)) for n in range(9)]
        records = tuple(_tokens(name, "helios-robotcs", occurred_at) for name, occurred_at in names)
        yield Delivery(at, records)
        yield Delivery(at + dt.timedelta(hours=12), records)


def _late_office(months: Months) -> Iterator[Delivery]:
    """A gateway in Tokyo was cut off for two days; its events arrive when their month is long closed."""
    arrival = moment(months.second, 8, 14, 20)
    went_dark = moment(months.first, 19, 2)
    records = [
        _tokens(f"tokyo-{n:03d}", ("sakura-studio", "redwood-labs")[n % 2], went_dark + dt.timedelta(minutes=14 * n))
        for n in range(200)
    ]
    yield Delivery(arrival, tuple(records))


def _staging(at: dt.datetime) -> Delivery:
    """Somebody pointed a test system here."""
    names = [(f"stg-{n}", at - dt.timedelta(minutes=3 * n + 1)) for n in range(6)]
    return Delivery(at, tuple(_tokens(name, "maple-dx", when, source="gateway-staging") for name, when in names))


def _no_json(at: dt.datetime) -> Delivery:
    whole = _tokens("cascade-cut-1", "cascade-claims", at - dt.timedelta(minutes=4))
    return Delivery(at, (whole[:-38], b'{"specversion":"1.0","id":7711,"source":"gateway"}', b'"ping <b>?</b>"'))


def _broken_counters(at: dt.datetime) -> Iterator[Delivery]:
    """A release of Northgate counts wrongly; one of its records is sent again, repaired."""
    before = [at - dt.timedelta(minutes=11 * n + 2) for n in range(7)]
    subject = "northgate-api"
    yield Delivery(
        at,
        (
            _tokens("ng-rel42-1", subject, before[0], output_tokens="n/a"),
            _tokens("ng-rel42-2", subject, before[1], input_tokens=-48_000),
            _tokens("ng-rel42-3", subject, before[2], output_tokens=True),
            _tokens("ng-rel42-4", subject, before[3], output_tokens=None),
            _tokens("ng-rel42-5", subject, before[4], output_tokens=None),
            _tokens("ng-rel42-6", subject, before[5], input_tokens=None),
            _tokens("ng-rel42-7", subject, before[6], input_tokens=""),
        ),
    )
    yield Delivery(at + dt.timedelta(hours=20), (_tokens("ng-rel42-4", subject, before[3]),))


def _fast_clock(at: dt.datetime) -> Delivery:
    """An appliance whose clock is a day ahead."""
    ahead = [at + dt.timedelta(hours=25, minutes=9 * n) for n in range(4)]
    return Delivery(at, tuple(_tokens(f"bergmann-box-{n}", "bergmann-logistik", when) for n, when in enumerate(ahead)))


def _new_event_type(until: dt.datetime) -> Iterator[Delivery]:
    """Video is in beta: the pipeline reports it, and no meter counts it yet."""
    for day in (3, 2, 1):
        at = until - dt.timedelta(days=day, hours=1)
        yield Delivery(
            at,
            tuple(
                cloud_event(
                    f"alpine-video-{day}-{n}",
                    MEDIA,
                    "video.generated",
                    "alpine-foto",
                    at - dt.timedelta(minutes=31 * n + 5),
                    {"seconds": 8 + 3 * n, "resolution": "1080p"},
                )
                for n in range(7)
            ),
        )


def changed(record: bytes, **data: Any) -> dict[str, Any]:
    """The data of a record with some of them replaced."""
    found: dict[str, Any] = msgspec.json.decode(record)["data"]
    return found | data


def contradicting(record: bytes) -> bytes:
    """The same id with other content: what a sender that reuses ids sends."""
    event = msgspec.json.decode(record)
    event["data"]["input_tokens"] += 70_000
    return msgspec.json.encode(event)
