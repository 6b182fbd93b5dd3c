"""What events are labelled by, kept in memory: sources and their rules, meters, who a subject is, when contracts run.

The database counts every change of these (billing/migrations/sql/directory.sql). A batch compares that count once,
inside its transaction; only subjects not seen since the last change are looked up, all at once. So a change counts
from the next batch on, in every process, and a batch costs the same however many customers there are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from msgspec import Struct

from billing.metering.decoding import MICROSECOND, instant_of
from billing.metering.readings import read_text
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import terms_of
from billing.metering.rules import Rules, compile_rules
from billing.models import Source, SourceRule
from catalog.models import Aggregation, Meter
from catalog.periods import local_midnight

FOR_EVER = instant_of(dt.datetime.max.replace(tzinfo=dt.UTC)) + 1
MOST_SUBJECTS = 200_000  # kept in memory; beyond that a new directory begins, while others finish with the old one
MOST_DATABASES = 16  # a process that plays many scenarios sees many


class KnownSource(Struct, frozen=True, gc=False):
    """A source; `clock_skew` in microseconds."""

    id: int
    clock_skew: int


class MeterPlan(Struct, frozen=True, gc=False):
    """How a meter counts an event of its type.

    `filters` are texts allowed per property (None allows its absence); `groups` remembers the text of each set of
    group-by values (of a single one: of the value itself).
    """

    id: int
    key: str
    aggregation: str
    value: str
    group_by: tuple[str, ...]
    filters: tuple[tuple[str, frozenset[str | None]], ...]
    allows_negative: bool
    groups: dict[str | tuple[str | None, ...], str]


class EventType(Struct, frozen=True, gc=False):
    """The meters that count events of a type. `ids` are those of all of them, where none has a filter."""

    meters: tuple[MeterPlan, ...]
    ids: tuple[int, ...] | None


def event_type(meters: Iterable[MeterPlan]) -> EventType:
    plans = tuple(meters)
    is_filtered = any(plan.filters for plan in plans)
    return EventType(plans, None if is_filtered else tuple(plan.id for plan in plans))


class KnownCustomer(Struct, frozen=True, gc=False):
    """A customer, and the spans of its approved contracts: [start, end) in microseconds since EPOCH.

    `is_limited`: something it uses has a limit, of which it is told how much is used.
    """

    id: int
    spans: tuple[tuple[int, int], ...]
    is_limited: bool = False


class Directory:
    """A view of the database as of one version; `version` is None where it may not be kept."""

    def __init__(
        self,
        version: str | None,
        sources: Mapping[str, KnownSource],
        types: Mapping[str, EventType],
        customers: dict[str, KnownCustomer | None] | None = None,
        rules: Mapping[str, Rules] | None = None,
    ) -> None:
        self.version = version
        self.sources = sources
        self.types = types
        self.customers: dict[str, KnownCustomer | None] = customers or {}
        # By the key of their source; most sources have none.
        self.rules: Mapping[str, Rules] = rules or {}
        self.limited: set[int] = set()

    def look_up(self, subjects: Collection[str]) -> None:
        """Learn who these subjects are; one query for all that are not known yet."""
        unknown = [subject for subject in subjects if subject not in self.customers]
        if unknown:
            found = customers_of(unknown)
            self.limited.update(customer.id for customer in found.values() if customer.is_limited)
            self.customers.update({subject: found.get(subject) for subject in unknown})


_kept: dict[tuple[object, ...], Directory] = {}
_keeping = Lock()


def current_directory() -> Directory:
    """The directory to label by; compare its version with `directory_version` inside the batch's transaction.

    Inside somebody else's transaction it is always read anew: what that one has changed may never be committed.
    """
    if connection.in_atomic_block:
        return load_directory(None)
    place = _place()
    directory = _kept.get(place)
    if directory is None or len(directory.customers) > MOST_SUBJECTS:
        directory = load_directory(directory_version())
        with _keeping:
            if len(_kept) > MOST_DATABASES:
                _kept.clear()
            _kept[place] = directory
    return directory


def forget_directory() -> None:
    with _keeping:
        _kept.pop(_place(), None)


def directory_version() -> str:
    """The version now. Holds off changes of meters until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT watertight_directory_version()")
        return str(cursor.fetchone()[0])


def load_directory(version: str | None) -> Directory:
    sources = {
        key: KnownSource(id, clock_skew // MICROSECOND)
        for id, key, clock_skew in Source.objects.values_list("id", "key", "clock_skew")
    }
    by_type: dict[str, list[MeterPlan]] = {}
    for meter in Meter.objects.order_by("id"):
        by_type.setdefault(meter.event_type, []).append(meter_plan(meter))
    types = {type: event_type(plans) for type, plans in by_type.items()}
    return Directory(version, sources, types, rules=rules_by_source())


def rules_by_source() -> dict[str, Rules]:
    """The rules in force, compiled, by the key of their source; sources without rules are not among them."""
    by_source: dict[str, list[RuleTerms]] = {}
    for rule in SourceRule.objects.filter(is_active=True).select_related("source").order_by("position"):
        by_source.setdefault(rule.source.key, []).append(terms_of(rule))
    return {source: compile_rules(terms) for source, terms in by_source.items()}


def meter_plan(meter: Meter) -> MeterPlan:
    return MeterPlan(
        id=meter.pk,
        key=meter.key,
        aggregation=meter.aggregation,
        value="" if meter.aggregation == Aggregation.COUNT else meter.value,
        group_by=tuple(meter.group_by),
        filters=tuple((path, _allowed(values)) for path, values in sorted(meter.filters.items())),
        allows_negative=meter.allow_negative or meter.aggregation == Aggregation.WEIGHTED_SUM,
        groups={},
    )


def _allowed(values: Any) -> frozenset[str | None]:
    listed = values if isinstance(values, list) else [values]
    return frozenset(_text(value) for value in listed)


def _text(value: object) -> str | None:
    """A filter's value as the text it is compared by: 200 and "200" are the same."""
    if isinstance(value, float):
        value = repr(value)  # JSON columns are read with floats; the shortest form is what was written
    read = read_text({"value": value}, "value")
    return read if isinstance(read, str) else None


CUSTOMERS = """
    SELECT asked.subject, customer.id, contract.starts_on, contract.ends_on,
        coalesce(nullif(contract.timezone, ''), nullif(customer.timezone, ''), seller.timezone),
        EXISTS (
            SELECT FROM contracts_contractline AS line
            JOIN catalog_entitlement AS given ON given.version_id = line.plan_version_id AND given.kind = 'metered'
            WHERE line.contract_id = contract.id AND line.superseded_at IS NULL
        ) OR EXISTS (
            SELECT FROM contracts_allowanceterm AS term
            WHERE term.contract_id = contract.id AND term.superseded_at IS NULL
        )
    FROM unnest(%s::text[]) AS asked(subject)
    LEFT JOIN contracts_customeralias AS alias ON alias.subject = asked.subject
    LEFT JOIN contracts_customer AS named ON named.key = asked.subject AND alias.id IS NULL
    JOIN contracts_customer AS customer ON customer.id = coalesce(alias.customer_id, named.id)
    LEFT JOIN contracts_contract AS contract ON contract.customer_id = customer.id AND contract.status = 'approved'
    LEFT JOIN catalog_seller AS seller ON seller.id = contract.seller_id
"""


def customers_of(subjects: Iterable[str]) -> dict[str, KnownCustomer]:
    """Who these subjects are: by alias, else by the customer's own key."""
    with connection.cursor() as cursor:
        cursor.execute(CUSTOMERS, [list(subjects)])
        rows = cursor.fetchall()
    found: dict[str, tuple[int, list[tuple[int, int]]]] = {}
    limited: set[int] = set()
    for subject, customer_id, starts_on, ends_on, zone, is_limited in rows:
        _, spans = found.setdefault(subject, (customer_id, []))
        if starts_on is not None:
            spans.append((_midnight(starts_on, zone), _midnight(ends_on, zone) if ends_on else FOR_EVER))
        if is_limited:
            limited.add(customer_id)
    return {subject: KnownCustomer(id, tuple(spans), id in limited) for subject, (id, spans) in found.items()}


@lru_cache(maxsize=10_000)
def _midnight(day: dt.date, zone: str) -> int:
    return instant_of(local_midnight(day, ZoneInfo(zone)))


def _place() -> tuple[object, ...]:
    settings = connection.settings_dict
    return settings["HOST"], settings["PORT"], settings["NAME"]
