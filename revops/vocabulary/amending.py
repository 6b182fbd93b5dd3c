"""An approved contract changed, or renewed, as words say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction

from billing.invoicing.granting import demand_covered
from catalog.auditing import Actor
from catalog.periods import local_date
from contracts import lifecycle
from contracts.drafts import LineDraft
from contracts.extending import Renewal
from contracts.models import Contract, CreditGrant
from revops.vocabulary.contract_terms import credit, renewal, terms
from revops.vocabulary.words import AmendmentWords, NewGrantWords, RenewWords


@transaction.atomic
def amend(
    contract: Contract,
    words: AmendmentWords,
    *,
    at: dt.datetime,
    by: Actor = None,
    standing: Sequence[LineDraft] = (),
    reason: str = "",
) -> Contract:
    """Replace the lists that are named, move the end where one is, and say how the contract renews.

    A line that names no version keeps the one it has in `standing`. Raises UnableToAmend, UnknownTerm.
    """
    if words.ends_on is not None:
        lifecycle.end(contract, words.ends_on, at=at, by=by, reason=reason)
    renews = None if words.renewal is None else renewal(words.renewal, Renewal.of(contract))
    named: dict[str, Any] = terms(words, contract, standing)
    amended = lifecycle.amend(contract, at=at, by=by, reason=reason, renewal=renews, **named)
    demand_covered(amended)
    return amended


def grant(contract: Contract, words: NewGrantWords, *, at: dt.datetime, by: Actor = None) -> CreditGrant:
    """Give the contract one more grant. Raises UnableToAmend."""
    today = local_date(at, ZoneInfo(contract.timezone_name()))
    return lifecycle.grant_credit(contract, credit(words, today), at=at, by=by, reason=words.reason or "")


def renew(contract: Contract, words: RenewWords, *, at: dt.datetime, by: Actor = None) -> Contract:
    """Let the contract run on past its end. Raises UnableToAmend."""
    return lifecycle.renew(
        contract, at=at, by=by, months=words.months, uplift_percent=words.uplift_percent, reason=words.reason or ""
    )
