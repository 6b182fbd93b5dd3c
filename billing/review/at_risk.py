"""The money at risk in what is held: what each record would have cost, at the best guess of customer and price.

An estimate, and said to be one. Whose it is: the customer its subject names, else the likeliest by its spelling, else
nobody's, at the commonest price. What it adds: its values; where they are missing or wrong, what an event of that
customer usually adds; of a conflict, the difference between the two contents. Alike records share one calculation: the
price of all they add in a month, after what the customer has used in it, is divided among them by what each adds.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from statistics import median
from uuid import UUID

from django.db import connections, transaction
from msgspec import Struct

from billing.metering.decoding import Record, datetime_of, decode_data
from billing.metering.directory import Directory, MeterPlan, meter_plan
from billing.metering.labelling import Held, read_meters
from billing.review.alike import QUARANTINE
from billing.review.choosing import COLUMNS, MOST_BYTES, HeldRow, as_labelled, directory_now, held_row
from billing.review.price_guide import PriceGuide, Tariff, used_in_months, usual_values
from billing.review.replacing import Counted, counted_under
from billing.review.suggestions import LIKELY, best_customers, closest_types, known_names, known_types
from catalog.models import Aggregation, Meter
from catalog.money import ZERO
from contracts.models import Customer

PRICED = (Aggregation.SUM, Aggregation.COUNT)  # of others, what one event adds depends on all the rest
AT_ONCE = 20_000  # records estimated together; alike ones among them share a calculation
PLACES = Decimal("0.000000000001")
LARGEST = Decimal(10) ** 26
WIDE = Context(prec=80)


@dataclass(frozen=True, slots=True)
class Estimated:
    """The estimate of one record. `amount` is None where there is nothing to go by; `basis` says how it was made."""

    record: int
    customer: str = ""
    score: int = 0
    type: str = ""
    amount: Decimal | None = None
    currency: str = ""
    basis: str = ""


class _Share(Struct, gc=False):
    """What one record adds to one meter: a quantity, or None where its value is missing or wrong."""

    meter: MeterPlan
    quantity: Decimal | None


@dataclass(slots=True)
class _Case:
    """One record on its way to an estimate."""

    row: HeldRow
    type: str
    day: dt.date
    shares: list[_Share]
    customer_id: int | None = None
    customer: str = ""
    score: int = 0
    notes: list[str] = field(default_factory=list)


def refresh_estimates(at: dt.datetime, *, only_new: bool = True) -> int:
    """Estimate what is open: what has no estimate yet, or everything again. Returns how many records.

    Reads and decodes each record once; writes in batches. Run by the worker, and safe to run beside itself.
    """
    done, after = 0, 0
    while True:
        rows = _to_estimate(only_new, after)
        if not rows:
            return done
        _store(estimate(rows, directory_now()), at)
        done += len(rows)
        after = rows[-1].id


_TO_ESTIMATE = f"""
    SELECT {COLUMNS} FROM (
        SELECT held.*, sum(octet_length(held.raw)) OVER (ORDER BY held.id) - octet_length(held.raw) AS bytes_before
        FROM quarantine_heldrecord held
        WHERE held.status = 'open' AND held.id > %s AND NOT (%s AND EXISTS (
            SELECT 1 FROM quarantine_estimate estimate WHERE estimate.record_id = held.id
        )) ORDER BY held.id LIMIT %s
    ) held WHERE held.bytes_before < %s ORDER BY held.id
"""


def _to_estimate(only_new: bool, after: int) -> list[HeldRow]:
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_TO_ESTIMATE, [after, only_new, AT_ONCE, MOST_BYTES])
        return [held_row(row) for row in cursor.fetchall()]


_STORE = """
    INSERT INTO quarantine_estimate (record_id, customer, score, type, amount, currency, basis, estimated_at)
    SELECT *, %s FROM unnest(
        %s::bigint[], %s::text[], %s::smallint[], %s::text[], %s::numeric[], %s::text[], %s::text[]
    ) ORDER BY 1
    ON CONFLICT (record_id) DO UPDATE SET customer = excluded.customer, score = excluded.score, type = excluded.type,
        amount = excluded.amount, currency = excluded.currency, basis = excluded.basis,
        estimated_at = excluded.estimated_at
"""


def _store(found: Sequence[Estimated], at: dt.datetime) -> None:
    names = ("record", "customer", "score", "type", "amount", "currency", "basis")
    columns = [[getattr(one, name) for one in found] for name in names]
    with transaction.atomic(using=QUARANTINE), connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_STORE, [at, *columns])


def estimate(
    rows: Sequence[HeldRow],
    directory: Directory,
    *,
    records: Sequence[Record] | None = None,
    customer: str | None = None,
) -> list[Estimated]:
    """The estimates of records, in their order. A fixed number of queries for all of them.

    `records` are these rows decoded already (as a resolution leaves them), `customer` whose they are to be.
    """
    if records is None:
        records = [as_labelled(row, directory) for row in rows]
    cases, without = _read(rows, records, directory)
    _set_against_counted(cases)
    _guess(cases, directory, customer)
    with localcontext(WIDE):
        found = {one.record: one for one in _priced(cases)}
    return [found.get(row.id) or Estimated(row.id, basis=without.get(row.id, "")) for row in rows]


# What each record adds to which meters


def _read(
    rows: Sequence[HeldRow], records: Sequence[Record], directory: Directory
) -> tuple[list[_Case], dict[int, str]]:
    """The cases that can be estimated, and why the others cannot, by record."""
    cases: list[_Case] = []
    without: dict[int, str] = {}
    types: dict[str, str] = {}
    known = known_types()
    for row, record in zip(rows, records, strict=True):
        if record.fault is not None:
            without[row.id] = "it cannot be read"
            continue
        type = record.type
        if type not in directory.types:
            if type not in types:
                likely = [one for one in closest_types(type, known, 1) if one.score >= LIKELY]
                types[type] = likely[0].value if likely else ""
            type = types[type]
        if not type:
            without[row.id] = f"no meter counts anything like {record.type!r}"
            continue
        case = _Case(row, type, _day(row, record), _shares(directory.types[type].meters, record))
        if type != record.type:
            case.notes.append(f"counted as {type}")
        cases.append(case)
    return cases, without


def _day(row: HeldRow, record: Record) -> dt.date:
    return (row.held_at if record.occurred_at is None else datetime_of(record.occurred_at)).date()


def _shares(meters: Iterable[MeterPlan], record: Record) -> list[_Share]:
    shares = []
    for meter in meters:
        if meter.aggregation not in PRICED:
            continue
        read = read_meters((meter,), record.data)
        if isinstance(read, Held):
            shares.append(_Share(meter, None))
        elif read:
            shares.append(_Share(meter, _quantity(read[0].value)))
    return shares


def _quantity(value: object) -> Decimal:
    return Decimal(1) if value is None else Decimal(value)  # type: ignore[arg-type]  # a count has no value


def _set_against_counted(cases: Sequence[_Case]) -> None:
    """Of a conflict, only the difference to what was counted is at risk."""
    conflicts: dict[UUID, list[_Case]] = defaultdict(list)
    for case in cases:
        if case.row.reason == "conflict" and case.row.key:
            conflicts[UUID(bytes=case.row.key)].append(case)
    if not conflicts:
        return
    counted = counted_under(list(conflicts))
    plans = {meter.pk: meter_plan(meter) for meter in Meter.objects.all()}
    for key, contradicting in conflicts.items():
        event = counted.get(key)
        if event is None or event.is_void:
            continue
        before = _quantities(event, plans)
        if before is None:
            continue
        for case in contradicting:
            for share in case.shares:
                if share.quantity is not None:
                    share.quantity = abs(share.quantity - before.get(share.meter.id, ZERO))
            case.notes.append("the difference to what was counted")


def _quantities(event: Counted, plans: Mapping[int, MeterPlan]) -> dict[int, Decimal] | None:
    """What a counted event added, by meter; None where its data cannot be read."""
    try:
        data = decode_data(event.counts.encode())
    except (ValueError, ArithmeticError, RecursionError):
        return None
    found: dict[int, Decimal] = {}
    for plan in (plans[meter] for meter in event.meters if meter in plans):
        read = read_meters((plan,), data)
        if not isinstance(read, Held) and read and plan.aggregation in PRICED:
            found[plan.id] = _quantity(read[0].value)
    return found


# Whose it is


def _guess(cases: Sequence[_Case], directory: Directory, customer: str | None) -> None:
    """Give each case a customer: the one it is said to be, the one it names, or the likeliest."""
    subjects = [case.row.subject for case in cases]
    directory.look_up(set(subjects))
    unknown: dict[str, int] = defaultdict(int)
    for case in cases:
        if directory.customers.get(case.row.subject) is None and case.row.subject:
            unknown[case.row.subject] += 1
    by_number = sorted(unknown, key=lambda subject: (-unknown[subject], subject))
    guesses = {} if customer is not None or not by_number else best_customers(by_number, known_names())
    keys = {guess.value for guess in guesses.values()} | ({customer} if customer else set())
    ids = {case_customer.id for s in subjects if (case_customer := directory.customers.get(s)) is not None}
    known = list(Customer.objects.filter(key__in=keys).values_list("pk", "key"))
    known += Customer.objects.filter(pk__in=ids).values_list("pk", "key")
    key_of, id_of = dict(known), {key: pk for pk, key in known}
    for case in cases:
        named = directory.customers.get(case.row.subject)
        guess = guesses.get(case.row.subject)
        if customer is not None:
            case.customer, case.score = customer, 100
        elif named is not None:
            case.customer, case.score = key_of.get(named.id, ""), 100
        elif guess is not None:
            case.customer, case.score = guess.value, guess.score
            case.notes.append(f"probably {guess.label}: {guess.why}")
        case.customer_id = id_of.get(case.customer)


# What it costs

# Cases that share one calculation: customer, meter, month.
_Together = tuple[int | None, int, dt.date]


def _priced(cases: Sequence[_Case]) -> Iterable[Estimated]:
    guide = PriceGuide(case.customer_id for case in cases if case.customer_id is not None)
    _fill_in(cases)
    together: dict[_Together, _Bought] = {}
    for case in cases:
        for share in case.shares:
            bought = together.setdefault(_place(case, share), _Bought(share.meter, case.day))
            bought.quantity += share.quantity or ZERO
    used = used_in_months((place[0], *place[1:]) for place in together if place[0] is not None)
    for (customer_id, meter_id, month), bought in together.items():
        bought.tariff = guide.tariff(customer_id, meter_id, bought.day)
        events, total = used.get((customer_id or 0, meter_id, month), (0, ZERO))
        bought.before = Decimal(events) if bought.meter.aggregation == Aggregation.COUNT else total
    for case in cases:
        yield _estimated(case, [(share, together[_place(case, share)]) for share in case.shares])


@dataclass(slots=True)
class _Bought:
    """All that alike cases add to a meter in a month, after what was used in it before, and what it costs together."""

    meter: MeterPlan
    day: dt.date
    quantity: Decimal = ZERO
    before: Decimal = ZERO
    tariff: Tariff | None = None
    _unit_cost: Decimal | None = None

    def unit_cost(self) -> Decimal | None:
        """What one unit of it costs; None where there is no price, or one that needs single events."""
        if self._unit_cost is None and self.tariff is not None and self.quantity > 0:
            cost = self.tariff.cost(max(ZERO, self.before), self.quantity)
            self._unit_cost = None if cost is None else cost / self.quantity
        return self._unit_cost if self.quantity > 0 else ZERO


def _place(case: _Case, share: _Share) -> _Together:
    return case.customer_id, share.meter.id, case.day.replace(day=1)


def _fill_in(cases: Sequence[_Case]) -> None:
    """For a missing or wrong value: what an event of the customer usually adds, else the median of the others."""
    lacking = [(case, share) for case in cases for share in case.shares if share.quantity is None]
    if not lacking:
        return
    usual = usual_values((case.customer_id, share.meter.id) for case, share in lacking if case.customer_id is not None)
    others: dict[int, list[Decimal]] = defaultdict(list)
    for case in cases:
        for share in case.shares:
            if share.quantity is not None:
                others[share.meter.id].append(share.quantity)
    for case, share in lacking:
        found = usual.get((case.customer_id, share.meter.id)) if case.customer_id is not None else None
        if found is not None:
            case.notes.append(f"{share.meter.key} as its events usually have it")
        elif others[share.meter.id]:
            found = median(others[share.meter.id])
            case.notes.append(f"{share.meter.key} as the other held ones have it")
        share.quantity = found


def _estimated(case: _Case, shares: Sequence[tuple[_Share, _Bought]]) -> Estimated:
    amount: Decimal | None = None
    currency, basis = "", ""
    for share, bought in shares:
        tariff, unit = bought.tariff, bought.unit_cost()
        if share.quantity is None or tariff is None or unit is None or currency not in ("", tariff.currency):
            continue
        currency, basis = tariff.currency, tariff.basis
        amount = (amount or ZERO) + share.quantity * unit
    if amount is None:
        basis = "nothing it adds can be priced by itself" if shares else "it adds nothing that is priced by itself"
    elif abs(amount) >= LARGEST:
        amount, currency, basis = None, "", "its value is beyond any sense"
    notes = "; ".join([basis, *dict.fromkeys(case.notes)])
    rounded = None if amount is None else amount.quantize(PLACES)
    return Estimated(case.row.id, case.customer, case.score, case.type, rounded, currency, notes[:1000])
