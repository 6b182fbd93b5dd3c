"""The form of a price and its tiers, and what its page needs to show only the fields of the chosen model.

Fields that are hidden are not sent; they are then as usual. What is typed is read once, for the check on saving and
for the calculator beside the form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields as fields_in
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextInputWidget

from catalog.desks import ReasonForm
from catalog.models import NUMBERS, PLAIN, Meter, PlanVersion, Price, PriceKind, PriceModel, PriceTier, VersionStatus
from catalog.money import exact
from catalog.pricing import FieldError, fields_of
from catalog.publishing import PriceDraft, price_errors

CONVERSION = ("conversion_op", "conversion_factor", "conversion_rounding")
# What only prices of usage have, and what only the others have.
OF_USAGE = ("meter", "filters", "window", "combine")
NOT_OF_USAGE = ("billing", "prorate")
USUAL: Mapping[str, Any] = {
    **PLAIN, "conversion_rounding": "none", "combine": "rate_each_bucket", "billing": "in_arrears", "position": 0,
}  # fmt: skip
TIER_FIELDS: Mapping[str, Sequence[str]] = {
    PriceModel.GRADUATED: ("unit_amount", "flat_amount", "cap_amount"),
    PriceModel.VOLUME: ("unit_amount", "flat_amount", "cap_amount"),
    PriceModel.STAIRSTEP: ("flat_amount",),
    PriceModel.GRADUATED_PERCENTAGE: ("rate_percent", "flat_amount"),
    PriceModel.GRADUATED_BY_DIMENSION: ("unit_amounts", "unit_amount"),
}

MODEL_WORDS: Mapping[str, str] = {
    PriceModel.FLAT: "An amount, whatever the quantity.",
    PriceModel.PER_UNIT: "Every unit at one price.",
    PriceModel.PACKAGE: "Whole packages of units: 5.00 for every 1,000.",
    PriceModel.GRADUATED: "Each tier prices the units inside it: the first 1,000 at 0.02, the next at 0.01.",
    PriceModel.VOLUME: "All units at the price of the tier that holds the whole quantity.",
    PriceModel.STAIRSTEP: "One flat amount, that of the band which holds the quantity.",
    PriceModel.PERCENTAGE: "A percentage of the amount that each event carries, such as a payment.",
    PriceModel.GRADUATED_PERCENTAGE: "A percentage of the amount of all events, each tier at its own.",
    PriceModel.DYNAMIC: "The events carry the price; it is added up.",
    PriceModel.GRADUATED_BY_DIMENSION: "Tiers that all values of a dimension use up together, each at its own price.",
}

HELP: Mapping[str, str] = {
    "version": "The draft that the price becomes part of.",
    "key": "Names the price in files, over the API and in overrides: base, tokens. Letters, digits, dots and dashes.",
    "kind": "Usage is what a meter counts; recurring comes every period; one-time comes once.",
    "meter": "What is counted. Only for usage.",
    "unit_amount": "For each unit.",
    "flat_amount": "Whatever the quantity.",
    "package_size": "Units in a package.",
    "package_amount": "For each package.",
    "included_units": "The first so many units cost nothing.",
    "minimum_amount": "It costs at least this in a period.",
    "maximum_amount": "It costs at most this in a period.",
    "billing": "In advance: on the invoice before the period.",
    "conversion_factor": "1024, to price bytes that are counted as kilobytes.",
    "filters": "Only usage with these values of the meter's dimensions: model=m1, m2; region=eu. Empty: all of it.",
    "position": "The order on an invoice.",
}

TIER_HELP: Mapping[str, str] = {
    "up_to": "Included. Empty in the last tier.",
    "unit_amount": "For each unit in it.",
    "flat_amount": "Once it is reached.",
    "cap_amount": "What its units cost at most.",
    "unit_amounts": "As in m1=0.02, m2=0.03.",
}


class ValuesField(forms.CharField):
    """What is said by name, typed as `m1=0.02, m2=0.03`."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "max_length": 2000, **options})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return ", ".join(f"{name}={amount}" for name, amount in value.items())

    def to_python(self, value: Any) -> Any:
        return read_values(str(value or ""))

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (initial or {}))
        except ValidationError:
            return True


class FiltersField(ValuesField):
    """Values by dimension, typed as `model=m1, m2; region=eu`."""

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "; ".join(f"{name}={', '.join(map(str, values))}" for name, values in value.items())

    def to_python(self, value: Any) -> Any:
        return read_filters(str(value or ""))


def read_values(text: str) -> dict[str, str]:
    """`m1=0.02, m2=0.03` by name. Raises ValidationError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, amount = (one.strip() for one in part.partition("="))
        if not (name and equals and amount):
            raise ValidationError(f"“{part}” is not read: give each value with its price, as in m1=0.02, m2=0.03.")
        found[name] = amount
    return found


def read_filters(text: str) -> dict[str, list[str]]:
    """`model=m1, m2; region=eu` by dimension. Raises ValidationError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, values = (one.strip() for one in part.partition("="))
        named = [value.strip() for value in values.split(",") if value.strip()]
        if not (name and equals and named):
            raise ValidationError(f"“{part}” is not read: give each dimension its values, as in model=m1, m2.")
        found[name] = named
    return found


class PriceForm(ReasonForm):
    """A price with the tiers sent beside it, checked as when it is submitted: a draft keeps nothing that is unsold."""

    filters = FiltersField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.help_text = HELP.get(name, field.help_text)
            if name in USUAL:
                field.required = False
        if "version" in self.fields:
            drafts = PlanVersion.objects.filter(status=VersionStatus.DRAFT).select_related("plan")
            for verb in ("add", "change", "delete", "view"):
                setattr(self.fields["version"].widget, f"can_{verb}_related", False)
            self.fields["version"].queryset = drafts.order_by("plan__key", "-number")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        super().clean()
        said = self.cleaned_data
        for name, usual in USUAL.items():
            if name in self.fields and said.get(name) in (None, ""):
                said[name] = usual
        if not said.get("filters"):
            said["filters"] = self.instance.filters = {}
        if not self.errors:
            self._lock_draft()
            self._demand_own_key()
        if not self.errors:
            for error in price_errors(self.draft(), _meters(said.get("meter"))):
                self.add_error(_field_of(error, self.fields), fault_words(error))
        return said

    def draft(self) -> PriceDraft:
        """What the form says, as publishing takes it."""
        own = {one.name for one in fields_in(PriceDraft)} - {"arithmetic", "meter"}
        said = {name: value for name, value in self.cleaned_data.items() if name in own}
        meter = self.cleaned_data.get("meter")
        return PriceDraft(**said, arithmetic=typed_terms(self.data), meter=meter and meter.key)

    def _lock_draft(self) -> None:
        """A price is added to a draft alone; nobody submits it meanwhile."""
        version = self.cleaned_data.get("version")
        if version is not None:
            locked = PlanVersion.objects.select_for_update().get(pk=version.pk)
            if locked.status != VersionStatus.DRAFT:
                self.add_error("version", f"{version} is {locked.get_status_display().lower()} by now.")

    def _demand_own_key(self) -> None:
        version = self.cleaned_data.get("version") or (self.instance.version if self.instance.version_id else None)
        same = Price.objects.filter(version=version, key=self.cleaned_data.get("key")).exclude(pk=self.instance.pk)
        if version is not None and same.exists():
            self.add_error("key", f"{version} has a price of this key already.")


class TierForm(forms.ModelForm[PriceTier]):
    """A tier; its place follows from its end."""

    unit_amounts = ValuesField(label="Each unit, by value")

    class Meta:
        model = PriceTier
        fields = ["up_to", "unit_amount", "flat_amount", "cap_amount", "rate_percent", "unit_amounts"]
        labels = {"unit_amount": "Each unit", "cap_amount": "At most"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_new = self.instance.pk is None
        for name in ("unit_amount", "flat_amount", "rate_percent"):
            if name in self.fields:
                self.fields[name].required = False
                if is_new or (name != "unit_amount" and not getattr(self.instance, name)):
                    self.initial[name] = self.fields[name].initial = None
        for name, text in TIER_HELP.items():
            if name in self.fields:
                self.fields[name].help_text = text
        if "up_to" in self.fields:
            self.fields["up_to"].widget.attrs["placeholder"] = "no end"

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        for name in ("flat_amount", "rate_percent"):
            said[name] = said.get(name) or Decimal(0)
        said["unit_amounts"] = said.get("unit_amounts") or {}
        if not said["unit_amounts"]:
            self.instance.unit_amounts = {}
            said["unit_amount"] = said.get("unit_amount") or Decimal(0)
        elif said.get("unit_amount") is None:
            self.instance.unit_amount = None
        return said


def in_order(tiers: Sequence[PriceTier]) -> list[PriceTier]:
    """Tiers by their ends; the one without an end is the last."""
    return sorted(tiers, key=lambda tier: (tier.up_to is None, tier.up_to or 0))


def typed_terms(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arithmetic of a price as it was typed into its page, in the words of `parse_price`; also what is wrong."""
    terms: dict[str, Any] = {"model": _text(data, "model")}
    terms |= {name: text for name in NUMBERS if (text := _text(data, name))}
    for name, usual in PLAIN.items():
        text = _text(data, name)
        if isinstance(usual, bool):
            terms |= {name: True} if text else {}
        elif text and _number(text) != usual:
            terms[name] = text
    if operation := _text(data, "conversion_op"):
        rounding = _text(data, "conversion_rounding") or "none"
        terms["unit_conversion"] = {"op": operation, "factor": _text(data, "conversion_factor"), "rounding": rounding}
    tiers = list(_typed_tiers(data))
    if tiers and terms["model"] in TIER_FIELDS:
        tiers.sort(key=_end)
        terms["tiers"] = tiers
    return terms


def _typed_tiers(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    taken = TIER_FIELDS.get(_text(data, "model"), ())
    count = _text(data, "tiers-TOTAL_FORMS")
    for index in range(min(int(count), 1000) if count.isdecimal() else 0):
        prefix = f"tiers-{index}"
        if _text(data, f"{prefix}-DELETE"):
            continue
        said = {name: _text(data, f"{prefix}-{name}") for name in ("up_to", *TierForm.Meta.fields[1:])}
        if not any(said.values()):
            continue
        tier: dict[str, Any] = {"up_to": said["up_to"] or None}
        tier |= {name: text for name, text in said.items() if text and name in taken and name != "unit_amounts"}
        if "unit_amounts" in taken:
            tier["unit_amounts"] = _amounts(said["unit_amounts"])
        yield tier


def _amounts(text: str) -> Any:
    """By value; what cannot be read is left for `parse_price` to refuse."""
    try:
        return read_values(text)
    except ValidationError:
        return text


def _end(tier: Mapping[str, Any]) -> tuple[bool, Decimal]:
    end = _number(tier["up_to"] or "")
    return tier["up_to"] is None, end if isinstance(end, Decimal) else Decimal(0)


def _text(data: Mapping[str, Any], name: str) -> str:
    return str(data.get(name) or "").strip()


def _number(text: str) -> Any:
    """A number, or the text where it is none."""
    try:
        return exact(text)
    except (TypeError, ValueError):
        return text


def _meters(meter: Meter | None) -> Mapping[str, Meter]:
    return {} if meter is None else {meter.key: meter}


def _field_of(error: FieldError, known: Mapping[str, Any]) -> str | None:
    name = error.path.partition(".")[0].partition("[")[0]
    name = "conversion_factor" if name == "unit_conversion" else name
    return name if name in known else None


def fault_words(error: FieldError) -> str:
    """What is wrong with a field of a price, as it reads beside the form: "Tier 2, up to: ..."."""
    steps = error.path.replace("[", ".").replace("]", "").removeprefix("price.").split(".")
    name = steps[-1].replace("_", " ")
    detail = error.detail.replace(steps[-1], name).replace('decimal string such as "0.002"', "number such as 0.002")
    detail = detail[:1].upper() + detail[1:]
    if steps[0] == "tiers":
        place = [f"Tier {int(steps[1]) + 1}"] if len(steps) > 1 and steps[1].isdecimal() else ["Tiers"]
        return f"{', '.join([*place, *(step.replace('_', ' ') for step in steps[2:])])}: {detail}."
    return f"{detail}." if name in detail.lower() else f"{name.capitalize()}: {detail}."


def page_facts() -> dict[str, Any]:
    """What the page's script shows and hides: the fields of each model and kind, and what a model means."""
    arithmetic = {*NUMBERS, *PLAIN}
    return {
        "models": {
            model: {
                "words": MODEL_WORDS.get(model, ""),
                "fields": sorted(
                    {*(fields_of(model) & arithmetic), *(CONVERSION if "unit_conversion" in fields_of(model) else ())}
                    | ({"dimension"} if model == PriceModel.GRADUATED_BY_DIMENSION else set())
                ),
                "tiers": list(TIER_FIELDS.get(model, ())),
            }
            for model in PriceModel.values
        },
        "ofModels": sorted({*arithmetic, *CONVERSION, "dimension"}),
        "tierFields": list(TierForm.Meta.fields[1:]),
        "ofUsage": list(OF_USAGE),
        "notOfUsage": list(NOT_OF_USAGE),
        "usage": PriceKind.USAGE.value,
    }
