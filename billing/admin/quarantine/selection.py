"""What a page of the review is about: records, groups of alike ones, a whole list of them, or all that a match meets.

It is carried from page to page in the fields of the form, and looked up anew on each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.http import QueryDict

from billing.admin.quarantine.wording import REASONS, match_words, reason_label
from billing.metering.rule_checks import faults
from billing.models import HeldRecord, ResolutionKind
from billing.review.alike import Asked, GroupKey, groups
from billing.review.choosing import Chosen, Groups, Match, Matching, Records, record_ids

MOST_RECORDS = 10_000
MOST_GROUPS = 5_000
LOOKED_AT = 500  # records whose reasons and types say which resolutions fit

_encode = msgspec.json.encode


class UnableToSelect(Exception):
    """The request names nothing that can be worked on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is chosen, and the hidden fields that say it again on the next page."""

    chosen: Chosen
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class About:
    """What is chosen, as a person sees it: which open records, of which kinds, and one to look at."""

    ids: tuple[int, ...]
    title: str
    reasons: tuple[str, ...]
    sources: tuple[str, ...]
    types: tuple[str, ...]
    subjects: tuple[str, ...]
    sample: HeldRecord

    @property
    def count(self) -> int:
        return len(self.ids)

    @property
    def is_single(self) -> bool:
        return self.count == 1

    @property
    def kinds(self) -> list[ResolutionKind]:
        """The resolutions that fit every reason, likeliest first."""
        known = [REASONS[reason].kinds for reason in self.reasons if reason in REASONS]
        return [kind for kind in known[0] if all(kind in kinds for kinds in known)] if known else []


def read_selection(asked: QueryDict) -> Selection:
    """What a form or an address chose. Raises UnableToSelect."""
    if text := asked.get("match"):
        return matching(_match(text))
    if asked.get("listed"):
        return _listed(asked)
    if tokens := asked.getlist("group"):
        return _groups(tokens)
    if texts := asked.getlist("record"):
        return of_records(_ids(texts))
    raise UnableToSelect("Nothing is ticked. Tick the groups or records to propose something for.")


def of_records(ids: Sequence[int]) -> Selection:
    """Records by their ids. Raises UnableToSelect where there are none, or too many."""
    if not ids:
        raise UnableToSelect("None of what is ticked is open: it was decided on already.")
    if len(ids) > MOST_RECORDS:
        raise UnableToSelect(f"{len(ids):,} records are too many one by one: choose groups in the review queue.")
    return Selection(Records(tuple(ids)), (("record", ",".join(map(str, ids))),))


def matching(match: Match) -> Selection:
    return Selection(Matching(match), (("match", _encode(match).decode()),))


def about(selection: Selection) -> About:
    """Look up what is chosen. Raises UnableToSelect where nothing of it is open and free."""
    ids = record_ids(selection.chosen)
    if not ids:
        raise UnableToSelect("Nothing of this is open any more: it was decided on, or a proposal waits for it already.")
    rows = HeldRecord.objects.filter(pk__in=ids[:LOOKED_AT])
    seen = list(rows.order_by("pk").values_list("current_reason", "source", "type", "subject"))
    columns = [tuple(dict.fromkeys(value for value in column if value)) for column in zip(*seen, strict=True)]
    reasons, sources, types, subjects = columns
    return About(
        ids=tuple(ids),
        title=_title(selection.chosen, len(ids)),
        reasons=reasons,
        sources=sources,
        types=types,
        subjects=subjects,
        sample=HeldRecord.objects.get(pk=ids[0]),
    )


def _title(chosen: Chosen, count: int) -> str:
    records = "1 record" if count == 1 else f"{count:,} records"
    match chosen:
        case Groups(keys) if len(keys) == 1:
            return f"{records}: {reason_label(keys[0].reason).lower()}, {keys[0].alike or keys[0].source}"
        case Groups(keys):
            return f"{records} of {len(keys):,} groups"
        case Matching(match):
            return f"{records} with {match_words(msgspec.to_builtins(match))}"
        case _:
            return records


def _match(text: Any) -> Match:
    try:
        match = msgspec.json.decode(text, type=Match)
    except msgspec.MsgspecError as error:
        raise UnableToSelect("The condition could not be read. Choose by what they say once more.") from error
    if "\0" in match.source or match.is_empty or faults(match.terms("discard", 1)):
        raise UnableToSelect("The condition is incomplete. Choose by what they say once more.")
    return match


def _listed(asked: QueryDict) -> Selection:
    names = ("reason", "source", "text")
    values: dict[str, Any] = {name: asked.get(f"listed_{name}", "").replace("\0", "") for name in names}
    found = groups(Asked(**values, unproposed=True), order="records", limit=MOST_GROUPS)
    if not found.groups:
        raise UnableToSelect("No group of this list is free: a proposal waits for each.")
    if found.next:
        raise UnableToSelect(
            f"The list has {found.total:,} groups, and {MOST_GROUPS:,} can be proposed for at once: narrow it, or "
            "choose by what they say."
        )
    fields = (("listed", "1"), *((f"listed_{name}", value) for name, value in values.items() if value))
    return Selection(Groups(tuple(group.key for group in found.groups)), fields)


def _groups(tokens: Sequence[str]) -> Selection:
    try:
        keys = tuple(dict.fromkeys(GroupKey.read(token) for token in tokens))
    except ValueError as error:
        raise UnableToSelect("A group could not be read. Tick the groups once more.") from error
    if any("\0" in text for key in keys for text in (key.reason, key.source, key.alike)):
        raise UnableToSelect("A group could not be read. Tick the groups once more.")
    return Selection(Groups(keys), tuple(("group", key.token) for key in keys))


def _ids(texts: Sequence[str]) -> list[int]:
    parts = [part.strip() for text in texts for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise UnableToSelect("A record could not be read. Tick the records once more.")
    return list(dict.fromkeys(int(part) for part in parts))
