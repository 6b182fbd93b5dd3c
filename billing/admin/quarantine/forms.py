"""The form of a proposal, one for each kind of resolution: its argument, why, and whether to keep it as a rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import QueryDict

from billing.admin.quarantine.selection import About
from billing.admin.quarantine.wording import RULE_WORDS, shown
from billing.metering.decoding import exact_number
from billing.models import ResolutionKind
from billing.review.details import readable
from billing.review.resolutions import ATTRIBUTES, MOST_FIXED
from catalog.models import Meter
from contracts.models import Customer, CustomerAlias

SPARE_ROWS = 2
MOST_ROWS = 100  # fields of a record that are offered; others can be named


class ProposalForm(forms.Form):
    """Why, and whether it becomes a rule; the subclasses ask for the argument of their kind."""

    kind: ClassVar[ResolutionKind]
    template_name = "admin/plain_fields.html"

    reason = forms.CharField(
        label="Why",
        max_length=1000,
        strip=True,
        widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text="Why this is right, in a sentence. The approver reads it, and it stays with the record.",
    )
    keep_as_rule = forms.BooleanField(label="Keep as a rule", required=False)

    def __init__(self, data: QueryDict | None, about: About, initial: Mapping[str, Any]) -> None:
        super().__init__(data, initial=dict(initial))
        self.about = about
        if self.kind in RULE_WORDS:
            self.fields["keep_as_rule"].help_text = RULE_WORDS[self.kind]
        else:
            del self.fields["keep_as_rule"]
        self.order_fields([name for name in self.fields if name not in ("reason", "keep_as_rule")])

    def argument(self) -> dict[str, Any]:
        """The argument of the resolution; of a form that is valid."""
        return {}

    @property
    def keeps_rule(self) -> bool:
        return bool(self.cleaned_data.get("keep_as_rule"))


class AssignForm(ProposalForm):
    kind = ResolutionKind.ASSIGN_CUSTOMER
    customer = forms.ModelChoiceField(
        Customer.objects.all(), empty_label=None, help_text="Type a part of its name or key."
    )

    def __init__(self, data: QueryDict | None, about: About, initial: Mapping[str, Any]) -> None:
        super().__init__(data, about, initial)
        widget = AutocompleteSelect(
            CustomerAlias._meta.get_field("customer"), admin.site, attrs={"data-placeholder": "Customer"}
        )
        field = self.fields["customer"]
        widget.choices = field.choices  # type: ignore[attr-defined]
        field.widget = widget

    def argument(self) -> dict[str, Any]:
        return {"customer": self.cleaned_data["customer"].key}


class MapForm(ProposalForm):
    kind = ResolutionKind.MAP_TYPE
    type = forms.ChoiceField(label="Count as", help_text="The types that a meter counts.")

    def __init__(self, data: QueryDict | None, about: About, initial: Mapping[str, Any]) -> None:
        super().__init__(data, about, initial)
        known: dict[str, list[str]] = {}
        for type, name in Meter.objects.order_by("event_type", "key").values_list("event_type", "name"):
            known.setdefault(type, []).append(name)
        choices = [(type, f"{type} ({', '.join(filter(None, names))})") for type, names in known.items()]
        self.fields["type"].choices = [("", "Choose a type"), *choices]  # type: ignore[attr-defined]

    def argument(self) -> dict[str, Any]:
        return {"type": self.cleaned_data["type"]}


@dataclass(frozen=True, slots=True)
class FixRow:
    """A field of the record: as it came, and what is typed beside it. A spare row has no path yet."""

    index: int
    path: str
    came: str | None
    value: str
    is_away: bool

    @property
    def may_go(self) -> bool:
        """Whether the field can be taken away: an event has to have its other attributes."""
        return self.path not in ATTRIBUTES or self.path == "time"


class FixForm(ProposalForm):
    """Fields to correct. An empty value leaves a field as it came."""

    kind = ResolutionKind.FIX_VALUE
    template_name = "admin/quarantine/proposal/fix_fields.html"
    event = forms.CharField(
        label="The whole event",
        required=False,
        strip=True,
        max_length=1_000_000,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 80, "class": "record", "spellcheck": "false"}),
    )

    def __init__(self, data: QueryDict | None, about: About, initial: Mapping[str, Any]) -> None:
        super().__init__(data, about, initial)
        found = readable(bytes(about.sample.raw))
        self.came = dict(list(flattened(found).items())[:MOST_ROWS]) if isinstance(found, dict) else {}
        if not about.is_single:
            del self.fields["event"]
        elif isinstance(found, str):
            self.fields["event"].initial = found  # to be repaired: nothing can be set in what cannot be read
        self.is_readable = isinstance(found, dict) or not about.is_single
        self.typed = self._typed(data) if data is not None else [(path, "", False) for path in self.came]

    @property
    def rows(self) -> list[FixRow]:
        typed = [one for one in self.typed if one[0] or one[1]]
        spare = [("", "", False)] * SPARE_ROWS
        return [
            FixRow(index, path, self.came.get(path), value, is_away)
            for index, (path, value, is_away) in enumerate([*typed, *spare])
        ]

    @property
    def whole(self) -> forms.BoundField | None:
        """The field for the whole event; one record only has one."""
        return self["event"] if "event" in self.fields else None

    @staticmethod
    def _typed(data: QueryDict) -> list[tuple[str, str, bool]]:
        away = set(data.getlist("fix_away"))
        pairs = zip(data.getlist("fix_path"), data.getlist("fix_value"), strict=False)
        return [(path.strip(), value.strip(), str(index) in away) for index, (path, value) in enumerate(pairs)]

    def clean(self) -> dict[str, Any]:
        asked: dict[str, Any] = super().clean() or self.cleaned_data
        values: dict[str, Any] = {}
        for path, value, is_away in self.typed:
            if is_away or value:
                if not path:
                    raise forms.ValidationError(f"Say which field is to be {value!r}, such as data.tokens.")
                values[path] = None if is_away else typed_value(path, value)
        event = self._event(asked.get("event") or "")
        if bool(values) == (event is not None):
            raise forms.ValidationError("Either fields or a whole event." if values else "Write at least one value.")
        if len(values) > MOST_FIXED:
            raise forms.ValidationError(f"A fix sets at most {MOST_FIXED} fields.")
        asked["fix"] = {"set": values} if event is None else {"event": event}
        return asked

    def _event(self, text: str) -> dict[str, Any] | None:
        if not text:
            return None
        try:
            event = _read_json(text)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise forms.ValidationError({"event": f"This is not JSON: {error}."}) from error
        if not isinstance(event, dict):
            raise forms.ValidationError({"event": "An event is an object: it begins with { and ends with }."})
        return event

    def argument(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cleaned_data["fix"]
        return found


class ReleaseForm(ProposalForm):
    kind = ResolutionKind.RELEASE


class ReplaceForm(ProposalForm):
    kind = ResolutionKind.REPLACE


class DiscardForm(ProposalForm):
    """What was chosen by what it says is turned away by that; anything else by what makes it alike."""

    kind = ResolutionKind.DISCARD

    def __init__(self, data: QueryDict | None, about: About, initial: Mapping[str, Any]) -> None:
        super().__init__(data, about, initial)
        self.match: Mapping[str, Any] | None = initial.get("match")

    def argument(self) -> dict[str, Any]:
        return {"match": dict(self.match)} if self.match and self.keeps_rule else {}


FORMS: Mapping[str, type[ProposalForm]] = {
    form.kind: form for form in (AssignForm, MapForm, FixForm, ReleaseForm, ReplaceForm, DiscardForm)
}


def flattened(event: Mapping[str, Any]) -> dict[str, str]:
    """The fields of an event that a fix can name, in their order, with what they say."""
    found: dict[str, str] = {}
    for name, value in event.items():
        if name == "data" and isinstance(value, dict):
            _flatten("data", value, found)
        elif name in ATTRIBUTES:
            found[name] = shown(value)
    return found


def _flatten(path: str, value: Mapping[str, Any], found: dict[str, str]) -> None:
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            _flatten(f"{path}.{name}", inner, found)
        else:
            found[f"{path}.{name}"] = shown(inner)


def typed_value(path: str, text: str) -> Any:
    """What somebody typed as a value: a number, true, false or JSON where it reads as such, else a text.

    Attributes of the event are texts always.
    """
    if path in ATTRIBUTES:
        return text
    try:
        return _read_json(text)
    except (ValueError, ArithmeticError, RecursionError):
        return text


def _read_json(text: str) -> Any:
    """JSON with exact numbers. Raises ValueError, ArithmeticError or RecursionError where it is none."""
    return json.loads(text, parse_float=exact_number, parse_constant=_no_number)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
