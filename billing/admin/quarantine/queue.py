"""The queue: what is held, by reason, then in groups of alike records, the largest first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from billing.admin.quarantine.wording import REASONS, add_amounts, age, reason_label
from billing.models import HeldRecord, HeldStatus
from billing.review.alike import Asked, Group, GroupKey, Order, ReasonTotal, groups, totals_by_reason, waiting
from contracts.models import Customer

PER_PAGE = 50
ORDERS: tuple[Order, ...] = get_args(Order)  # the first is the usual one
COLUMNS = (("records", "Records"), ("sightings", "Sightings"), ("oldest", "Oldest"), ("newest", "Newest"))


@dataclass(frozen=True, slots=True)
class QueueQuery:
    """What the address of the queue asks for."""

    asked: Asked
    order: Order
    after: str | None

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> QueueQuery:
        order = next((one for one in ORDERS if one == parameters.get("order")), ORDERS[0])
        said = {name: parameters.get(name, "").replace("\0", "").strip() for name in ("reason", "source", "q")}
        asked = Asked(
            reason=said["reason"],
            source=said["source"],
            text=said["q"],
            unproposed=parameters.get("unproposed") == "1",
        )
        return cls(asked, order, parameters.get("after"))

    def address(self, **changes: str) -> str:
        """The queue with other parameters; from its first page, unless `after` says where."""
        asked = self.asked
        now = {
            "reason": asked.reason,
            "source": asked.source,
            "q": asked.text,
            "unproposed": "1" if asked.unproposed else "",
            "order": self.order if self.order != ORDERS[0] else "",
        }
        return queue_address(urlencode({name: value for name, value in {**now, **changes}.items() if value}))

    @property
    def parameters(self) -> str:
        """What comes after the question mark, to come back to this page of the queue; never empty."""
        return self.address(order=self.order, after=self.after or "").partition("?")[2]


def queue_address(parameters: str = "") -> str:
    """The queue, as these parameters of its address show it."""
    return f"{reverse('admin:quarantine_queue')}{'?' if parameters else ''}{parameters}"


def queue_view(desk: Any, request: HttpRequest) -> HttpResponse:
    """The page of the queue."""
    if not desk.has_view_permission(request):
        raise PermissionDenied
    query = QueueQuery.read(request.GET)
    try:
        found = groups(query.asked, order=query.order, limit=PER_PAGE, after=query.after)
    except ValueError:
        messages.error(request, "That page of the queue is no longer there. This is the first one.")
        return HttpResponseRedirect(query.address())
    at = timezone.now()
    totals = totals_by_reason()
    context = {
        **desk.admin_site.each_context(request),
        "title": "Review queue",
        "opts": desk.opts,
        "query": query,
        "reasons": [reason_row(total, query, at) for total in totals],
        "sum": sum_row(totals, at),
        "words": REASONS.get(query.asked.reason),
        "rows": group_rows(found.groups, at),
        "total_groups": found.total,
        "columns": [(name, title, query.address(order=name), query.order == name) for name, title in COLUMNS],
        "by_money": query.address(order="money"),
        "all_reasons": query.address(reason=""),
        "next": found.next and query.address(after=found.next),
        "first": query.after and query.address(),
        "sources": open_sources(query.asked.reason),
        "waiting": waiting(),
        "may_propose": request.user.has_perm("quarantine.propose_resolution"),
        "may_replay": request.user.has_perm("quarantine.release_resolution"),
        "last": None if totals else last_resolved(),
    }
    return TemplateResponse(request, "admin/quarantine/queue/queue.html", context)


def reason_row(total: ReasonTotal, query: QueueQuery, at: dt.datetime) -> dict[str, Any]:
    return {
        "total": total,
        "label": reason_label(total.reason),
        "age": age(total.oldest, at),
        "address": query.address(reason=total.reason, source="", q=""),
        "is_chosen": total.reason == query.asked.reason,
    }


def sum_row(totals: Sequence[ReasonTotal], at: dt.datetime) -> dict[str, Any]:
    oldest = [total.oldest for total in totals if total.oldest is not None]
    return {
        "records": sum(total.records for total in totals),
        "sightings": sum(total.sightings for total in totals),
        "at_risk": add_amounts([total.at_risk for total in totals]),
        "unestimated": sum(total.unestimated for total in totals),
        "age": age(min(oldest, default=None), at),
    }


def group_rows(found: Sequence[Group], at: dt.datetime) -> list[dict[str, Any]]:
    """Groups as the page shows them; one query for the names of the customers that come near."""
    names = dict(Customer.objects.filter(key__in={group.customer for group in found}).values_list("key", "name"))
    return [
        {
            "group": group,
            "reason": reason_label(group.reason),
            "share": group.alike or "all of this source",
            "also": also(group),
            "guess": names.get(group.customer, group.customer),
            "oldest": age(group.oldest, at),
            "newest": age(group.newest, at),
            "records": records_address(group.key),
            "is_proposed": group.proposed >= group.records,
        }
        for group in found
    ]


def also(group: Group) -> str:
    """What the records of a group say besides what makes them alike: their type, or their subject."""
    shared = REASONS[group.reason].share if group.reason in REASONS else ""
    return group.type if shared == "subject" else group.subject if shared == "type" else ""


def records_address(key: GroupKey) -> str:
    """The list of a group's records."""
    asked = {
        "status__exact": HeldStatus.OPEN,
        "current_reason__exact": key.reason,
        "source__exact": key.source,
        "alike__exact": key.alike,
    }
    return f"{reverse('admin:quarantine_heldrecord_changelist')}?{urlencode(asked)}"


def open_sources(reason: str) -> list[str]:
    """The sources that have something open, of one reason or of any."""
    held = HeldRecord.objects.filter(status=HeldStatus.OPEN)
    if reason:
        held = held.filter(current_reason=reason)
    return list(held.order_by("source").values_list("source", flat=True).distinct())


def last_resolved() -> HeldRecord | None:
    """The record that was done with last, to be named where nothing is held any more."""
    done = HeldRecord.objects.exclude(status=HeldStatus.OPEN).defer("raw")
    return done.order_by("-resolved_at").first()
