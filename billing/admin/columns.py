"""Columns that more than one desk shows. Usage tables have no foreign keys, so names come from a subquery."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from billing.models import Source
from contracts.models import Customer


def with_customer_name(rows: QuerySet[Any]) -> QuerySet[Any]:
    found = Customer.objects.filter(pk=OuterRef("customer_id")).values("name")[:1]
    named: QuerySet[Any] = rows.annotate(customer_name=Subquery(found))
    return named


def with_source_key(rows: QuerySet[Any]) -> QuerySet[Any]:
    found = Source.objects.filter(pk=OuterRef("source_id")).values("key")[:1]
    named: QuerySet[Any] = rows.annotate(source_key=Subquery(found))
    return named
