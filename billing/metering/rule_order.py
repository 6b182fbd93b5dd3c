"""What is wrong with the rules of a source in their order: rules that could never apply because of those before them.

Only what is certain is said. A rule with conditions may leave a record as it was, so others cannot rely on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from billing.metering.places import DATA
from billing.metering.rule_kinds import RuleTerms
from catalog.pricing import FieldError

MOST_RULES = 50  # active ones of a source: each costs every record of it

# What is wrong: the parameter at fault, and a sentence.
Fault = tuple[str, str]


def order_faults(rules: Iterable[RuleTerms]) -> list[FieldError]:
    """What is wrong with the active ones of these; a path begins with the position of the rule: `3.field`."""
    active = [terms for terms in sorted(rules, key=lambda terms: terms.position) if terms.is_active]
    found: list[FieldError] = []
    if len(active) > MOST_RULES:
        detail = (
            f"{len(active)} rules would be active; a source has at most {MOST_RULES}: switch off what is not needed"
        )
        found.append(FieldError("", "too_many", detail))
    for place, terms in enumerate(active):
        before = active[:place]
        for path, detail in (*_repeated(terms, before), *_gone(terms, before), *_folded(terms, before)):
            found.append(FieldError(f"{terms.position}.{path}", "never_applies", detail))
    return found


def discard_faults(before: Sequence[RuleTerms], after: Sequence[RuleTerms]) -> list[FieldError]:
    """Rules that are to write what an active discard after them looks at, and did not so far.

    Two persons have agreed on what it discards, among the rules there were; one of them alone does not widen that. A
    discard that is switched on, or new, is not looked at here. Paths as those of `order_faults`.
    """
    discards = {terms.id for terms in before if terms.is_active and terms.kind == "discard"}
    known = {(content_of(writer), discard.id) for writer, discard, _ in _writers(before)}
    found = []
    for writer, discard, field in _writers(after):
        if discard.id in discards and (content_of(writer), discard.id) not in known:
            detail = (
                f"two persons have agreed on what rule {discard.position} discards, and it looks at {field}, which "
                f"rule {writer.position} would write before it: place that after it, or switch the discard off first"
            )
            found.append(FieldError(f"{writer.position}.kind", "widens_discard", detail))
    return found


def writers_before(discard: RuleTerms, rules: Sequence[RuleTerms]) -> list[RuleTerms]:
    """The active ones of these that write what the discard looks at, and come before it."""
    return [writer for writer, one, _ in _writers(rules) if one.id == discard.id]


def _writers(rules: Sequence[RuleTerms]) -> Iterator[tuple[RuleTerms, RuleTerms, str]]:
    """(a rule, a discard after it, the field that the one writes and the other looks at), of active rules."""
    active = [terms for terms in sorted(rules, key=lambda terms: terms.position) if terms.is_active]
    for place, discard in enumerate(active):
        for writer in active[:place] if discard.kind == "discard" else ():
            field = next((one for one in _looked_at(discard) if _touches(writer, one)), None)
            if field is not None:
                yield writer, discard, field


def _looked_at(terms: RuleTerms) -> list[str]:
    """The fields that the conditions of a rule read."""
    read = ["type" if terms.when_type else "", "subject" if terms.when_subjects else "", terms.when_field]
    return [field for field in read if field]


def content_of(terms: RuleTerms) -> RuleTerms:
    """What a rule says, wherever it stands and whether it is switched on; to compare rules by."""
    factor = None if terms.factor is None else terms.factor.normalize()
    return replace(terms, position=0, id=0, is_active=True, note="", proposal=None, factor=factor)


def _repeated(terms: RuleTerms, before: Sequence[RuleTerms]) -> Iterator[Fault]:
    """A rule that says what one before it said, with nothing in between that it could be about."""
    content = content_of(terms)
    fields = {*_written_by(terms), terms.when_field, "subject" if terms.when_subjects else ""} - {""}
    for one in reversed(before):
        if content_of(one) == content:
            yield "kind", f"rule {one.position} says the same already"
        if content_of(one) == content or any(_touches(one, field) for field in fields):
            return


def _gone(terms: RuleTerms, before: Sequence[RuleTerms]) -> Iterator[Fault]:
    """What a rule looks for that an earlier one has always taken away, and none has put there since."""
    fields = [("when_field", terms.when_field)]
    if terms.kind not in ("default", "set"):
        fields.append(("field", terms.field))
    for path, field in fields:
        taker = _taker_of(field, before)
        if taker is not None:
            yield path, f"it could never apply: rule {taker.position} has renamed {field} to {taker.to} before it"
    types = [("when_type", terms.when_type)]
    if terms.kind == "map_type":
        types.append(("value", terms.value))
    for path, type in types:
        mapper = _mapper_of(type, before)
        if mapper is not None:
            yield path, f"it could never apply: rule {mapper.position} has made {mapper.to} of {type} before it"


def _taker_of(field: str, before: Sequence[RuleTerms]) -> RuleTerms | None:
    taker: RuleTerms | None = None
    for one in before if field.startswith(DATA) else ():
        if one.kind == "rename" and not is_limited(one) and _is_within(field, one.field):
            taker = one
        elif any(_overlap(field, made) for made in _made_by(one)):
            taker = None
    return taker


def _mapper_of(type: str, before: Sequence[RuleTerms]) -> RuleTerms | None:
    mapper: RuleTerms | None = None
    for one in before if type else ():
        maps = one.kind == "map_type"
        if maps and one.value == type and not is_limited(replace(one, when_type="")):
            mapper = one
        elif one.to == type if maps else "type" in _written_by(one):
            mapper = None
    return mapper


def _folded(terms: RuleTerms, before: Sequence[RuleTerms]) -> Iterator[Fault]:
    """What a rule looks for in another case than an earlier one has always written the field in."""
    asked: list[tuple[str, str, tuple[str, ...]]] = []
    if terms.kind in ("strip_prefix", "strip_suffix", "rewrite"):
        asked.append(("value", terms.field, (terms.value,)))
    if not terms.when_ignores_case:
        asked += [
            ("when_subjects", "subject", terms.when_subjects),
            ("when_values", terms.when_field, terms.when_values),
        ]
    for path, field, texts in asked:
        folder = _folder_of(field, before)
        if folder is not None and texts and all(_fold(text, folder.kind) != text for text in texts):
            detail = f"rule {folder.position} has written {field} in {folder.kind} case before it"
            yield path, f"it could never apply: {detail}"


def _folder_of(field: str, before: Sequence[RuleTerms]) -> RuleTerms | None:
    """The rule that always wrote the field in one case, where none may have written it in another since."""
    folder: RuleTerms | None = None
    for one in before:
        if one.kind in ("lower", "upper") and one.field == field:
            folder = None if is_limited(one) else one
        elif one.kind not in ("trim", "strip_prefix", "strip_suffix") and _touches(one, field):
            folder = None
    return folder


def _fold(text: str, kind: str) -> str:
    return text.lower() if kind == "lower" else text.upper()


def is_limited(terms: RuleTerms) -> bool:
    """Whether the rule has conditions."""
    return bool(
        terms.when_type or terms.when_subjects or terms.when_field or terms.occurs_from or terms.occurs_until
    )  # fmt: skip


def _made_by(terms: RuleTerms) -> set[str]:
    """The fields that are there after a rule, even where they were not before."""
    if terms.kind in ("rename", "copy"):
        return {terms.to}
    return {terms.field} if terms.kind in ("default", "set") else set()


def _written_by(terms: RuleTerms) -> set[str]:
    """The fields that a rule may leave different."""
    if terms.kind == "copy":
        return {terms.to}
    if terms.kind == "rename":
        return {terms.field, terms.to}
    return {"type"} if terms.kind == "map_type" else {terms.field} - {""}


def _touches(terms: RuleTerms, field: str) -> bool:
    return any(_overlap(field, written) for written in _written_by(terms))


def _is_within(field: str, other: str) -> bool:
    return field == other or field.startswith(f"{other}.")


def _overlap(one: str, other: str) -> bool:
    return _is_within(one, other) or _is_within(other, one)
