"""What the pages of a source show of records that are tried against its rules."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from django.db.models import QuerySet

from billing.admin.quarantine.wording import reason_label
from billing.metering.labelling import Held, Label
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rule_wording import deed
from billing.metering.rulebook import rules_of
from billing.metering.trying import Trial, UnableToTry, compare, try_records
from billing.models import HeldRecord, HeldStatus, Source
from catalog.models import Meter

HELD_TRIED = 1000
GROUPS_SHOWN = 50
ACCEPTED = "Accepted"


def example_record(source: Source, at: dt.datetime) -> str:
    """A record to begin with: one that the meters of some type would count, once it has a known subject."""
    first = Meter.objects.order_by("event_type").first()
    type = first.event_type if first else "some.type"
    event = {
        "specversion": "1.0",
        "id": "try-1",
        "source": source.key,
        "type": type,
        "subject": "acme",
        "time": f"{at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "data": {meter.value: 1 for meter in Meter.objects.filter(event_type=type).order_by("key") if meter.value},
    }
    return json.dumps(event, indent=2)


def trial_of(source: Source, pasted: str, at: dt.datetime, rules: Sequence[RuleTerms] | None = None) -> dict[str, Any]:
    """What would become of what was pasted, or why it is no record; with other rules than the source has, if given."""
    try:
        trials = try_records(source, pasted.encode(errors="replace"), at=at, rules=rules)
    except UnableToTry as unable:
        return {"unable": str(unable)}
    return {"trials": [_shown(trial) for trial in trials]}


def _shown(trial: Trial) -> dict[str, Any]:
    record = trial.record
    state, said = outcome(trial.decision, trial.known)
    return {
        "record": record,
        "notes": trial.notes,
        "steps": [{"step": step, "deed": deed(step.rule)} for step in trial.steps],
        "stop": record.stop,
        "state": state,
        "tone": tone(state),
        "said": said,
        "customer": trial.customer,
        "occurred_at": trial.occurred_at,
        "additions": trial.additions,
        "is_label": isinstance(trial.decision, Label),
        "data": "" if record.fault else msgspec.json.format(record.data_text, indent=-1).decode(),
    }


def outcome(decision: Label | Held, known: str) -> tuple[str, str]:
    """A word for what would become of a record, and a sentence."""
    if known == "duplicate":
        return "Duplicate", "This id was accepted before with the same content: it would count no further."
    if known == "conflict":
        return reason_label("conflict"), "This id was accepted before with other content."
    if isinstance(decision, Held):
        return reason_label(decision.reason.value), f"{decision.detail[:1].upper()}{decision.detail[1:]}."
    return ACCEPTED, ""


def tone(state: str) -> str:
    return "good" if state == ACCEPTED else "warn" if state == "Duplicate" else "bad"


def held_of(source: Source) -> QuerySet[HeldRecord]:
    """The open records that are held of a source."""
    return HeldRecord.objects.filter(source=source.key, status=HeldStatus.OPEN)


def trials_of_held(source: Source, at: dt.datetime, rules: Sequence[RuleTerms] | None = None) -> dict[str, Any]:
    """What would become of the newest held records of a source, if it sent them now, alike ones together.

    `rules`: others than it has, to see what they would change.
    """
    records = list(held_of(source).order_by("-held_at", "-pk")[:HELD_TRIED])
    compared = compare(source, [bytes(one.raw) for one in records], rules_of(source) if rules is None else rules, at=at)
    groups: Counter[tuple[str, ...]] = Counter()
    samples: dict[tuple[str, ...], HeldRecord] = {}
    for record, one in zip(records, compared, strict=True):
        state, said = outcome(one.then.decision, one.then.known)
        now, _ = outcome(one.now.decision, one.now.known)
        group = (reason_label(record.reason), one.then.type, one.then.subject, now, state, said)
        groups[group] += 1
        samples.setdefault(group, record)
    ordered = sorted(groups.items(), key=lambda found: (found[0][3] == found[0][4], found[0][4] != ACCEPTED, -found[1]))
    names = ("reason", "type", "subject", "now", "state", "said")
    return {
        "tried": len(records),
        "changed": sum(one.is_changed for one in compared),
        "totals": [
            {"state": state, "tone": tone(state), "records": count}
            for state, count in Counter(outcome(one.then.decision, one.then.known)[0] for one in compared).most_common()
        ],
        "groups": [
            {**dict(zip(names, group, strict=True)), "tone": tone(group[4]), "records": count, "sample": samples[group]}
            for group, count in ordered[:GROUPS_SHOWN]
        ],
        "hidden": max(0, len(ordered) - GROUPS_SHOWN),
    }
