"""Records as an enemy would write them, made by hypothesis, always the same ones.

A record is bytes whose quotes and brackets pair, so that a batch of them has an end; beyond that nothing is sure.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Made = TypeVar("Made")


def made(strategy: st.SearchStrategy[Made], count: int) -> list[Made]:
    """So many examples, the same at each call."""
    found: list[Made] = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def collect(example: Made) -> None:
        found.append(example)

    while len(found) < count:
        collect()
    return found[:count]


TRICKS = [
    "", " ", "\t", "\n", "\r\n2026-01-01 00:00:00,000 ERROR root: forged", "null", "None", "undefined", "NaN", "true",
    "0", "-1", "../../etc/passwd", "a" * 255, "a" * 256, "a" * 10_000, "ä" * 255, "😀" * 255, "😀" * 256,
    "'; DROP TABLE billing_event; --", '" OR "1"="1', "\\", "\\'", "%s", "%(x)s", "{0.__class__}", "${jndi:ldap://x}",
    "{{ 7*7 }}", "{% debug %}", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "=1+1", "@SUM(A1)",
    "acme", "ACME", "acme ", " acme", "acme\u200b", "a\u0301cme", "\u0430cme", "acme\u202e", "ﬃ", "İ", "ß",
    "\ufeffacme", "\u2028", "\u2029", "\x7f", "\x85", "\ufffd", "\ufffe", "\U0010ffff", "\x01", "\x1b[31m", "c001",
    "1" * 400, "e1", "gw", "gw\x00", "\x00", "llm.request", "LLM.REQUEST", "{", "}", "[", "]", ",", ":", '"],{["',
]  # fmt: skip

TIMES = [
    "2026-01-20T10:00:00Z", "2026-01-20t10:00:00z", "2026-01-20 10:00:00Z", "2026-01-20T10:00:00+00:00",
    "2026-01-20T10:00:00-00:00", "2026-01-20T10:00:00+14:00", "2026-01-20T10:00:00-12:00", "2026-01-20T10:00:00+23:59",
    "2026-01-20T10:00:00+24:00", "2026-01-20T10:00:00+99:99", "2026-01-20T10:00:00", "2026-01-20", "20260120T100000Z",
    "2026-W04-2T10:00:00Z", "2026-020T10:00:00Z", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z",
    "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z",
    "2026-01-20T24:00:00Z", "2026-01-20T23:59:60Z", "2016-12-31T23:59:60Z", "2026-01-20T25:00:00Z",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00-14:00",
    "1600-02-29T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2000-01-01T00:00:00Z",
    "2038-01-19T03:14:08Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.9999999Z",
    "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "+2026-01-20T10:00:00Z",
    "2026-01-20T10:00:00.Z", "2026-01-20T10:00:00.1Z", "2026-01-20T10:00:00.123456789Z",
    "2026-01-20T10:00:00." + "9" * 5000 + "Z", "2026-01-20T10:00:00,5Z", "294276-12-31T23:59:59Z",
    "\u0662\u0660\u0662\u0666-01-20T10:00:00Z", "\uff12\uff10\uff12\uff16-01-20T10:00:00Z",
    "2026-01-20T10:00:00.\u0661Z", "4714-11-24T00:00:00Z",
    "infinity", "-infinity", "now", "epoch", "0", "1737367200", "",
]  # fmt: skip

NUMBERS = [
    b"0", b"-0", b"-0.0", b"0.0", b"1", b"-1", b"00", b"01", b"+1", b".5", b"5.", b"1e", b"1e400", b"-1e400", b"1e-400",
    b"1e308", b"1E+0", b"1e99999999999999999999", b"1e-99999999999999999999", b"0e999999999", b"NaN", b"Infinity",
    b"-Infinity", b"nan", b"inf", b"0x10", b"1_000", b"1,5", b"9" * 30, b"9" * 38, b"9" * 39, b"9" * 400, b"9" * 5000,
    b"0." + b"9" * 12, b"0." + b"9" * 13, b"0." + b"9" * 400, b"0." + b"0" * 400 + b"1", b"1." + b"0" * 5000,
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616",
    b"123456789012345678901234567890.123456789012", b"1e25", b"1e26", b"1e27", b"1e28", b"1e37", b"1e38", b"1e-12",
    b"1e-13", b"12345678901234567890e-20",
]  # fmt: skip

WORDS = [b"true", b"false", b"null", b"None", b"tru", b"undefined", b"''", b"'a'", b"//", b"/* */", b""]

RAW_STRINGS = [
    b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xc0\x80"', b'"\\ud800"', b'"\\udc00"',
    b'"\\ud83d\\ude00"', b'"\\ude00\\ud83d"', b'"\\ud83d"', b'"\\u0000"', b'"a\\u0000b"', b'"\x00"', b'"\x1f"', b'"\n"',
    b'"\\x41"', b'"\\u12"', b'"\\u{41}"', b'"\\/"', b'"\\u002F"', b'"\xef\xbb\xbf"', b'"\\uFEFF"',
]  # fmt: skip


def quoted(text: str) -> bytes:
    """JSON, as UTF-8 or in escapes."""
    return json.dumps(text, ensure_ascii=len(text) % 2 == 0).encode("utf-8", "surrogatepass")


texts = st.one_of(st.sampled_from(TRICKS), st.text(max_size=40), st.text(st.characters(codec=None), max_size=8))
strings = st.one_of(texts.map(quoted), st.sampled_from(RAW_STRINGS))
numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers().map(lambda n: b"%d" % n),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda n: repr(n).encode()),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda n: str(n).encode()),
)
scalars = st.one_of(numbers, strings, st.sampled_from(WORDS))


def listed(inner: list[bytes]) -> bytes:
    return b"[" + b",".join(inner) + b"]"


def membered(members: list[tuple[bytes, bytes]], space: bytes = b"") -> bytes:
    return b"{" + b",".join([name + b":" + space + value for name, value in members]) + b"}"


def nested(depth: int, opening: bytes, inner: bytes) -> bytes:
    if opening == b"[":
        return b"[" * depth + inner + b"]" * depth
    return b'{"x":' * depth + inner + b"}" * depth


deep = st.builds(nested, st.sampled_from([5, 30, 31, 32, 33, 100, 1000, 5000]), st.sampled_from([b"[", b"{"]), scalars)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(listed), st.lists(st.tuples(strings, inner), max_size=4).map(membered)
    ),
    max_leaves=6,
)
values = st.one_of(values, deep)

GOOD: dict[str, Callable[[int], bytes]] = {
    "specversion": lambda n: b'"1.0"',
    "id": lambda n: b'"h%d"' % n,
    "source": lambda n: b'"gw"',
    "type": lambda n: b'"llm.request"',
    "subject": lambda n: b'"c%03d"' % (n % 40),
    "time": lambda n: b'"2026-01-%02dT10:00:00Z"' % (n % 28 + 1),
    "data": lambda n: b'{"tokens":%d,"model":"m%d"}' % (n % 100, n % 3),
}

tokens = st.builds(
    lambda value, model: b'{"tokens":' + value + b',"model":' + model + b"}", values, st.one_of(strings, values)
)
instants = st.one_of(
    st.sampled_from(TIMES).map(quoted), st.datetimes().map(lambda at: quoted(at.isoformat() + "Z")), values
)
ATTACKS: dict[str, st.SearchStrategy[bytes]] = {
    "specversion": st.one_of(values, st.sampled_from([b'"0.3"', b"1.0", b'"1.0 "'])),
    "id": st.one_of(strings, values),
    "source": st.one_of(strings, values),
    "type": st.one_of(strings, values),
    "subject": st.one_of(strings, values),
    "time": instants,
    "data": st.one_of(tokens, tokens, values),
}


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """A record of the company's customers with one to three things wrong with it (or by chance none)."""
    number = draw(st.integers(0, 10**9))
    members = [(b'"%s"' % name.encode(), good(number)) for name, good in GOOD.items()]
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        kind = draw(st.sampled_from(["attack", "attack", "attack", "attack", "miss", "twice", "extra", "order"]))
        place = draw(st.integers(0, len(members) - 1)) if members else 0
        if kind == "attack" and members:
            name = members[place][0].strip(b'"').decode(errors="replace")
            members[place] = (members[place][0], draw(ATTACKS.get(name, values)))
        elif kind == "miss" and members:
            del members[place]
        elif kind == "twice" and members:
            name = members[place][0].strip(b'"').decode(errors="replace")
            members.insert(draw(st.integers(0, len(members))), (members[place][0], draw(ATTACKS.get(name, values))))
        elif kind == "extra":
            members.append((draw(strings), draw(values)))
        else:
            members.reverse()
    return membered(members, draw(st.sampled_from([b"", b" ", b"\r\n\t"])))


# What is no object at all, or not even one thing.
others = st.one_of(
    values,
    st.lists(values, max_size=3).map(listed),
    st.sampled_from(
        [b"", b"   ", b"{}", b"[]", b"{]", b'{"id"}', b'{"id":}', b"{,}", b'{"id":"a",}', b"\xef\xbb\xbf{}"]
    ),
).filter(lambda raw: raw != b"{]")

hostile = st.one_of(records(), records(), records(), records(), records(), records(), others)


def good(number: int) -> bytes:
    """A record nothing is wrong with."""
    return membered([(b'"%s"' % name.encode(), build(number)) for name, build in GOOD.items()])


def batch(parts: list[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def read(raw: bytes) -> Any:
    """What Python's own reader makes of a record; None where it makes nothing of it."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
