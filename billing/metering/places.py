"""Where a rule looks in a record: its `subject`, its `type`, or `data.` and the way to a property."""

from __future__ import annotations

from typing import Any

from billing.metering.decoding import MAX_ATTRIBUTE, Record
from billing.metering.readings import ABSENT, property_at, read_text

DATA = "data."
PLACED_ATTRIBUTES = ("subject", "type")


class Place:
    """One field of records. Null and absent are the same here, and so is an attribute that is empty."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.attribute = text if text in PLACED_ATTRIBUTES else ""
        self.path = text.removeprefix(DATA)

    def read(self, record: Record) -> Any:
        """What is there; None for nothing."""
        if self.attribute:
            return getattr(record, self.attribute) or None
        found = property_at(record.data, self.path)
        return None if found is ABSENT else found

    def read_text(self, record: Record) -> str | None:
        """What is there as a text: numbers in plain notation, true and false as words; None for anything else."""
        if self.attribute:
            return getattr(record, self.attribute) or None
        found = read_text(record.data, self.path)
        return found if isinstance(found, str) else None

    def put(self, record: Record, value: Any) -> str:
        """Write a value there. Answers why it could not, or nothing."""
        if self.attribute:
            return self._put_attribute(record, value)
        if self.path in record.data:
            record.data[self.path] = value
            return ""
        *way, last = self.path.split(".")
        holder = record.data
        for name in way:
            if holder.get(name) is None:
                holder[name] = {}
            holder = holder[name]
            if not isinstance(holder, dict):
                return f"{name} in {self.text} is not an object"
        holder[last] = value
        return ""

    def _put_attribute(self, record: Record, value: Any) -> str:
        text = read_text({self.text: value}, self.text)
        if not isinstance(text, str) or not text:
            return f"nothing would be left of the {self.text}" if value == "" else f"no {self.text} can be made of it"
        if len(text) > MAX_ATTRIBUTE:
            return f"the {self.text} would be longer than {MAX_ATTRIBUTE} characters"
        setattr(record, self.attribute, text)
        return ""

    def remove(self, record: Record) -> None:
        """Take a property of the data away; it is there."""
        holder = record.data
        if self.path not in holder:
            *way, last = self.path.split(".")
            for name in way:
                holder = holder[name]
            del holder[last]
        else:
            del holder[self.path]
