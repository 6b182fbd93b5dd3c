"""The JSON schema of words of a file, where a call takes them as its body."""

from __future__ import annotations

import datetime as dt
import inspect
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from revops.vocabulary.decoding import Country, Currency, Key, Percent, Zone

TEXT: dict[str, Any] = {"type": ["string", "integer"]}

# As `revops.vocabulary.decoding` reads them: identifiers may be numbers, numbers may be texts.
PLAIN: dict[Any, dict[str, Any]] = {
    Any: {},
    str: TEXT,
    bool: {"type": "boolean"},
    int: {"type": ["integer", "string"], "minimum": 0, "maximum": 999_999_999, "pattern": r"^[0-9]{1,9}$"},
    Decimal: {"type": ["string", "number"], "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.50"]},
    Percent: {"type": ["string", "number"], "pattern": r"^-?[0-9]+(\.[0-9]+)? *%?$", "examples": ["50%"]},
    dt.date: {"type": "string", "format": "date"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.timedelta: {
        "type": "string",
        "pattern": r"^(0|([0-9]+(\.[0-9]+)?[wdhms])+)$",
        "examples": ["24h"],
        "description": "24h, 30m, 2d; 0 is none.",
    },
    Key: {
        "type": ["string", "integer"],
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "maxLength": 80,
    },
    Zone: {"type": "string", "examples": ["Europe/Berlin"]},
    Currency: {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["USD"]},
    Country: {"type": "string", "pattern": "^[A-Z]{2}$", "examples": ["DE"]},
}


def words_schemas(kind: Any, reference: str, into: dict[str, Any]) -> dict[str, Any]:
    """A reference to the schema of these words; the schemas themselves, by name, are put `into`.

    `reference` is a template such as "#/components/schemas/{name}".
    """
    name = kind.__name__
    if name not in into:
        into[name] = {}
        into[name] |= _object(kind, reference, into)
    return {"$ref": reference.format(name=name)}


def _object(kind: Any, reference: str, into: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    properties, required = {}, []
    for field in fields(kind):
        word = field.metadata.get("word", field.name)
        properties[word] = _value(hints[field.name], reference, into)
        if field.default is MISSING and field.default_factory is MISSING:
            required.append(word)
        else:
            properties[word] = _or_null(properties[word])
    made = {"title": kind.__name__, "type": "object", "properties": properties, "additionalProperties": False}
    described = "" if kind.__doc__ and kind.__doc__.startswith(f"{kind.__name__}(") else inspect.getdoc(kind)
    return {**made, **({"description": described} if described else {}), **({"required": required} if required else {})}


def _value(kind: Any, reference: str, into: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        chosen = [_value(one, reference, into) for one in arguments if one is not NoneType]
        return chosen[0] if len(chosen) == 1 else {"anyOf": chosen}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _value(arguments[0], reference, into)}
    if origin is dict:
        return {"type": "object"}
    return words_schemas(kind, reference, into) if is_dataclass(kind) else PLAIN[kind]


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What is null is left out."""
    if not schema:
        return schema
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}
