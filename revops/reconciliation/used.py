"""Check 4: all use in the buckets is billed, included, open, in a changed period or unpriced; none is priced twice."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any

from billing.rating.entries import Entry
from catalog.models import ADDITIVE, Aggregation, Meter
from catalog.money import ZERO, exact_arithmetic, quantity_text
from catalog.periods import Period, local_date, local_midnight
from catalog.selection import Selection
from contracts.agreement import Agreement
from contracts.models import Customer
from contracts.terms import LineTerms
from revops.reconciliation.accounts import Account, Rated, claimed
from revops.reconciliation.report import Check
from revops.reconciliation.snapshot import rows

STATES = ("open", "included", "billed", "changed")  # where several prices cover a stretch, the last of them holds
UNPRICED = "unpriced"
FOR_EVER = dt.datetime.max.replace(tzinfo=dt.UTC)

# customer id, meter id
Use = tuple[int, int]
# from, until, state
Stretch = tuple[dt.datetime, dt.datetime, str]
# A stretch of time, and which of the meter's use is priced in it.
Covering = tuple[Stretch, Selection]
# customer id, meter id, group; None: all of the meter's groups
Share = tuple[int, int, str | None]

_USED = """
    WITH stretch AS (
        SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[])
            AS stretch (customer_id, meter_id, "group", starts_at, ends_at, state)
    )
    SELECT bucket.customer_id, bucket.meter_id, coalesce(stretch.state, 'unpriced'), sum(bucket.n),
        coalesce(sum(bucket.total), 0), min(bucket.starts_at), max(bucket.starts_at)
    FROM billing_bucket bucket
    LEFT JOIN stretch ON stretch.customer_id = bucket.customer_id AND stretch.meter_id = bucket.meter_id
        AND (stretch."group" IS NULL OR stretch."group" = bucket."group")
        AND stretch.starts_at <= bucket.starts_at AND stretch.ends_at > bucket.starts_at
    WHERE bucket.customer_id = ANY(%s)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_GROUPS = """
    SELECT DISTINCT customer_id, meter_id, "group"
    FROM unnest(%s::bigint[], %s::bigint[]) AS asked (customer_id, meter_id)
    JOIN billing_bucket USING (customer_id, meter_id)
"""

_ALL = "SELECT coalesce(sum(n), 0) FROM billing_bucket"

_OF_NOBODY = """
    SELECT customer_id, sum(n) FROM billing_bucket bucket
    WHERE NOT EXISTS (SELECT 1 FROM billing_usageclock clock WHERE clock.customer_id = bucket.customer_id)
      AND NOT EXISTS (
        SELECT 1 FROM contracts_contract contract
        WHERE contract.customer_id = bucket.customer_id AND contract.status = 'approved'
    )
    GROUP BY 1
"""


class UsedProof:
    """The check while the customers go by."""

    def __init__(self) -> None:
        self.check = Check(4, "usage")
        self.meters = Meter.objects.in_bulk()
        self.meter_ids = {meter.key: meter.pk for meter in self.meters.values()}
        self.events: Counter[str] = Counter()
        self.quantities: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))

    def add(self, customers: Sequence[int], accounts: Sequence[Account]) -> None:
        """Some customers, with all of their approved contracts."""
        covering: dict[Use, list[Covering]] = defaultdict(list)
        with exact_arithmetic():
            for account in accounts:
                if account.agreement is not None:
                    self._cover(account, account.agreement, covering)
            self._priced_once(accounts)
            self._sum(customers, {share: list(disjoint(found)) for share, found in self._shares(covering).items()})

    def finish(self) -> Check:
        total = int(rows(_ALL)[0][0])
        states = {state: self.events[state] for state in ("billed", "included", "open", "changed", UNPRICED)}
        for customer_id, n in rows(_OF_NOBODY):
            where = {"customer_id": customer_id}
            self.check.leak("use of a customer without a usage clock", where, "a clock", f"{n} events")
        self.check.figures = {
            "events": {"used": total, **states},
            "meters": {
                key: {state: quantity_text(quantity) for state, quantity in sorted(found.items())}
                for key, found in sorted(self.quantities.items())
            },
        }
        self.check.sentence = f"{total:,} counted = " + " + ".join(f"{n:,} {state}" for state, n in states.items())
        return self.check

    def _shares(self, covering: Mapping[Use, Sequence[Covering]]) -> dict[Share, list[Stretch]]:
        """The stretches of each meter; where prices take a part of its use, of each of the groups there are."""
        parted = [use for use, found in covering.items() if not all(taken.is_everything for _, taken in found)]
        shares: dict[Share, list[Stretch]] = {
            (*use, None): [stretch for stretch, _ in found] for use, found in covering.items() if use not in parted
        }
        columns = [[customer_id for customer_id, _ in parted], [meter_id for _, meter_id in parted]]
        for customer_id, meter_id, group in rows(_GROUPS, columns) if parted else ():
            dimensions = self.meters[meter_id].group_by
            values = json.loads(group) if group else [None] * len(dimensions)
            shares[customer_id, meter_id, group] = [
                stretch for stretch, taken in covering[customer_id, meter_id] if taken.takes(dimensions, values)
            ]
        return shares

    def _cover(self, account: Account, agreement: Agreement, covering: dict[Use, list[Covering]]) -> None:
        """The stretches of time this contract prices, with what became of their use."""
        customer_id = account.contract.customer_id
        for meter_id, taken, starts_at, ends_at in priced(agreement):
            covering[customer_id, meter_id].append(((starts_at, ends_at, "open"), taken))
        for rated in account.rated:
            self._billed_as_measured(account, agreement, rated)
            waiting = {due.entry.key for due in rated.dues}
            for entry in rated.entries:
                if entry.kind != "usage":
                    continue
                if entry.key in waiting:
                    state = "changed"
                    self._split(account, rated.closed.period, entry)
                else:
                    state = "billed" if claimed(account, rated.closed.period, entry.key) else "included"
                stretch = (entry.service.starts_at, entry.service.ends_at, state)
                covering[customer_id, self.meter_ids[entry.meter]].append((stretch, entry.selection))

    def _billed_as_measured(self, account: Account, agreement: Agreement, rated: Rated) -> None:
        if rated.closed.waits:
            return
        period = rated.closed.period
        for due in rated.dues:
            if due.entry.kind == "usage" and due.quantity:
                claim = account.claims[period.starts_at].get(due.entry.key)
                billed = claim.quantity if claim else ZERO
                where = {
                    "customer": account.contract.customer.key,
                    "contract": account.contract.number,
                    "period_start": local_date(period.starts_at, agreement.zone).isoformat(),
                    "meter": due.entry.meter,
                    "key": due.entry.key,
                }
                expected, found = quantity_text(due.entry.quantity), quantity_text(billed)
                self.check.leak("the quantity billed is not what was measured", where, expected, found)

    def _split(self, account: Account, period: Period, entry: Entry) -> None:
        """Of the use in a changed period, what was billed already is not pending."""
        claim = account.claims[period.starts_at].get(entry.key)
        meter = self.meters[self.meter_ids[entry.meter]]
        if claim and additive(meter, 0, ZERO) is not None:
            self.quantities[entry.meter]["pending"] -= claim.quantity
            self.quantities[entry.meter]["billed"] += claim.quantity

    def _priced_once(self, accounts: Iterable[Account]) -> None:
        """No stretch of time of a customer's meter is priced by two contracts."""
        found: dict[Use, list[tuple[dt.datetime, dt.datetime, Account]]] = defaultdict(list)
        for account in accounts:
            if account.agreement is not None:
                for meter_id, starts_at, ends_at in {(one[0], *one[2:]) for one in priced(account.agreement)}:
                    found[account.contract.customer_id, meter_id].append((starts_at, ends_at, account))
        for (_, meter_id), stretches in found.items():
            for (begins, ends, one), (starts_at, ends_at, other) in combinations(stretches, 2):
                if one is not other and max(begins, starts_at) < min(ends, ends_at):
                    where = {
                        "customer": one.contract.customer.key,
                        "meter": self.meters[meter_id].key,
                        "from": max(begins, starts_at).isoformat(),
                    }
                    both = f"{one.contract.number} and {other.contract.number}"
                    self.check.leak("a time is priced by two contracts", where, "one contract", both)

    def _sum(self, customers: Sequence[int], stretches: Mapping[Share, Sequence[Stretch]]) -> None:
        flat = [(*share, *stretch) for share, some in stretches.items() for stretch in some]
        columns: list[list[Any]] = [[one[place] for one in flat] for place in range(6)]
        unpriced = []
        for customer_id, meter_id, state, n, total, first, last in rows(_USED, [*columns, list(customers)]):
            self.events[state] += int(n)
            meter = self.meters.get(meter_id)
            quantity = additive(meter, n, total)
            if meter is not None and quantity is not None:
                self.quantities[meter.key]["pending" if state == "changed" else state] += quantity
            if state == UNPRICED:
                unpriced.append((customer_id, meter_id, int(n), quantity, first, last))
        self._find_unpriced(unpriced)

    def _find_unpriced(self, found: Sequence[tuple[Any, ...]]) -> None:
        keys = dict(Customer.objects.filter(pk__in={one[0] for one in found}).values_list("pk", "key"))
        for customer_id, meter_id, n, quantity, first, last in found:
            meter = self.meters.get(meter_id)
            where = {
                "customer": keys.get(customer_id, customer_id),
                "meter": meter.key if meter else meter_id,
                "from": first.astimezone(dt.UTC).isoformat(),
                "to": last.astimezone(dt.UTC).isoformat(),
            }
            amount = f", {quantity_text(quantity)} in all" if quantity is not None and quantity != n else ""
            said = f"{n:,} counted{amount}, priced by no contract line; money at risk unknown"
            self.check.find("unpriced use", where, said)


def additive(meter: Meter | None, n: int, total: Decimal) -> Decimal | None:
    """The quantity of some buckets together, where that is a sum."""
    if meter is None or meter.aggregation not in ADDITIVE:
        return None
    return Decimal(n) if meter.aggregation == Aggregation.COUNT else total


def priced(agreement: Agreement) -> Iterator[tuple[int, Selection, dt.datetime, dt.datetime]]:
    """(meter id, which of its use, from, until) of all that a contract's lines price."""
    for line in agreement.lines:
        days = _within(agreement, line)
        if days is not None:
            for price in line.prices:
                if price.meter is not None:
                    yield price.meter.id, price.selection, *days


def _within(agreement: Agreement, line: LineTerms) -> tuple[dt.datetime, dt.datetime] | None:
    """The days of a line, no longer than its contract's."""
    starts_at = max(local_midnight(line.days.start, agreement.zone), agreement.starts_at)
    ends = [agreement.ends_at] if agreement.ends_at is not None else []
    if line.days.until is not None:
        ends.append(local_midnight(line.days.until, agreement.zone))
    ends_at = min(ends, default=FOR_EVER)
    return (starts_at, ends_at) if starts_at < ends_at else None


def disjoint(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """The same time without overlaps, in order: where stretches meet, the state that is last in STATES holds."""
    edges: list[tuple[dt.datetime, int, str]] = []
    for starts_at, ends_at, state in stretches:
        edges += [(starts_at, 1, state), (ends_at, -1, state)]
    covering: Counter[str] = Counter()
    since: dt.datetime | None = None
    held = ""
    for instant, change, state in sorted(edges):
        covering[state] += change
        now = next((one for one in reversed(STATES) if covering[one]), "")
        if now != held:
            if since is not None and held and since < instant:
                yield since, instant, held
            since, held = instant, now
