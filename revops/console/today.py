"""The page of the day: what waits for a person, what comes in, what was billed and what failed.

Each part is shown to who may see the rows behind it, and links to them. The number of queries is fixed, and none of
them reads more than a bounded number of rows or an hour or two of receipts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule

from billing.admin.quarantine.wording import reason_label
from billing.admin.renewals import AHEAD_DAYS, renewals
from billing.models import BillRun, Document, Invoice
from catalog.models import PlanVersion, VersionStatus
from catalog.money import round_money
from catalog.wording import money_words
from contracts.models import Contract, ContractStatus
from revops.console.held import COUNTED_UP_TO, held_now
from revops.console.starting import first_steps
from revops.console.traffic import HEIGHT, WIDTH, bars, received_by_hour

PATIENCE = "3s"  # for the one query whose cost grows with the traffic
LATE_AFTER = dt.timedelta(minutes=10)  # regular work that is due for longer says that no worker runs
FAILED_WITHIN = dt.timedelta(days=7)
RUNS = 5


@dataclass(frozen=True, slots=True)
class Fact:
    """A line under a figure: words, and the list behind them."""

    words: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the day with what explains it. `tone` is "", "good", "warn" or "bad"."""

    title: str
    value: str
    address: str
    facts: list[Fact]
    tone: str = ""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the console's index; the theme asks for it (DASHBOARD_CALLBACK)."""
    at = timezone.now()
    return {**context, **today(cast(User, request.user), at), "at": at}


def today(user: User, at: dt.datetime) -> dict[str, Any]:
    """What the page shows to a person at an instant."""
    return {
        "steps": first_steps(user),
        "figures": list(_figures(user, at)),
        "traffic": _traffic(at) if user.has_perm("billing.view_receipt") else None,
        "runs": BillRun.objects.order_by("-started_at")[:RUNS] if user.has_perm("billing.view_billrun") else None,
        "may_see_open_periods": user.has_perm("billing.view_invoice"),
        "drafts": _drafts() if user.has_perm("billing.view_invoice") else None,
    }


def address(model: str, **filters: str) -> str:
    """A list of the console, filtered."""
    return reverse(f"admin:{model}_changelist") + (f"?{urlencode(filters)}" if filters else "")


def _figures(user: User, at: dt.datetime) -> Iterator[Figure]:
    if user.has_perm("quarantine.view_heldrecord"):
        yield _held()
    if user.has_perm("contracts.view_contract"):
        yield _waiting(user)
        yield _ending(at)
    if user.has_perm("billing.view_invoice"):
        yield _billed(at)
        yield _taken_back(user, at)
    if user.has_perm("django_q.view_failure"):
        yield _background(at)


def _held() -> Figure:
    queue = reverse("admin:quarantine_queue")
    now = held_now()
    if now is None:
        return Figure("Held for review", "?", queue, [Fact("The quarantine cannot be reached.")], "bad")
    facts = [
        Fact(f"≈ {money_words(round_money(amount, currency), currency)} at risk", queue)
        for currency, amount in sorted(now.at_risk.items())
        if amount
    ]
    if now.unestimated:
        facts.append(Fact(f"{now.unestimated:,} not estimated", queue))
    if now.undecided:
        decide = address("quarantine_proposal")
        facts.append(Fact(f"{now.undecided:,} proposal{pluralize(now.undecided)} to decide on", decide))
    facts += [
        Fact(
            f"{total.records:,} {reason_label(total.reason).lower()}", f"{queue}?{urlencode({'reason': total.reason})}"
        )
        for total in sorted(now.totals, key=lambda total: -total.records)[:3]
    ]
    value = f"{now.records:,}" if now.totals or not now.records else f"{min(now.records, COUNTED_UP_TO):,}+"
    nothing = [Fact("Everything that came in was counted.")]
    return Figure("Held for review", value, queue, facts or nothing, "warn" if now.records else "good")


def _waiting(user: User) -> Figure:
    """What another person has submitted, or a bill run has drafted."""
    contracts = Contract.objects.filter(status=ContractStatus.REVIEW).count()
    kinds = [(contracts, "contract", address("contracts_contract", status__exact="review"))]
    if user.has_perm("catalog.view_planversion"):
        versions = PlanVersion.objects.filter(status=VersionStatus.REVIEW).count()
        kinds.append((versions, "plan version", address("catalog_planversion", status__exact="review")))
    if user.has_perm("billing.view_invoice"):
        drafts = Invoice.objects.drafts()[: COUNTED_UP_TO + 1].count()
        kinds.append((drafts, "draft", reverse("admin:billing_invoice_review")))
    found = [(count, name, link) for count, name, link in kinds if count]
    facts = [Fact(f"{count:,} {name}{pluralize(count)}", link) for count, name, link in found]
    first = found[0][2] if found else kinds[0][2]
    nothing = [Fact("Nothing waits for approval or issue.")]
    total = sum(count for count, _, _ in found)
    return Figure("Waits for a person", f"{total:,}", first, facts or nothing, "warn" if total else "good")


def _ending(at: dt.datetime) -> Figure:
    """Contracts that come to their end, so that no renewal goes unnoticed."""
    link = reverse("admin:contracts_contract_renewals")
    found = renewals(at, with_money=False)
    kinds = (
        (sum(one.tone == "bad" for one in found), "at their end now"),
        (sum(one.tone == "warn" and not one.contract.renewal_auto for one in found), "unless they are renewed"),
        (sum(one.tone != "bad" and one.contract.renewal_auto for one in found), "by themselves renewed"),
    )
    facts = [Fact(f"{count:,} {words}", link) for count, words in kinds if count]
    tone = "bad" if any(one.tone == "bad" for one in found) else "warn" if found else "good"
    nothing = [Fact("No contract comes to its end.")]
    return Figure(f"End within {AHEAD_DAYS} days", f"{len(found):,}", link, facts or nothing, tone)


def _billed(at: dt.datetime) -> Figure:
    since = _month(at)
    found = Invoice.objects.invoices().issued().filter(issued_at__gte=since)
    sums = list(found.order_by("currency").values("currency").annotate(count=Count("pk"), sum=Sum("total")))
    count = sum(one["count"] for one in sums)
    facts = [Fact(money_words(one["sum"], one["currency"])) for one in sums[:4]]
    behind = address("billing_invoice", status__exact="issued", issued_at__gte=since.isoformat(sep=" "))
    return Figure(f"Invoiced in {at:%b}", f"{count:,}", behind, facts or [Fact("No invoice was issued this month.")])


def _taken_back(user: User, at: dt.datetime) -> Figure:
    since = _month(at)
    credited, voided = Q(document=Document.CREDIT_NOTE, issued_at__gte=since), Q(voided_at__gte=since)
    counts = Invoice.objects.filter(credited | voided).aggregate(
        credits=Count("pk", filter=credited), voids=Count("pk", filter=voided)
    )
    credits = address("billing_creditnote", issued_at__gte=since.isoformat(sep=" "))
    voids = address("billing_invoice", status__exact="voided")
    may_see_credits = user.has_perm("billing.view_creditnote")
    facts = [
        Fact(f"{counts['credits']:,} credit note{pluralize(counts['credits'])}", credits if may_see_credits else ""),
        Fact(f"{counts['voids']:,} voided", voids),
    ]
    total = counts["credits"] + counts["voids"]
    return Figure(f"Taken back in {at:%b}", f"{total:,}", credits if may_see_credits else voids, facts)


def _background(at: dt.datetime) -> Figure:
    failed = Failure.objects.filter(stopped__gte=at - FAILED_WITHIN)[: COUNTED_UP_TO + 1].count()
    waiting = OrmQ.objects.all()[: COUNTED_UP_TO + 1].count()
    due = Schedule.objects.exclude(repeats=0).order_by("next_run").values_list("next_run", flat=True).first()
    facts = [Fact(f"{waiting:,} waiting", address("django_q_ormq"))]
    tone = "bad" if failed else "good"
    if due is None:
        facts.append(Fact("No regular work is scheduled.", address("django_q_schedule")))
    elif due < at - LATE_AFTER:
        facts.append(Fact(f"No worker runs: work was due at {due:%Y-%m-%d %H:%M}.", address("django_q_schedule")))
        tone = "bad"
    else:
        facts.append(Fact(f"next at {due:%H:%M}", address("django_q_schedule")))
    return Figure("Work failed in 7 days", f"{failed:,}", address("django_q_failure"), facts, tone)


def _traffic(at: dt.datetime) -> dict[str, Any]:
    """The bars of the last 48 hours, and the sums of the last 24; nothing where they take too long to read."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'")
            hours = received_by_hour(at)
    except DatabaseError:
        return {"unread": True}
    day = hours[-24:]
    return {
        "bars": bars(hours),
        "width": WIDTH,
        "height": HEIGHT,
        "accepted": sum(hour.accepted for hour in day),
        "duplicates": sum(hour.duplicates for hour in day),
        "held": sum(hour.held for hour in day),
        "most": max(hour.received for hour in hours),
        "is_empty": not any(hour.received for hour in hours),
    }


def _drafts() -> list[Invoice]:
    """The oldest documents that wait to be issued."""
    return list(Invoice.objects.drafts().select_related("customer", "contract").order_by("pk")[:RUNS])


def _month(at: dt.datetime) -> dt.datetime:
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
