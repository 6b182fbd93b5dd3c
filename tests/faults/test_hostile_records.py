"""Thousands of hostile records: each is judged alone, none costs a good one, and every one of them is accounted for."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.faults import company, hostile
from tests.faults.installation import QUARANTINE, Installation

COUNT = int(os.environ.get("HOSTILE_RECORDS", "5000"))
BATCH = 500
GOOD = 50  # of each batch

REASONS = {
    "malformed", "unknown_source", "missing_field", "time_in_future", "unknown_event_type", "unknown_customer",
    "no_active_contract", "invalid_value", "conflict",
}  # fmt: skip


@pytest.fixture(scope="module")
def attacks() -> list[bytes]:
    return hostile.made(hostile.hostile, COUNT)


def mixed(attacks: list[bytes], first: int) -> tuple[list[bytes], set[int]]:
    """Attacks with a good record between every ten of them; and where the good ones are."""
    parts: list[bytes] = []
    places: set[int] = set()
    for place, attack in enumerate(attacks):
        if place % (BATCH // GOOD) == 0:
            places.add(len(parts))
            parts.append(hostile.good(first + place).replace(b'"h', b'"good-'))
        parts.append(attack)
    return parts, places


def test_each_is_judged_alone(installation: Installation, attacks: list[bytes]) -> None:
    sent: Counter[str] = Counter()
    for first in range(0, COUNT, BATCH):
        parts, good = mixed(attacks[first : first + BATCH], first)
        answer = installation.post(hostile.batch(parts), "?results=all")
        assert answer.status == 200, (answer.status, answer.raw[:500], first)
        receipt = answer.json
        results = receipt["results"]
        assert receipt["received"] == len(results)
        assert [result["index"] for result in results] == list(range(len(results)))
        assert {result["status"] for result in results} <= {"accepted", "duplicate", "quarantined"}
        assert {result["reason"] for result in results if result["status"] == "quarantined"} <= REASONS
        statuses = Counter(result["status"] for result in results)
        assert receipt["accepted"] == statuses["accepted"]
        assert receipt["duplicates"] == statuses["duplicate"]
        assert receipt["quarantined"] == statuses["quarantined"]
        by_id = {result["id"]: result["status"] for result in results}
        ids = [json.loads(parts[place])["id"] for place in sorted(good)]
        assert [by_id.get(id) for id in ids] == ["accepted"] * len(ids)
        sent += statuses
    assert sent["quarantined"] > COUNT / 2
    assert sent["accepted"] > COUNT / 9
    assert stored(installation) == (sent["accepted"], sent["quarantined"])


def stored(installation: Installation) -> tuple[int, int]:
    """Events, and sightings of held records."""
    events = installation.number("SELECT count(*) FROM billing_event")
    return events, installation.number("SELECT count(*) FROM quarantine_sighting", database=QUARANTINE)


def test_each_can_be_sent_alone(installation: Installation, attacks: list[bytes]) -> None:
    """As a body of its own: judged, or refused as no JSON."""
    for attack in attacks[:150]:
        answer = installation.post(attack, headers={"Content-Type": "application/json"})
        assert answer.status in (200, 400), (attack[:500], answer.status, answer.raw[:500])
        if answer.status == 400:
            assert "Nothing was stored" in answer.json["detail"]


def test_sent_again_they_change_nothing_but_the_sightings(installation: Installation, attacks: list[bytes]) -> None:
    events, _ = stored(installation)
    held = installation.number("SELECT count(*) FROM quarantine_heldrecord", database=QUARANTINE)
    answer = installation.post(hostile.batch(attacks[:BATCH]))
    assert (answer.status, answer.json["accepted"]) == (200, 0)
    assert stored(installation)[0] == events
    assert installation.number("SELECT count(*) FROM quarantine_heldrecord", database=QUARANTINE) == held


def test_what_is_named_in_a_record_is_named_in_its_result(installation: Installation) -> None:
    """Also where the record is no JSON as a whole, as long as its source and id can be read."""
    bad = [
        b'{"source":"gw","id":"n1","type":"llm.request","subject":"c001","data":{"tokens":NaN}}',
        b'{"source":"gw","id":"n2","data":{"tokens":Infinity,"id":"inner"}}',
        b'{"data":{"tokens":1,"model":"\xff"},"source":"gw","id":"n3"}',
        b'{"source":"gw","id":"n4","data":{"tokens":"\\ud800"}}',
        b'{"source":"gw","id":"n5","data":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"source":"gw","id":"n6","data":{"tokens":01}}',
        b'{"source":"gw","id":"n7","data":{"tokens":1e99999999999999999999}}',
        b'{"source":"gw","id":"n8","data":{"tokens":5,}}',
        b'{"source":"gw","id":"n9" "type":"llm.request"}',
        b'{"source":"gw","id":5,"data":{}}',
    ]
    results = installation.post(hostile.batch(bad)).json["results"]
    named = [(result["source"], result["id"], result["reason"]) for result in results]
    assert named == [*(("gw", f"n{n}", "malformed") for n in range(1, 10)), ("gw", "", "malformed")]
    # In good form under the same ids they are accepted, and what was held needs no review.
    good = [company.event(n, id=f"n{n}") for n in range(1, 10)]
    assert installation.post(company.encode(good)).json["accepted"] == 9
    held = installation.sql(
        "SELECT status, count(*) FROM quarantine_heldrecord WHERE event_id ~ '^n[1-9]$' GROUP BY 1", None, QUARANTINE
    )
    assert held == [("superseded", 9)]


def test_numbers_are_exact_or_held(installation: Installation) -> None:
    """What is accepted is in the bucket to the last digit: never rounded, never in a float's neighbourhood."""
    values = ["0.1", "1e2", "123456789012.000000000001", "1E-12", "-0", "100000000000000000000"]
    body = b",".join(
        b'{"source":"gw","id":"x%d","type":"llm.request","subject":"c039","time":"2026-02-20T10:00:00Z",'
        b'"data":{"tokens":%s,"model":"exact"}}' % (place, value.encode())
        for place, value in enumerate(values)
    )
    answer = installation.post(b"[" + body + b"]")
    assert answer.json["accepted"] == len(values), answer.json
    total = installation.number("""SELECT sum(total)::text FROM billing_bucket WHERE "group" = '["exact"]'""")
    # 0.1 + 100 + 123456789012.000000000001 + 0.000000000001 - 0 + 1e20
    assert total.rstrip("0") == "100000000123456789112.100000000002"


# Files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


PER_FORMAT = COUNT // 4
GOOD_LINES = 100


def spread(attacks: list[bytes], good: list[bytes]) -> list[bytes]:
    """Good lines between the attacks, evenly."""
    step = len(attacks) // len(good)
    parts: list[bytes] = []
    for place, line in enumerate(good):
        parts += [line, *attacks[place * step : (place + 1) * step]]
    return parts


def imported(installation: Installation, path: Path, *options: str) -> dict[str, Any]:
    """The receipt of an import, which adds up, and whose repeat adds nothing."""
    command = ["import_usage", str(path), "--source", "gw", "--json", *options]
    receipt: dict[str, Any] = json.loads(installation.run(*command))
    assert receipt["received"] == receipt["accepted"] + receipt["duplicates"] + receipt["quarantined"]
    again = json.loads(installation.run(*command))
    assert (again["received"], again["accepted"], again["quarantined"]) == (
        receipt["received"],
        0,
        receipt["quarantined"],
    )
    return receipt


def accepted_ids(installation: Installation, like: str) -> int:
    return int(installation.number("SELECT count(*) FROM billing_event WHERE event_id LIKE %s", [like]))


def accepted_model(installation: Installation, model: str) -> int:
    return int(installation.number("SELECT count(*) FROM billing_event WHERE data::json ->> 'model' = %s", [model]))


def one_line(raw: bytes) -> bytes:
    return raw.replace(b"\n", b" ").replace(b"\r", b" ")


def test_files_of_cloudevents_lines(installation: Installation, folder: Path, attacks: list[bytes]) -> None:
    good = [hostile.good(n).replace(b'"h', b'"ce-') for n in range(GOOD_LINES)]
    lines = [one_line(raw) for raw in attacks[:PER_FORMAT]]
    lines += [b'{"id":"x","source":"%b"}' % name for name in (b"gw\\u0000", b"\\u0000", b"a" * 300, b" ", b"'; --")]
    path = folder / "events.jsonl"
    path.write_bytes(b"\n".join(spread(lines, good)))
    imported(installation, path, "--format", "cloudevents")
    assert accepted_ids(installation, "ce-%") == GOOD_LINES


def test_files_of_a_cloudevents_array(installation: Installation, folder: Path, attacks: list[bytes]) -> None:
    good = [hostile.good(n).replace(b'"h', b'"ca-') for n in range(GOOD_LINES)]
    path = folder / "events.json"
    path.write_bytes(hostile.batch(spread(attacks[:PER_FORMAT], good)))
    imported(installation, path, "--format", "cloudevents")
    assert accepted_ids(installation, "ca-%") == GOOD_LINES


def test_files_of_json_lines(installation: Installation, folder: Path, attacks: list[bytes]) -> None:
    good = [
        b'{"who":"c%03d","when":"2026-01-%02d 10:00:00","usage":{"tokens":%d},"model":"jl"}' % (n % 40, n % 28 + 1, n)
        for n in range(GOOD_LINES)
    ]
    lines = [
        one_line(raw).replace(b'"subject"', b'"who"').replace(b'"time"', b'"when"').replace(b'"data"', b'"usage"')
        for raw in attacks[:PER_FORMAT]
    ]
    path = folder / "lines.jsonl"
    path.write_bytes(b"\n".join(spread(lines, good)))
    options = ["--format", "jsonl", "--type", "llm.request", "--subject", "who", "--time", "when"]
    imported(installation, path, *options, "--value", "tokens=usage.tokens", "--value", "model=model")
    assert accepted_model(installation, "jl") == GOOD_LINES


def test_files_of_csv(installation: Installation, folder: Path) -> None:
    """Cells of all kinds, quoted as a program would; and lines that no program wrote."""
    cells = hostile.made(hostile.st.tuples(*[hostile.texts] * 4), PER_FORMAT)
    lines = [row_of(one) for one in cells]
    lines += [one_line(raw).replace(b'"', b"'") for raw in hostile.made(hostile.values, 200)]
    good = [b"c%03d,2026-01-%02d 10:00:00,%d,csv\n" % (n % 40, n % 28 + 1, n) for n in range(GOOD_LINES)]
    path = folder / "cells.csv"
    path.write_bytes(b"who,when,tokens,model\n" + b"".join(line.rstrip(b"\n") + b"\n" for line in spread(lines, good)))
    options = ["--format", "csv", "--type", "llm.request", "--subject", "who", "--time", "when"]
    imported(installation, path, *options, "--value", "tokens=tokens", "--value", "model=model")
    assert accepted_model(installation, "csv") == GOOD_LINES


def row_of(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "surrogatepass")


def test_files_of_access_logs(installation: Installation, folder: Path, attacks: list[bytes]) -> None:
    good = [
        b'c%03d - - [%02d/Jan/2026:10:00:%02d +0000] "GET /good HTTP/1.1" 200 %d "-" "good"'
        % (n % 40, n % 28 + 1, n % 60, n)
        for n in range(GOOD_LINES)
    ]
    words = [one_line(raw)[:2000] for raw in attacks[:PER_FORMAT]]
    places = [b"%b - - [20/Jan/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5", b'c001 - %b [20/Jan/2026:10:00:00 +0000]'
              b' "GET / HTTP/1.1" 200 5', b'c001 - - [%b] "GET / HTTP/1.1" 200 5', b"%b",
              b'c001 - - [20/Jan/2026:10:00:00 +0000] "%b" 200 5 "-" "-"',
              b'c001 - - [20/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 %b']  # fmt: skip
    lines = [places[n % len(places)] % word for n, word in enumerate(words)]
    path = folder / "access.log"
    path.write_bytes(b"\n".join(spread(lines, good)))
    before = accepted_paths(installation)
    imported(installation, path, "--format", "clf", "--type", "page.read")
    assert accepted_paths(installation) - before == 0  # no meter counts them yet: held, each by itself
    held = installation.number(
        "SELECT count(*) FROM quarantine_heldrecord WHERE reason = 'unknown_event_type' AND subject ~ '^c0[0-3][0-9]$'",
        database=QUARANTINE,
    )
    assert held >= GOOD_LINES


def accepted_paths(installation: Installation) -> int:
    return int(installation.number("SELECT count(*) FROM billing_event WHERE type = 'page.read'"))


def test_the_books_hold_and_every_page_reads_what_came(installation: Installation) -> None:
    assert installation.check_books(company.LATER)["ok"]
    for path in (
        "/api/v1/events?limit=100",
        "/api/v1/customers/c001/preview",
        "/api/v1/usage?customer=c001&meter=tokens",
    ):
        answer = installation.call("GET", path)
        assert answer.status == 200, (path, answer.raw[:500])
    run = json.loads(installation.run("bill_run", "--at", company.LATER, "--json"))
    assert run["failures"] == []
    assert installation.check_books(company.LATER)["ok"]
    assert "Traceback" not in installation.log.read_text()
