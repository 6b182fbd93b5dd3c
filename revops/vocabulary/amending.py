"""An approved contract changed as words say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import transaction

from catalog.auditing import Actor
from contracts import lifecycle
from contracts.drafts import LineDraft
from contracts.models import Contract
from revops.vocabulary.contract_terms import terms
from revops.vocabulary.words import AmendmentWords


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
    return lifecycle.amend(contract, **terms(words, contract, standing), at=at, by=by, reason=reason)
