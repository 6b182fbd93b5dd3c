"""The form of a rule: for each kind the inputs it needs, under names that say what they are."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.metering.rule_checks import SPECS, trimmed
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import problems, terms_of
from billing.models import NumberFormat, RuleKind, Source, SourceRule
from catalog.desks import ReasonForm

# Kinds in groups, each with what it does and an example. What two persons discard begins on the quarantine desk.
GROUPS = {
    "Fields": ("rename", "copy", "default", "set"),
    "Texts": ("trim", "lower", "upper", "strip_prefix", "strip_suffix", "rewrite"),
    "Numbers and units": ("number", "text", "convert"),
    "Event types": ("map_type",),
    "Review": ("hold",),
}
EXPLAINED = {
    "rename": "Moves what a field holds to another name: data.tok to data.tokens. A field that is there already stays.",
    "copy": "Writes what a field holds to another as well, over what is there: data.tenant to subject.",
    "default": "Fills a field that is absent or null: data.region with eu.",
    "set": "Writes a value over whatever is there. Needs a condition: where data.tokens is n/a, set it to 0.",
    "trim": "Takes blanks away at both ends of a text.",
    "lower": "Writes a text in lower case, so that ACME and acme are one subject.",
    "upper": "Writes a text in upper case.",
    "strip_prefix": "Takes a beginning away where a text has it: org: of org:acme.",
    "strip_suffix": "Takes an end away where a text has it: -prod of acme-prod.",
    "rewrite": "Writes a text anew where it is like a pattern: org-*-prod to $1 makes acme of org-acme-prod.",
    "number": "Reads a number that is written as a text with separators: 1,234.5. What reads otherwise is left alone.",
    "text": "Writes a number, true or false as a text.",
    "convert": "Multiplies a value by an exact factor: 0.001 makes seconds of milliseconds.",
    "map_type": "Takes records of one event type as of another.",
    "hold": "Holds what the conditions describe for review. Without conditions: everything this source sends.",
}
FACTORS = (
    "0.001 for ms to s; 0.000001 for bytes to MB, 0.000000001 to GB; 0.00000095367431640625 for bytes to MiB, "
    "0.000000000931322574615478515625 to GiB; 3600 for hours to seconds."
)

# The inputs of each kind beside its field, and what of the rule they are.
INPUTS: dict[str, dict[str, str]] = {
    "rename": {"target": "to"},
    "copy": {"target": "to"},
    "default": {"fill": "value"},
    "set": {"fill": "value"},
    "strip_prefix": {"affix": "value"},
    "strip_suffix": {"affix": "value"},
    "rewrite": {"pattern": "value", "result": "to"},
    "number": {"number_format": "number_format"},
    "convert": {"factor": "factor"},
    "map_type": {"sent": "value", "meant": "to"},
}


def shown_for(name: str) -> str:
    """The condition, as the page evaluates it, under which an input is shown."""
    kinds = [kind for kind in EXPLAINED if name in INPUTS.get(kind, {}) or (name == "field" and SPECS[kind].field)]
    return f"{kinds!r}.includes(kind)"


CONDITIONAL = {
    name: shown_for(name)
    for name in ("field", "target", "fill", "affix", "pattern", "result", "number_format", "factor", "sent", "meant")
}


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}), **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        return tuple(line.strip() for line in str(value or "").splitlines() if line.strip())


def _line(label: str, help_text: str = "", placeholder: str = "") -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"placeholder": placeholder})
    return forms.CharField(label=label, required=False, strip=False, widget=widget, help_text=help_text)


class RuleForm(ReasonForm):
    """A rule as it is edited. Its kind decides which inputs count; the others are left out."""

    kind = forms.ChoiceField(
        label="What it does",
        choices=[(group, [(kind, RuleKind(kind).label) for kind in kinds]) for group, kinds in GROUPS.items()],
        widget=UnfoldAdminSelectWidget(),
    )
    field = _line("Field", "subject, type, or data. and the way to a property.", "data.tokens")
    target = _line("To field", "subject, type, or data. and the way to a property.", "data.usage.tokens")
    fill = _line("Value", "A number, true or false is taken as such, anything else as a text.", "0")
    affix = _line("Text to strip", "", "org:")
    pattern = _line("Where it is like", "* stands for anything; up to three of them.", "org-*-prod")
    result = _line("Write instead", "$1 stands for what the first * took, $2 for the second.", "$1")
    number_format = forms.ChoiceField(
        label="Written like", choices=NumberFormat.choices, required=False, widget=UnfoldAdminSelectWidget()
    )
    factor = forms.DecimalField(
        label="Factor",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "0.001"}),
        help_text=FACTORS,
    )
    sent = _line("Type that is sent", "", "llm.req")
    meant = _line("Type it stands for", "One that a meter counts.", "llm.request")
    when_type = _line("Type is", "Empty: any.", "llm.request")
    when_subjects = LinesField(label="Subject is one of", help_text="One a line; * stands for anything. Empty: any.")
    when_field = _line("Field", "Any field, such as data.agent. Empty: no condition.", "data.agent")
    when_values = LinesField(label="is one of", help_text="One a line; * stands for anything: *bot*.")
    when_ignores_case = forms.BooleanField(
        label="Ignore case", required=False, widget=UnfoldBooleanSwitchWidget(),
        help_text="Compare subjects and the field without regard to upper and lower case.",
    )  # fmt: skip
    occurs_from = forms.SplitDateTimeField(
        label="Happened from", required=False, widget=UnfoldAdminSplitDateTimeWidget(),
        help_text="The time of the event counts, not its arrival: for a source that reports otherwise from a day on.",
    )  # fmt: skip
    occurs_until = forms.SplitDateTimeField(
        label="Happened before", required=False, widget=UnfoldAdminSplitDateTimeWidget()
    )

    class Meta:
        model = SourceRule
        fields = ["source", "note"]
        labels = {"note": "Purpose"}
        help_texts = {"note": "Why there is this rule; shown beside it."}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        rule: SourceRule = self.instance
        if rule.pk:
            terms = terms_of(rule)
            names = ("kind", "field", *_CONDITIONS)
            self.initial.update({name: getattr(terms, name) for name in names})
            self.initial.update({name: getattr(terms, of) for name, of in INPUTS.get(rule.kind, {}).items()})

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        rule = self.instance if self.instance.pk else None
        for error in problems(self.source(), self.terms(), rule):
            self.add_error(self._input_of(error.path), error.detail[:1].upper() + error.detail[1:] + ".")
        return cleaned

    def source(self) -> Source:
        """Whose rule it is; a rule that is kept stays with its source."""
        source: Source = self.instance.source if self.instance.pk else self.cleaned_data["source"]
        return source

    def terms(self) -> RuleTerms:
        """The rule that a form without errors says."""
        said = self.cleaned_data
        inputs = INPUTS.get(said["kind"], {})
        given = {of: said[name] for name, of in inputs.items()}
        conditions = {name: said.get(name) for name in _CONDITIONS}
        terms = RuleTerms(kind=said["kind"], field=said["field"], note=said["note"], **{**given, **conditions})
        return trimmed(terms)

    def _input_of(self, path: str) -> str | None:
        inputs = {of: name for name, of in INPUTS.get(self.cleaned_data["kind"], {}).items()}
        name = inputs.get(path, path)
        return name if name in self.fields else None


_CONDITIONS = (
    "when_type", "when_subjects", "when_field", "when_values", "when_ignores_case", "occurs_from", "occurs_until",
)  # fmt: skip
