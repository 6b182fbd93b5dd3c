"""What is wrong with a rule by itself: everything that could not work, said before it is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from billing.metering.decoding import MAX_ATTRIBUTE
from billing.metering.patterns import MOST_STARS, STAR, stars_named
from billing.metering.places import DATA, PLACED_ATTRIBUTES
from billing.metering.readings import MAX_DIGITS
from billing.metering.rule_kinds import EXAMPLE_OF_NUMBER, RuleTerms
from catalog.money import decimals
from catalog.pricing import FieldError

MOST_VALUES = 1000  # of a condition
MOST_PATTERNS = 50  # among them: each is tried in turn
MAX_VALUE = 1000  # characters
MAX_NOTE = 500
MAX_DEPTH = 8  # names in the way to a property

_UNTOUCHED = ("id", "source", "time", "specversion")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class _Spec:
    """What a kind needs: its parameters, and where its field may be ("data", "any" place, or "" for none)."""

    field: str = ""
    needs: tuple[str, ...] = ()
    needs_condition: bool = False


SPECS = {
    "rename": _Spec("data", ("to",)),
    "copy": _Spec("any", ("to",)),
    "number": _Spec("data"),
    "text": _Spec("data"),
    "trim": _Spec("any"),
    "lower": _Spec("any"),
    "upper": _Spec("any"),
    "strip_prefix": _Spec("any", ("value",)),
    "strip_suffix": _Spec("any", ("value",)),
    "rewrite": _Spec("any", ("value", "to")),
    "convert": _Spec("data", ("factor",)),
    "default": _Spec("any", ("value",)),
    "set": _Spec("any", ("value",), needs_condition=True),
    "map_type": _Spec("", ("value", "to")),
    "hold": _Spec(),
    "discard": _Spec(needs_condition=True),
}
# What each parameter is called in a sentence, by kind where it matters.
_ASKED = {
    ("rename", "to"): "the new name of the field, such as data.tokens",
    ("copy", "to"): "the field to copy it to",
    ("strip_prefix", "value"): "the prefix to strip",
    ("strip_suffix", "value"): "the suffix to strip",
    ("rewrite", "value"): "the pattern to look for, such as org-*-prod",
    ("rewrite", "to"): "what to write instead; $1 stands for what the first * took",
    ("convert", "factor"): "the factor, such as 0.001 for milliseconds to seconds",
    ("default", "value"): "the value to fill in",
    ("set", "value"): "the value to set",
    ("map_type", "value"): "the event type that is sent",
    ("map_type", "to"): "the event type it stands for",
}


def used_by(kind: str) -> set[str]:
    """The parameters that a kind of rule has, but for its conditions."""
    spec = SPECS[kind]
    return {*(["field"] if spec.field else []), *spec.needs, *(["number_format"] if kind == "number" else [])}


def trimmed(terms: RuleTerms) -> RuleTerms:
    """The rule without what its kind has no use for, as when another kind is chosen in a form."""
    used = used_by(terms.kind) if terms.kind in SPECS else set()
    unused = {name: default for name, default in _DEFAULTS.items() if name not in used}
    return replace(terms, **unused)  # type: ignore[arg-type]  # each is the default of its own field


_DEFAULTS = {"field": "", "value": "", "to": "", "factor": None, "number_format": "point"}


def faults(terms: RuleTerms) -> list[FieldError]:
    """Everything that is wrong with one rule, by itself."""
    spec = SPECS.get(terms.kind)
    if spec is None:
        known = ", ".join(kind for kind in SPECS if kind != "discard")
        return [FieldError("kind", "unknown", f"{terms.kind!r} is no kind of rule; there are: {known}")]
    return [*_parameter_faults(terms, spec), *_kind_faults(terms), *_condition_faults(terms, spec)]


def _parameter_faults(terms: RuleTerms, spec: _Spec) -> Iterator[FieldError]:
    if spec.field:
        yield from _place_faults("field", terms.field, spec.field)
    for name in spec.needs:
        if getattr(terms, name) in ("", None):
            yield FieldError(name, "missing", f"say {_ASKED[terms.kind, name]}")
    used = used_by(terms.kind)
    for name, default in _DEFAULTS.items():
        if name not in used and getattr(terms, name) != default:
            yield FieldError(name, "unused", f"a rule of the kind {terms.kind} has no {name}")
    for name in ("value", "to"):
        text = getattr(terms, name)
        if len(text) > MAX_VALUE or _CONTROL.search(text):
            detail = f"at most {MAX_VALUE} characters, and none that cannot be seen (tab, line break)"
            yield FieldError(name, "invalid", detail)
    if len(terms.note) > MAX_NOTE:
        yield FieldError("note", "invalid", f"at most {MAX_NOTE} characters")
    if terms.number_format not in EXAMPLE_OF_NUMBER:
        detail = f"{terms.number_format!r} is no way to write numbers; there are point (1,234.5) and comma (1.234,5)"
        yield FieldError("number_format", "unknown", detail)


def _place_faults(name: str, text: str, allowed: str) -> Iterator[FieldError]:
    example = "data.tokens" if allowed == "data" else "subject, type or data.tokens"
    if not text:
        yield FieldError(name, "missing", f"say which field, such as {example}")
    elif text in _UNTOUCHED:
        yield FieldError(name, "invalid", f"the {text} of a record stays as it came; rules change {example}")
    elif text in PLACED_ATTRIBUTES:
        if allowed == "data":
            yield FieldError(name, "invalid", f"this kind of rule is for properties of data, such as {example}")
    elif not text.startswith(DATA) or text == DATA:
        yield FieldError(name, "invalid", f"{text!r} is no field; for a property of data write data.{text}")
    elif "" in text.split(".") or _CONTROL.search(text):
        yield FieldError(name, "invalid", "a way to a property has names with one dot between them: data.usage.tokens")
    elif len(text) > MAX_ATTRIBUTE or text.count(".") > MAX_DEPTH:
        yield FieldError(name, "invalid", f"at most {MAX_ATTRIBUTE} characters and {MAX_DEPTH} names")


def _kind_faults(terms: RuleTerms) -> Iterator[FieldError]:
    kind, field, to = terms.kind, terms.field, terms.to
    if kind in ("rename", "copy") and to:
        yield from _place_faults("to", to, "any")
        if to == field:
            yield FieldError("to", "invalid", "the two fields are one and the same")
        elif to.startswith(f"{field}.") or field.startswith(f"{to}."):
            yield FieldError("to", "invalid", "one of the two fields is inside the other")
    elif kind == "rewrite" and terms.value:
        yield from _pattern_faults("value", terms.value)
        if stars_named(to) > terms.value.count(STAR):
            yield FieldError("to", "invalid", f"${stars_named(to)} stands for a * that the pattern does not have")
    elif kind == "convert" and terms.factor is not None:
        yield from _factor_faults(terms)
    elif kind == "map_type" and terms.when_type not in ("", terms.value):
        detail = f"it could never apply: the type is to be {terms.when_type} and {terms.value}"
        yield FieldError("when_type", "never_applies", detail)
    if kind in ("rewrite", "map_type") and terms.value == to != "":
        yield FieldError("to", "invalid", "it would change nothing: both are the same")
    target, text = _attribute_written(terms)
    if target and len(text) > MAX_ATTRIBUTE:
        yield FieldError("value", "invalid", f"a {target} has at most {MAX_ATTRIBUTE} characters")


def _attribute_written(terms: RuleTerms) -> tuple[str, str]:
    """The attribute to which a rule gives a fixed text, and the text."""
    if terms.kind == "map_type":
        return "type", terms.to
    is_fixed = terms.kind in ("default", "set") and terms.field in PLACED_ATTRIBUTES
    return (terms.field, terms.value) if is_fixed else ("", "")


def _factor_faults(terms: RuleTerms) -> Iterator[FieldError]:
    factor = terms.factor
    if factor is None or not factor.is_finite():
        yield FieldError("factor", "invalid", "the factor is not a number")
    elif factor == 0:
        yield FieldError("factor", "invalid", "a factor of zero would make every value 0")
    elif factor < 0:
        yield FieldError("factor", "invalid", "a factor below zero would turn use into its opposite")
    elif factor == 1:
        yield FieldError("factor", "invalid", "it would change nothing: a factor of 1")
    elif abs(factor.adjusted()) > MAX_DIGITS or decimals(factor) + max(factor.adjusted() + 1, 1) > MAX_DIGITS:
        yield FieldError("factor", "invalid", f"a factor has at most {MAX_DIGITS} digits")


def _pattern_faults(name: str, text: str) -> Iterator[FieldError]:
    if STAR * 2 in text:
        yield FieldError(name, "invalid", "two * side by side: one stands for anything already")
    elif text.count(STAR) > MOST_STARS:
        yield FieldError(name, "invalid", f"a pattern has at most {MOST_STARS} *")


def _condition_faults(terms: RuleTerms, spec: _Spec) -> Iterator[FieldError]:
    if spec.needs_condition and not (terms.when_type or terms.when_subjects or terms.when_field):
        detail = "say when: for which type, which subjects, or which value of a field"
        yield FieldError("when_type", "missing", detail)
    if len(terms.when_type) > MAX_ATTRIBUTE or _CONTROL.search(terms.when_type):
        yield FieldError("when_type", "invalid", f"a type has at most {MAX_ATTRIBUTE} characters, all of them seen")
    if terms.when_field:
        yield from _place_faults("when_field", terms.when_field, "any")
        if not terms.when_values:
            yield FieldError("when_values", "missing", f"say what {terms.when_field} has to be")
    elif terms.when_values:
        yield FieldError("when_field", "missing", "say which field has to be one of these")
    yield from _texts_faults("when_subjects", terms.when_subjects, MAX_ATTRIBUTE)
    yield from _texts_faults("when_values", terms.when_values, MAX_VALUE)
    if terms.occurs_from and terms.occurs_until and terms.occurs_from >= terms.occurs_until:
        detail = "it could never apply: it ends before it begins"
        yield FieldError("occurs_until", "never_applies", detail)


def _texts_faults(name: str, texts: Sequence[str], longest: int) -> Iterator[FieldError]:
    if len(texts) > MOST_VALUES:
        yield FieldError(name, "invalid", f"at most {MOST_VALUES:,}")
    if sum(STAR in text for text in texts) > MOST_PATTERNS:
        yield FieldError(name, "invalid", f"at most {MOST_PATTERNS} with a *")
    for text in texts:
        if not text or len(text) > longest or _CONTROL.search(text):
            yield FieldError(name, "invalid", f"{text[:40]!r}: 1 to {longest} characters, all of them seen")
        else:
            yield from _pattern_faults(name, text)
