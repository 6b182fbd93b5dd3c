"""Stretches of time as people write them: "24 h", "1 d 12 h", "5 min"."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_duration
from unfold.widgets import UnfoldAdminTextInputWidget

UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "min": 60, "s": 1}
_SHOWN = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
_PART = re.compile(r"(\d{1,9})\s*(w|d|h|min|m|s)(?:eeks?|ays?|ours?|utes?|econds?)?(?![a-z])\s*", re.ASCII)
LONGEST = dt.timedelta(days=3660)


def span_words(span: dt.timedelta | None) -> str:
    """A stretch of time in its largest units: "1 d 12 h"; empty for none."""
    if span is None:
        return ""
    seconds = int(span.total_seconds())
    said = []
    for unit, size in _SHOWN.items():
        count, seconds = divmod(seconds, size)
        if count:
            said.append(f"{count} {unit}")
    return " ".join(said) or "0 s"


def rough_span(span: dt.timedelta) -> str:
    """A stretch of time in its largest unit alone, cut off: "3 d", "5 h", "12 min"."""
    words = span_words(span).split()
    return " ".join(words[:2])


class SpanField(forms.CharField):
    """A stretch of time, such as 24 h, 90 min or 1 d 12 h."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", UnfoldAdminTextInputWidget(attrs={"placeholder": "24 h"}))
        super().__init__(**{"required": False, **options})

    def prepare_value(self, value: Any) -> Any:
        return span_words(value) if isinstance(value, dt.timedelta) else value

    def to_python(self, value: Any) -> Any:
        text = str(value or "").strip().lower()
        if not text:
            return None
        span = read_span(text)
        if span is None or span > LONGEST:
            raise ValidationError("Write a stretch of time such as 24 h, 90 min or 1 d 12 h.")
        return span


def read_span(text: str) -> dt.timedelta | None:
    """The stretch of time that a text says; None where it says none."""
    parts = _PART.findall(text)
    if parts and not _PART.sub("", text).strip():
        return dt.timedelta(seconds=sum(int(count) * UNITS["min" if unit == "m" else unit] for count, unit in parts))
    span = parse_duration(text) if ":" in text else None
    return span if span is not None and span >= dt.timedelta() else None
