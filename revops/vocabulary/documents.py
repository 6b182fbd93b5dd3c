"""YAML and JSON read exactly: a number with a point is the Decimal it is written as, never a binary float.

YAML is read by its 1.2 core rules, so that `on` and `NO` stay words and `12:30` is no number; dates and instants are
read too (an instant without an offset is UTC, as YAML has it). A key given twice is refused.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

TIMESTAMP = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([Tt]|[ \t]+)\d{1,2}:\d\d:\d\d(\.\d*)?([ \t]*(Z|[-+]\d{1,2}(:?\d\d)?))?", re.ASCII
)


class UnableToRead(Exception):
    """The text is no YAML or JSON document, or says a thing twice."""


def read_file(path: Path) -> Any:
    """The document in a file. Raises UnableToRead."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnableToRead(f"{path}: {error}") from error
    try:
        return read_text(text)
    except UnableToRead as error:
        raise UnableToRead(f"{path}: {error}") from error


def read_text(text: str) -> Any:
    """The document in a text; what begins with a bracket is tried as JSON first. Raises UnableToRead."""
    try:
        if text.lstrip()[:1] in ("{", "["):
            try:
                return _read_json(text)
            except json.JSONDecodeError:
                pass  # a YAML document may begin with a bracket as well
        return yaml.load(text, Loader=ExactLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise UnableToRead(f"not a YAML document: {error}") from error
    except RecursionError as error:
        raise UnableToRead("the document is nested too deeply") from error


def _read_json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_unique_pairs)


class ExactLoader(yaml.SafeLoader):
    """Builds str, int, Decimal, bool, None, date, aware datetime, list and dict; nothing else."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise UnableToRead(f"{key!r} is given twice, on line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep=True)


def _number(loader: ExactLoader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(node.value)


def _whole(loader: ExactLoader, node: yaml.ScalarNode) -> int:
    return int(node.value)


def _instant(loader: ExactLoader, node: yaml.ScalarNode) -> dt.datetime | dt.date | str:
    try:
        if len(node.value) == 10:
            return dt.date.fromisoformat(node.value)
        read = loader.construct_yaml_timestamp(node)
    except ValueError:
        return str(node.value)  # no such day: whoever reads it as a date says where
    if isinstance(read, dt.datetime):
        return read.replace(tzinfo=dt.UTC) if read.tzinfo is None else read.astimezone(dt.UTC)
    return read


def _resolve(tag: str, pattern: str | re.Pattern[str], first: Sequence[str]) -> None:
    ExactLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}", re.compile(pattern) if isinstance(pattern, str) else pattern, list(first)
    )


DIGITS = "0123456789"
_resolve("bool", r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("null", r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""])
_resolve("int", r"[-+]?[0-9]+$", "-+" + DIGITS)
_resolve("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?$", "-+." + DIGITS)
_resolve("timestamp", r"\d{4}-\d\d-\d\d$", DIGITS)
_resolve("timestamp", re.compile(TIMESTAMP.pattern + "$", re.ASCII), DIGITS)
_resolve("merge", r"<<$", "<")
ExactLoader.add_constructor("tag:yaml.org,2002:float", _number)
ExactLoader.add_constructor("tag:yaml.org,2002:int", _whole)
ExactLoader.add_constructor("tag:yaml.org,2002:timestamp", _instant)


def _no_constant(name: str) -> Any:
    raise UnableToRead(f"{name} is not a number")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UnableToRead(f"{twice!r} is given twice")
    return found
