"""Three months and a bit at the sample company, in the order of time, each thing done by the operation that does it.

Played again, it goes on where it was cut off: events have fixed ids, and what happens once is looked for first.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db import transaction

from billing.entitlements.intake import take_in
from billing.invoicing import bill_run
from billing.invoicing.crediting import void_invoice
from billing.metering.corrections import amend_event, void_event
from billing.models import Correction, Invoice, InvoiceStatus, Purpose
from catalog.auditing import sign
from catalog.models import Plan, PlanVersion, VersionStatus
from catalog.publishing import submit as submit_version
from contracts.lifecycle import end, move_to_version
from contracts.lifecycle import submit as submit_contract
from contracts.models import Contract, ContractStatus, Customer
from revops.demo import company, review
from revops.demo.months import Months, moment
from revops.demo.trouble import changed, contradicting, deliveries
from revops.demo.usage import HABITS, Habit, Sent, events_of_day

RECENT = dt.timedelta(hours=48)
Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at an instant; it returns how many records arrived."""

    at: dt.datetime
    do: Callable[[dt.datetime], int]


class Story:
    """The company's months up to an instant. `staff` are the people by role."""

    def __init__(
        self, months: Months, until: dt.datetime, staff: dict[str, User], habits: Sequence[Habit] = HABITS
    ) -> None:
        self.months, self.until, self.staff, self.habits = months, until, staff, habits
        self.events = sorted(self._usage(), key=attrgetter("occurred_at"))

    def play(self, progress: Progress) -> None:
        """Do everything up to the end of the story, and tell how many records have arrived."""
        for step in sorted(self._steps(), key=attrgetter("at")):
            if step.at <= self.until:
                progress(step.do(step.at))

    def records(self) -> int:
        return len(self.events)

    def _usage(self) -> Iterator[Sent]:
        for habit in self.habits:
            stops_at = self._stops_at(habit)
            for number in range((self.until.date() - self.months.first).days + 2):
                day = self.months.first + dt.timedelta(days=number)
                yield from (
                    sent for sent in events_of_day(habit, day, self.months.first) if sent.occurred_at < stops_at
                )

    def _stops_at(self, habit: Habit) -> dt.datetime:
        """Fjord's contract ends with the second month; its servers run on for a day and a half."""
        if habit.customer != "fjord":
            return self.until
        last = dt.datetime.combine(self.months.third, dt.time(12), ZoneInfo(habit.zone))
        return min(self.until, last + dt.timedelta(days=1))

    def _steps(self) -> Iterator[Step]:
        months = self.months
        yield Step(moment(months.first, -5, 9), self._found)
        yield from self._arrivals()
        yield from (Step(at, self._bill) for at in self._run_times())
        yield Step(moment(months.second, 9, 10, 30), self._amend_closed_month)
        yield Step(moment(months.second, 19, 8, 15), self._void_load_test)
        yield Step(moment(months.second, 20, 13), self._end_fjord)
        yield Step(moment(months.second, 24, 9, 30), self._move_helios)
        yield Step(moment(months.third, 4, 11), self._void_invoice)
        yield Step(moment(months.third, 11, 16, 45), self._void_double_job)
        yield Step(moment(months.third, 18, 10, 20), self._review(review.discard_probe))
        yield Step(moment(months.third, 19, 9, 10), self._review(review.repair_counter))
        yield Step(self.until - dt.timedelta(minutes=90), self._amend_yesterday)
        yield Step(self.until - dt.timedelta(minutes=50), self._review(review.propose_helios))
        yield Step(self.until, self._await_approval)

    def _run_times(self) -> Iterator[dt.datetime]:
        """The days on which a contract begins or a period passes its tolerance window, and two after corrections."""
        months = self.months
        for month in (months.first, months.second, months.third, months.open):
            yield from (moment(month, day, 10, 5) for day in (0, 1, 14, 15))
        yield moment(months.first, 9, 10, 5)
        yield moment(months.third, 4, 12, 5)
        yield moment(months.third, 12, 10, 5)
        yield self.until

    def _arrivals(self) -> Iterator[Step]:
        """Sources report every six hours; of the last two days, every hour. What they cannot repair is held."""
        batches: dict[dt.datetime, list[bytes]] = defaultdict(list)
        for sent in self.events:
            batches[self._arrival(sent)].append(sent.record)
        for delivery in deliveries(self.months, self.until):
            batches[delivery.at] += delivery.records
        once_more = self._arrival(self._event_of("maple", self.months.second, 9))
        batches[once_more + dt.timedelta(seconds=42)] += batches[once_more]
        reused = self._event_of("maple", self.months.third, 3)
        batches[moment(self.months.third, 5, 7, 55)].append(contradicting(reused.record))
        for at, records in batches.items():
            yield Step(at, self._ingesting(records))

    def _arrival(self, sent: Sent) -> dt.datetime:
        hours = 1 if sent.occurred_at > self.until - RECENT else 6
        day = sent.occurred_at.replace(hour=0, minute=0, second=0, microsecond=0)
        ticks = (sent.occurred_at - day) // dt.timedelta(hours=hours) + 1
        return min(day + dt.timedelta(hours=hours) * ticks + dt.timedelta(seconds=11), self.until)

    def _ingesting(self, records: Iterable[bytes]) -> Callable[[dt.datetime], int]:
        batch = list(records)

        def arrive(at: dt.datetime) -> int:
            take_in(batch, at=at, door="api")
            return len(batch)

        return arrive

    def _event_of(self, customer: str, month: dt.date, days: int) -> Sent:
        """The first tokens of a customer on a day."""
        start = moment(month, days, 6)
        return next(
            sent
            for sent in self.events
            if sent.occurred_at >= start and sent.id.startswith(customer) and b"input_tokens" in sent.record
        )

    # What people and integrations do

    def _found(self, at: dt.datetime) -> int:
        company.load(self.months, at)
        return 0

    def _bill(self, at: dt.datetime) -> int:
        failures = bill_run.run(at).failures
        if failures:
            raise RuntimeError(f"The sample company cannot be billed: {failures}")
        return 0

    def _amend_closed_month(self, at: dt.datetime) -> int:
        sent = self._event_of("maple", self.months.first, 12)
        data = changed(sent.record, output_tokens=9_000)
        return self._once(sent, lambda: amend_event(sent.source, sent.id, data, reason="Output counted twice", at=at))

    def _void_load_test(self, at: dt.datetime) -> int:
        sent = self._event_of("oakfield", self.months.second, 17)
        return self._once(sent, lambda: void_event(sent.source, sent.id, reason="Load test of ours, free", at=at))

    def _void_double_job(self, at: dt.datetime) -> int:
        """After Fjord's last invoice: what is too much comes back on a document of its own."""
        for day in range(4, 18):
            self._void_one_of_fjord(self._event_of("fjord", self.months.second, day), at)
        return 0

    def _void_one_of_fjord(self, sent: Sent, at: dt.datetime) -> None:
        self._once(sent, lambda: void_event(sent.source, sent.id, reason="Nightly job ran twice", at=at))

    def _amend_yesterday(self, at: dt.datetime) -> int:
        day = (at - dt.timedelta(days=1)).date()
        sent = self._event_of("redwood", day, 0)
        data = changed(sent.record, input_tokens=120_000)
        return self._once(sent, lambda: amend_event(sent.source, sent.id, data, reason="Cached input counted", at=at))

    def _once(self, sent: Sent, correct: Callable[[], object]) -> int:
        if not Correction.objects.filter(event_id=sent.id).exists():
            correct()
        return 0

    def _end_fjord(self, at: dt.datetime) -> int:
        contract = Contract.objects.get(number="A-1014")
        if contract.ends_on is None:
            end(contract, self.months.third, at=at, by=self.staff["revops"], reason="Cancelled by the customer")
        return 0

    def _move_helios(self, at: dt.datetime) -> int:
        plan = Plan.objects.get(key="team")
        version = plan.versions.get(number=2)
        contract = Contract.objects.get(number="A-1001")
        if not contract.lines.filter(plan_version=version).exists():
            move_to_version(contract, plan, version, self.months.third, at=at, by=self.staff["revops"])
        return 0

    def _void_invoice(self, at: dt.datetime) -> int:
        """Lumière has moved: its last invoice went to the old address, and is made again."""
        finance = self.staff["finance"]
        with transaction.atomic():
            customer = Customer.objects.select_for_update().get(key="lumiere")
            customer.billing_address = "48 cours Charlemagne\n69002 Lyon\nFrance"
            sign(customer, at, finance, "Moved; new address by mail of Camille Roux")
            customer.save()
        wrong = Invoice.objects.filter(customer=customer, purpose=Purpose.CLOSE, period_start=self.months.second)
        if not wrong.filter(status=InvoiceStatus.VOIDED).exists():
            void_invoice(wrong.get(), reason="Sent to the customer's old address", at=at, by=finance)
        return 0

    def _review(self, resolve: Callable[[dt.datetime, dict[str, User]], None]) -> Callable[[dt.datetime], int]:
        def look_through(at: dt.datetime) -> int:
            resolve(at, self.staff)
            return 0

        return look_through

    def _await_approval(self, at: dt.datetime) -> int:
        """What RevOps has prepared and finance has not approved yet."""
        revops = self.staff["revops"]
        company.load_drafts(self.months, at, revops)
        version = PlanVersion.objects.get(plan__key="payg", number=2)
        if version.status == VersionStatus.DRAFT:
            submit_version(version, at=at, by=revops)
        contract = Contract.objects.get(number="A-1016")
        if contract.status == ContractStatus.DRAFT:
            submit_contract(contract, at=at, by=revops)
        return 0
