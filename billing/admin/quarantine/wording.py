"""How the desk speaks: each reason in plain words with what to do about it, each resolution in a sentence."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.models import Decision, Outcome, Proposal, ResolutionKind
from catalog.wording import about_figure

ASSIGN, MAP, FIX = ResolutionKind.ASSIGN_CUSTOMER, ResolutionKind.MAP_TYPE, ResolutionKind.FIX_VALUE
RELEASE, REPLACE, DISCARD = ResolutionKind.RELEASE, ResolutionKind.REPLACE, ResolutionKind.DISCARD


@dataclass(frozen=True, slots=True)
class ReasonWords:
    """A reason: its name, what it means and what to do; what alike ones share; what fits, likeliest first."""

    label: str
    means: str
    do: str
    share: str
    kinds: tuple[ResolutionKind, ...]


REASONS: Mapping[str, ReasonWords] = {
    "malformed": ReasonWords(
        "Not readable",
        "What came is no event: it is not JSON, or one of its attributes has the wrong form.",
        "Ask the sender to repair it and send it again under the same id: then this one is done by itself. Or write "
        "the event as it should have been (fix values), or discard it.",
        "fault",
        (FIX, DISCARD),
    ),
    "unknown_source": ReasonWords(
        "Unknown source",
        "It was reported for a source that is not declared, or not by a key that may report for it.",
        "If the source is genuine, declare it under Usage, Sources, then release these. A test system: discard.",
        "fault",
        (RELEASE, DISCARD, FIX),
    ),
    "missing_field": ReasonWords(
        "Value missing",
        "An attribute, or a property that a meter counts, is not there.",
        "Fill it in (fix values) if you know it, with a rule if the source always leaves it out. Else ask the sender.",
        "type and field",
        (FIX, RELEASE, DISCARD),
    ),
    "time_in_future": ReasonWords(
        "Time in the future",
        "It says it happened later than it arrived, by more than the clock skew of its source allows.",
        "Release it once that time has come, or fix the time if the sender's clock was wrong.",
        "subject",
        (RELEASE, FIX, DISCARD),
    ),
    "unknown_event_type": ReasonWords(
        "Unknown event type",
        "No meter counts events of this type.",
        "Count it as a known type, or make a meter for it under Catalog and then release. Not billable: discard.",
        "type",
        (MAP, RELEASE, DISCARD),
    ),
    "unknown_customer": ReasonWords(
        "Unknown customer",
        "No customer has this subject as its key or as an alias.",
        "Assign it to its customer; kept as a rule, the subject becomes an alias and is known from then on.",
        "subject",
        (ASSIGN, DISCARD, RELEASE, FIX),
    ),
    "no_active_contract": ReasonWords(
        "No active contract",
        "The customer is known, but no approved contract of theirs was in force at that time.",
        "Sign or extend the contract, then release; or assign it to the customer who has one.",
        "subject",
        (RELEASE, ASSIGN, DISCARD),
    ),
    "invalid_value": ReasonWords(
        "Value not usable",
        "A property that a meter counts is not what it has to be: no number, or below zero.",
        "Write what it should have been (fix values), or discard it.",
        "type and field",
        (FIX, RELEASE, DISCARD),
    ),
    "rule": ReasonWords(
        "Stopped by a rule",
        "A rule of its source holds records like this for a person to look at.",
        "Release it if it counts, discard it if it does not. The rule is on the page of its source.",
        "rule",
        (RELEASE, DISCARD, FIX),
    ),
    "conflict": ReasonWords(
        "Contradiction",
        "Its source and id were counted before, with other content.",
        "Compare the two. If this one is right, let it replace what was counted. If it is another event under a used "
        "id, give it an id of its own. If the first is right, discard this one.",
        "subject",
        (REPLACE, FIX, DISCARD),
    ),
}  # fmt: skip

KIND_WORDS: Mapping[str, str] = {
    ASSIGN: "It is counted as this customer's use, in the period in which it happened.",
    MAP: "It is counted as another type of event, one that a meter knows.",
    FIX: "It is counted with what it should have said. What came is kept beside it.",
    RELEASE: "Nothing about the record changes: what kept it out has gone (a contract is signed, a source declared).",
    REPLACE: "What was counted under this id is amended to what this record says. Already billed, the difference "
    "comes on the next invoice.",
    DISCARD: "It never counts. It stays readable here, with who decided it and why.",
}  # fmt: skip

RULE_WORDS: Mapping[str, str] = {
    ASSIGN: "Each subject becomes an alias of the customer: what it sends from now on is counted at once.",
    MAP: "The source gets a rule that turns the old type into the new one.",
    FIX: "The source gets a rule that sets these values (only those of data).",
    DISCARD: "The source gets a rule that turns away what looks the same, from now on.",
}


def reason_label(reason: str) -> str:
    return REASONS[reason].label if reason in REASONS else reason.replace("_", " ")


def age(since: dt.datetime | None, at: dt.datetime) -> str:
    """How long ago, in minutes, hours or days: "34 d"."""
    if since is None:
        return "-"
    minutes = max(0, int((at - since).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2 * 24 * 60 else f"{minutes // (24 * 60):,} d"


def at_risk_words(amounts: Mapping[str, Decimal]) -> str:
    """Estimates by currency: "1,234.50 EUR and 3.00 USD"."""
    return " and ".join(f"{about_figure(amount, currency)} {currency}" for currency, amount in sorted(amounts.items()))


def add_amounts(found: Sequence[Mapping[str, Decimal]]) -> dict[str, Decimal]:
    """The sum by currency."""
    total: dict[str, Decimal] = {}
    for amounts in found:
        for currency, amount in amounts.items():
            total[currency] = total.get(currency, Decimal(0)) + amount
    return total


def what_words(kind: str, argument: Mapping[str, Any]) -> str:
    """What is to be done, in one line: "assign to acme", "set data.tokens to 12"."""
    match kind:
        case ResolutionKind.ASSIGN_CUSTOMER:
            return f"Assign to {argument.get('customer', '?')}"
        case ResolutionKind.MAP_TYPE:
            return f"Count as {argument.get('type', '?')}"
        case ResolutionKind.FIX_VALUE:
            return _fix_words(argument)
        case ResolutionKind.DISCARD:
            return "Discard"
        case ResolutionKind.REPLACE:
            return "Replace what was counted"
        case _:
            return "Release as it is"


def _fix_words(argument: Mapping[str, Any]) -> str:
    if argument.get("event") is not None:
        return "Replace what came by a whole event"
    values = argument.get("set", {})
    said = [f"take {path} away" if value is None else f"set {path} to {shown(value)}" for path, value in values.items()]
    return ", ".join(said)[:1].upper() + ", ".join(said)[1:]


def match_words(match: Mapping[str, Any]) -> str:
    """What records have in common, as one line: "type a.b, data.agent is *bot* or *crawler*"."""
    said = []
    if match.get("source"):
        said.append(f"source {match['source']}")
    if match.get("type"):
        said.append(f"type {match['type']}")
    if match.get("subjects"):
        said.append(f"subject {_or(match['subjects'])}")
    if match.get("field") and match.get("values"):
        said.append(f"{match['field']} {_or(match['values'])}")
    case = " (capitals do not matter)" if match.get("ignores_case") else ""
    return ", ".join(said) + case


def chosen_words(proposal: Proposal) -> str:
    """How the records of a proposal were chosen."""
    chosen = proposal.chosen
    if "match" in chosen:
        return f"all with {match_words(chosen['match'])}"
    if "groups" in chosen:
        groups = chosen["groups"]
        if len(groups) == 1:
            one = groups[0]
            return f"{one['alike'] or one['source'] or 'all'} ({reason_label(one['reason']).lower()})"
        return f"{len(groups):,} groups of alike records"
    count = chosen.get("records", 0)
    return "one record" if count == 1 else f"{count:,} records, one by one"


def shown(value: Any) -> str:
    """A value of a record as a person reads it; texts without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _or(values: Sequence[str]) -> str:
    shown_values = [*values[:5], f"{len(values) - 5} more"] if len(values) > 6 else list(values)
    return " or ".join(shown_values)


def state_of(proposal: Proposal) -> tuple[str, str]:
    """Where a proposal stands, in a word or two, and the tone of its label."""
    if proposal.is_undecided:
        return "waits for approval", "warn"
    if proposal.is_unfinished:
        return "approved, not finished", "warn"
    tones: dict[str, str] = {Decision.APPROVED: "good", Decision.REJECTED: "bad"}
    return proposal.get_decision_display().lower(), tones.get(proposal.decision, "")


OUTCOME_WORDS: Mapping[str, str] = {
    "": "waits",
    Outcome.RELEASED: "counted",
    Outcome.FAILED: "held again",
    Outcome.DISCARDED: "discarded",
    Outcome.SUPERSEDED: "had come in meanwhile",
    Outcome.DROPPED: "left as it was",
}
