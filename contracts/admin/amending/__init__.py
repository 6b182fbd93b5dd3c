"""Amendments on the console: a form for each thing that is changed from a day on, behind one button.

Each is a deed that is tried first: its page shows the terms and the next invoice as they are and as they would be.
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.admin.amending.commitments import AddCommitment, EndCommitment
from contracts.admin.amending.discounts import AddDiscount, EndDiscount
from contracts.admin.amending.lines import AddLine, ChangeQuantity, MoveLine, RemoveLine
from contracts.admin.amending.prices import EndOverride, OverridePrice
from contracts.admin.amending.renewals import SetRenewal
from contracts.admin.deeds import ApprovedDeed
from contracts.models import Contract

AMENDMENTS: tuple[ApprovedDeed, ...] = (
    ChangeQuantity(), AddLine(), MoveLine(), RemoveLine(), OverridePrice(), EndOverride(), AddDiscount(),
    EndDiscount(), AddCommitment(), EndCommitment(), SetRenewal(),
)  # fmt: skip
"""Every way to amend, in the order of the page. Moving to a version and one-time amounts are deeds of their own."""

NEEDS: Mapping[str, str] = {
    "end_override": "overrides",
    "end_discount": "discounts",
    "end_commitment": "commitments",
}
"""Amendments that end something, and what there must be of it."""


def amendments_of(contract: Contract) -> list[ApprovedDeed]:
    """The ways in which this contract can be amended."""
    has = {name: getattr(contract, name).in_force().exists() for name in NEEDS.values()}
    return [one for one in AMENDMENTS if one.name not in NEEDS or has[NEEDS[one.name]]]
