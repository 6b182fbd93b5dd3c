"""What the pages of a source show of records that are tried against its rules."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import Any

from django.db.models import QuerySet

from billing.metering.labelling import Held, Label
from billing.metering.rule_wording import deed
from billing.metering.rulebook import rules_of
from billing.metering.trying import Fate, Trial, UnableToTry, compare, try_records
from billing.models import HeldRecord, HeldStatus, Source
from catalog.models import Meter

HELD_TRIED = 200
HELD_SHOWN = 50


def example_record(source: Source, at: dt.datetime) -> str:
    """A record to begin with: one that a meter would count."""
    meter = Meter.objects.order_by("key").first()
    data: dict[str, Any] = {} if meter is None or not meter.value else {meter.value: 1}
    event = {
        "specversion": "1.0",
        "id": "try-1",
        "source": source.key,
        "type": meter.event_type if meter else "some.type",
        "subject": "acme",
        "time": f"{at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "data": data,
    }
    return json.dumps(event, indent=2)


def trial_of(source: Source, pasted: str, at: dt.datetime) -> dict[str, Any]:
    """What became of what was pasted, or why it is no record."""
    try:
        trials = try_records(source, pasted.encode(errors="replace"), at=at)
    except UnableToTry as unable:
        return {"unable": str(unable)}
    return {"trials": [_shown(trial) for trial in trials]}


def _shown(trial: Trial) -> dict[str, Any]:
    decision, record = trial.decision, trial.record
    state, said = outcome(decision)
    if trial.known == "duplicate":
        state, said = "duplicate", "This id was accepted before with the same content: it would count no further."
    elif trial.known == "conflict":
        state, said = "held: conflict", "This id was accepted before with other content."
    return {
        "record": record,
        "notes": trial.notes,
        "steps": [{"step": step, "deed": deed(step.rule)} for step in trial.steps],
        "stop": record.stop,
        "state": state,
        "tone": "good" if state == "accepted" else "warn" if state == "duplicate" else "bad",
        "said": said,
        "customer": trial.customer,
        "occurred_at": trial.occurred_at,
        "additions": trial.additions,
        "groups": sorted({name for addition in trial.additions for name in addition.group}),
        "is_label": isinstance(decision, Label),
        "data": record.data_text.decode(errors="replace"),
    }


def outcome(decision: Label | Held) -> tuple[str, str]:
    """A word for what becomes of a record, and a sentence."""
    if isinstance(decision, Held):
        return f"held: {decision.reason.value}", f"{decision.detail[:1].upper()}{decision.detail[1:]}."
    return "accepted", "It would be accepted."


def held_of(source: Source) -> QuerySet[HeldRecord]:
    """The open records that are held of a source."""
    return HeldRecord.objects.filter(source=source.key, status=HeldStatus.OPEN)


def trials_of_held(source: Source, at: dt.datetime) -> dict[str, Any]:
    """What would become of the newest held records of a source, if it sent them now."""
    records = list(held_of(source).order_by("-held_at", "-pk")[:HELD_TRIED])
    compared = compare(source, [bytes(record.raw) for record in records], rules_of(source), at=at)
    fates = [one.now for one in compared]
    counted = Counter(outcome(fate.decision)[0] for fate in fates)
    rows = [_held_row(record, fate) for record, fate in zip(records, fates, strict=True)]
    rows.sort(key=lambda row: row["state"] != "accepted")
    return {
        "tried": len(records),
        "totals": [{"state": state, "tone": _state_tone(state), "records": n} for state, n in counted.most_common()],
        "rows": rows[:HELD_SHOWN],
        "hidden": max(0, len(rows) - HELD_SHOWN),
    }


def _held_row(record: HeldRecord, fate: Fate) -> dict[str, Any]:
    state, said = outcome(fate.decision)
    return {"row": record, "state": state, "tone": _state_tone(state), "said": said, "fate": fate}


def _state_tone(state: str) -> str:
    return "good" if state == "accepted" else "warn"
