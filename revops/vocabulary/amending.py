"""An approved contract changed as words say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from django.db import transaction

from billing.invoicing.granting import demand_covered
from catalog.auditing import Actor
from catalog.periods import local_date
from contracts import lifecycle
from contracts.drafts import LineDraft
from contracts.models import Contract, CreditGrant
from revops.vocabulary.contract_terms import credit, terms
from revops.vocabulary.words import AmendmentWords, NewGrantWords


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
    """Replace the lists that are named, and move the end where one is.

    A line that names no version keeps the one it has in `standing`. Raises UnableToAmend, UnknownTerm.
    """
    if words.ends_on is not None:
        lifecycle.end(contract, words.ends_on, at=at, by=by, reason=reason)
    amended = lifecycle.amend(contract, **terms(words, contract, standing), at=at, by=by, reason=reason)
    demand_covered(amended)
    return amended


def grant(contract: Contract, words: NewGrantWords, *, at: dt.datetime, by: Actor = None) -> CreditGrant:
    """Give the contract one more grant. Raises UnableToAmend."""
    today = local_date(at, ZoneInfo(contract.timezone_name()))
    return lifecycle.grant_credit(contract, credit(words, today), at=at, by=by, reason=words.reason or "")
