"""Grants that were spent from: what an amendment of their contract cannot take back."""

from __future__ import annotations

from django.db.models import Sum

from billing.models import CreditUse
from catalog.money import ZERO
from catalog.pricing import FieldError
from catalog.wording import money_words
from contracts.lifecycle import UnableToAmend
from contracts.models import Contract, GrantKind


def demand_covered(contract: Contract) -> None:
    """After an amendment, in its transaction: what documents have spent of a prepaid grant is still granted.

    A grant that is taken out altogether keeps what is spent, and has nothing left. Raises UnableToAmend.
    """
    uses = CreditUse.objects.standing().filter(contract=contract).order_by()
    spent = dict(uses.values_list("grant_key").annotate(sum=Sum("amount")))
    errors = []
    for place, grant in enumerate(contract.credits.in_force() if spent else ()):
        drawn = spent.get(grant.key, ZERO)
        said = f"{money_words(drawn, contract.currency)} of {grant.key} is spent"
        if drawn and grant.kind != GrantKind.PREPAID:
            detail = f"{said}, so it stays prepaid; give a promotional grant another key"
            errors.append(FieldError(f"credits[{place}].kind", "spent", detail))
        elif drawn > grant.amount:
            detail = f"{said}, so it cannot be less; void the invoices it was spent on first"
            errors.append(FieldError(f"credits[{place}].amount", "spent", detail))
    if errors:
        raise UnableToAmend(errors)
