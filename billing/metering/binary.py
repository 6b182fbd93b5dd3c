"""PostgreSQL's binary formats of what a batch sends in bulk: arrays as parameters, and rows for COPY.

Built by hand because a batch has thousands of them; the server reads them without parsing text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_ARRAY_HEAD = Struct(">iiiii").pack  # dimensions, whether there are nulls, element type, length, first index
_EMPTY_ARRAY_HEAD = Struct(">iii").pack
_LENGTH = Struct(">i").pack
_LENGTH_AND_BIGINT = Struct(">iq").pack
_NULL = _LENGTH(-1)

COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"

_BIGINT, _TEXT, _TIMESTAMPTZ, _UUID = 20, 25, 1184, 2950  # types in pg_type


class BigintArray(bytes):
    """A bigint[] parameter."""


class InstantArray(bytes):
    """A timestamptz[] parameter; elements are microseconds since 2000-01-01 UTC."""


class TextArray(bytes):
    """A text[] parameter."""


class UuidArray(bytes):
    """A uuid[] parameter."""


def _dumper(array_type: int) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = array_type

        def dump(self, obj: bytes) -> bytes:
            return obj

    return ArrayDumper


for _array, _array_type in ((BigintArray, 1016), (InstantArray, 1185), (TextArray, 1009), (UuidArray, 2951)):
    psycopg.adapters.register_dumper(_array, _dumper(_array_type))


def bigints(values: Sequence[int | None]) -> BigintArray:
    return BigintArray(_head(_BIGINT, len(values)) + _bigint_elements(values))


def instants(values: Sequence[int | None]) -> InstantArray:
    return InstantArray(_head(_TIMESTAMPTZ, len(values)) + _bigint_elements(values))


def texts(values: Sequence[str | None]) -> TextArray:
    elements = [_NULL if value is None else sized(value.encode()) for value in values]
    return TextArray(_head(_TEXT, len(values)) + b"".join(elements))


def uuids(values: Sequence[bytes]) -> UuidArray:
    return UuidArray(_head(_UUID, len(values)) + b"".join([b"\0\0\0\x10" + value for value in values]))


def bigint_array_field(values: Sequence[int]) -> bytes:
    """A field of a COPY row that holds a bigint[]."""
    return sized(_head(_BIGINT, len(values)) + _bigint_elements(values))


def sized(field: bytes) -> bytes:
    """A field of a COPY row: its length, then its bytes."""
    return _LENGTH(len(field)) + field


def copy_rows(cursor: psycopg.Cursor[tuple[object, ...]], statement: str, rows: Iterable[bytes]) -> None:
    """Run `COPY ... FROM STDIN (FORMAT BINARY)` with packed rows."""
    with cursor.copy(statement) as copy:
        copy.write(COPY_HEAD + b"".join(rows) + COPY_END)


def _head(element_type: int, length: int) -> bytes:
    return _ARRAY_HEAD(1, 1, element_type, length, 1) if length else _EMPTY_ARRAY_HEAD(0, 0, element_type)


def _bigint_elements(values: Sequence[int | None]) -> bytes:
    return b"".join([_NULL if value is None else _LENGTH_AND_BIGINT(8, value) for value in values])
