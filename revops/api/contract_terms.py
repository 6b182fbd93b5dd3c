"""The terms of contracts as JSON, in the words of a file: what is read can be sent again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from catalog.models import TaxBehavior
from contracts.extending import Renewal
from contracts.models import (
    Commitment,
    Contract,
    ContractLine,
    CreditGrant,
    Discount,
    DiscountKind,
    OneTimeTerm,
    PriceOverride,
)
from revops.api.catalog import plain_amounts, plain_money, plain_number
from revops.api.entitlements import allowance_json


def terms_json(contract: Contract) -> dict[str, Any]:
    """The lists of terms. The contract has those in force (contracts.queries.terms_in_force), and no query is made."""
    currency = contract.currency
    lines = list(contract.lines.all())
    overrides = overrides_of(lines, contract.overrides.all())
    return {
        "lines": [line_json(line, overrides[line.pk], currency) for line in lines],
        "discounts": [discount_json(one, currency) for one in contract.discounts.all()],
        "commitments": [commitment_json(one, currency) for one in contract.commitments.all()],
        "credits": [credit_json(one, currency) for one in contract.credits.all()],
        "one_time": [one_time_json(term, currency) for term in contract.one_time_terms.all()],
        "entitlements": [allowance_json(term) for term in contract.entitlements.all()],
    }


def renewal_json(contract: Contract) -> dict[str, Any]:
    agreed = Renewal.of(contract)
    return {**asdict(agreed), "uplift_percent": plain_number(agreed.uplift_percent)}


def overrides_of(
    lines: Sequence[ContractLine], overrides: Iterable[PriceOverride]
) -> Mapping[int, Sequence[PriceOverride]]:
    """Line id -> the overrides that are said with it: each once, with the last line of its key on its days."""
    found: dict[int, list[PriceOverride]] = defaultdict(list)
    for override in overrides:
        of_key = [line for line in lines if line.key == override.line]
        if of_key:
            met = [line for line in of_key if override.ends_on is None or line.starts_on < override.ends_on]
            found[max(met or of_key, key=lambda line: line.starts_on).pk].append(override)
    return found


def line_json(line: ContractLine, overrides: Sequence[PriceOverride], currency: str) -> dict[str, Any]:
    return {
        "key": line.key,
        "plan": line.plan_version.plan.key,
        "version": line.plan_version.number,
        "quantity": plain_number(line.quantity),
        "from": line.starts_on,
        "until": line.ends_on,
        "uplift_percent": plain_number(line.uplift_percent),
        "trial_days": line.trial_days,
        "overrides": [override_json(one, currency) for one in overrides],
    }


def override_json(override: PriceOverride, currency: str) -> dict[str, Any]:
    amounts = plain_amounts(override.terms, currency)
    return {"price": override.price, **amounts, "from": override.starts_on, "until": override.ends_on}


def discount_json(discount: Discount, currency: str) -> dict[str, Any]:
    is_money = discount.kind == DiscountKind.AMOUNT
    return {
        "key": discount.key,
        "kind": discount.kind,
        "value": plain_money(discount.value, currency) if is_money else plain_number(discount.value),
        "total": money_or_none(discount.total, currency),
        "applies_to": discount.applies_to,
        "from": discount.starts_on,
        "until": discount.ends_on,
    }


def commitment_json(commitment: Commitment, currency: str) -> dict[str, Any]:
    return {
        "key": commitment.key,
        "kind": commitment.kind,
        "amount": money_or_none(commitment.amount, currency),
        "quantity": plain_number(commitment.quantity),
        "interval": commitment.interval or None,
        "overage_factor": plain_number(commitment.overage_factor),
        "true_up": commitment.true_up,
        "prorate": commitment.prorate,
        "applies_to": commitment.applies_to,
        "from": commitment.starts_on,
        "until": commitment.ends_on,
    }


def credit_json(grant: CreditGrant, currency: str) -> dict[str, Any]:
    return {
        "key": grant.key,
        "name": grant.name,
        "kind": grant.kind,
        "amount": plain_money(grant.amount, currency),
        "priority": grant.priority,
        "applies_to": grant.applies_to,
        "from": grant.starts_on,
        "expires_on": grant.expires_on,
    }


def one_time_json(term: OneTimeTerm, currency: str) -> dict[str, Any]:
    amount = plain_money(term.amount, currency)
    said = {"key": term.key, "description": term.description, "amount": amount, "on": term.on}
    if term.tax_category:
        said["tax_category"] = term.tax_category
    return said if term.tax_behavior == TaxBehavior.EXCLUSIVE else {**said, "tax_behavior": term.tax_behavior}


def money_or_none(amount: Decimal | None, currency: str) -> str | None:
    return None if amount is None else plain_money(amount, currency)
