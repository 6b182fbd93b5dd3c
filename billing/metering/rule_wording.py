"""Rules in words."""

from __future__ import annotations

import datetime as dt

from billing.metering.rule_kinds import EXAMPLE_OF_NUMBER, RuleTerms
from catalog.money import quantity_text

_SHOWN_VALUES = 3


def sentence(terms: RuleTerms) -> str:
    """What a rule does and when: "Rename data.tok to data.tokens, where the type is llm.request"."""
    return ", ".join([deed(terms), *conditions(terms)])


def deed(terms: RuleTerms) -> str:
    """What a rule does, without its conditions."""
    field, value, to = terms.field, terms.value, terms.to
    factor = "" if terms.factor is None else quantity_text(terms.factor)
    written = EXAMPLE_OF_NUMBER.get(terms.number_format, terms.number_format)
    said = {
        "rename": f"Rename {field} to {to}",
        "copy": f"Copy {field} to {to}",
        "number": f"Read {field} as a number written like {written}",
        "text": f"Write {field} as a text",
        "trim": f"Trim blanks around {field}",
        "lower": f"Write {field} in lower case",
        "upper": f"Write {field} in upper case",
        "strip_prefix": f"Strip “{value}” from the beginning of {field}",
        "strip_suffix": f"Strip “{value}” from the end of {field}",
        "rewrite": f"Rewrite {field} from “{value}” to “{to}”",
        "convert": f"Multiply {field} by {factor}",
        "default": f"Fill {field} with {value} where it is absent",
        "set": f"Set {field} to {value}",
        "map_type": f"Take the type {value} as {to}",
        "hold": "Hold for review",
        "discard": "Discard",
    }
    return said.get(terms.kind, terms.kind)


def conditions(terms: RuleTerms) -> list[str]:
    """When a rule applies, a phrase for each condition."""
    said = []
    if terms.when_type:
        said.append(f"where the type is {terms.when_type}")
    if terms.when_subjects:
        said.append(f"where the subject is {_listed(terms.when_subjects)}")
    if terms.when_field:
        said.append(f"where {terms.when_field} is {_listed(terms.when_values)}")
    if terms.occurs_from is not None:
        said.append(f"from {_instant(terms.occurs_from)} on")
    if terms.occurs_until is not None:
        said.append(f"before {_instant(terms.occurs_until)}")
    return said


def _listed(values: tuple[str, ...]) -> str:
    # The last one is shown rather than counted.
    shown = [f"“{value}”" for value in (values if len(values) <= _SHOWN_VALUES + 1 else values[:_SHOWN_VALUES])]
    more = len(values) - len(shown)
    if more:
        return f"{', '.join(shown)} or one of {more:,} others"
    return " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _instant(at: dt.datetime) -> str:
    utc = at.astimezone(dt.UTC)
    is_midnight = utc.time() == dt.time()
    return f"{utc:%-d %B %Y}" if is_midnight else f"{utc:%-d %B %Y %H:%M} UTC"
