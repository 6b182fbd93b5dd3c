"""What the server writes to its logs: no secret, and no line that somebody else made up."""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from revops.log_lines import LogLines, plain
from tests.faults import company
from tests.faults.installation import QUARANTINE, Installation

FORGED = "2026-01-01 00:00:00,000 ERROR root: forged"
PASSWORD = "correct-horse-battery"

EMPLOY = f"""
from django.contrib.auth.models import User
User.objects.create_superuser("boss", "boss@example.com", "{PASSWORD}")
"""


@pytest.fixture(scope="module")
def talkative(pattern: Installation) -> Iterator[Installation]:
    """An installation that logs all it can."""
    made = pattern.copy()
    made.extra = {"LOG_LEVEL": "DEBUG"}
    try:
        made.start_database()
        made.python(EMPLOY)
        made.serve()
        yield made
    finally:
        made.remove()


def sign_in(installation: Installation, password: str) -> list[str]:
    """Sign in as a browser does; returns the secrets of the session."""
    first = installation.call("GET", "/admin/login/")
    token = re.search(rb'csrfmiddlewaretoken" value="([^"]+)', first.raw)
    assert token is not None
    cookie = first.headers["set-cookie"].partition(";")[0]
    form = {"username": "boss", "password": password, "csrfmiddlewaretoken": token[1].decode(), "next": "/admin/"}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    connection = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=60)
    connection.request("POST", "/admin/login/", urlencode(form), headers)
    answer = connection.getresponse()
    cookies = [value for name, value in answer.getheaders() if name.lower() == "set-cookie"]
    connection.close()
    secrets = [one.partition(";")[0].partition("=")[2] for one in [cookie, *cookies]]
    if any(one.startswith("sessionid") for one in cookies):
        jar = "; ".join(one.partition(";")[0] for one in cookies)
        for path in ("/admin/", "/admin/nowhere/", "/admin/billing/invoice/999/change/", "/admin/revops/apikey/"):
            installation.call("GET", path, headers={"Cookie": jar})
        installation.call("POST", "/admin/logout/", b"x=1", headers={"Cookie": jar})  # without its token
    return [secret for secret in secrets if secret]


def raw(installation: Installation, text: str) -> None:
    with socket.create_connection(("127.0.0.1", installation.port), 10) as client:
        client.sendall(text.encode())
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def misbehave(installation: Installation) -> None:
    """All that gives a server a reason to write something down."""
    secret = installation.secret
    for header in (
        {"Authorization": f"Bearer {secret}x"}, {"Authorization": f"Basic {secret}"}, {"X-API-Key": secret + "\t"},
        {"Authorization": ""},
    ):  # fmt: skip
        installation.call("GET", "/api/v1/invoices", headers=header)
    for path in (f"/api/v1/{secret}", f"/api/v1/invoices?key={secret}", f"/admin/?token={secret}", f"/{secret}/x"):
        installation.call("GET", path)
    installation.post(b"[{")
    installation.post(company.encode([company.stranger(1), company.event(1, id=secret, subject=secret)]))
    installation.post(company.encode([company.event(2)]), "?nonsense=1")
    for line in (f"Authorization Bearer {secret}", f"X-API-Key\x0b: {secret}", f"Authorization : Bearer {secret}"):
        raw(installation, f"GET / HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n")
    raw(installation, f"GET /?key={secret} and more HTTP/1.1\r\nHost: localhost\r\n\r\n")
    raw(installation, f"GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n")
    for forged in ("%0a" + FORGED.replace(" ", "%20"), "%0d%0a" + FORGED.replace(" ", "%20"), "%1b[31m", "%E2%80%A8x"):
        for path in ("/", "/api/v1/", "/admin/", "/admin/billing/invoice/", "/static/"):
            installation.call("GET", path + forged)
    raw(installation, f"GET /\n{FORGED} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    raw(installation, f"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\nbad\x0bname\r\n{FORGED}: 1\r\n\r\n")
    # A batch that a database refuses, with its content in what the database says.
    refuse = "RAISE EXCEPTION E'refused\\n%s', NEW.subject"
    installation.sql(
        f"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refuse}; END $$", None, QUARANTINE
    )
    installation.sql(
        "CREATE TRIGGER fault BEFORE INSERT ON quarantine_heldrecord FOR EACH ROW EXECUTE FUNCTION fault()",
        None,
        QUARANTINE,
    )
    installation.post(company.encode([company.stranger(7) | {"subject": f"x\n{FORGED}"}]))
    installation.sql("DROP TRIGGER fault ON quarantine_heldrecord", None, QUARANTINE)
    installation.sql("DROP FUNCTION fault()", None, QUARANTINE)


@pytest.fixture(scope="module")
def secrets(talkative: Installation) -> dict[str, str]:
    """What happened, and everything that must not be written down: a name -> the secret."""
    found = {
        "the API key": talkative.secret,
        "the password of a user": PASSWORD,
        "a mistyped password": "battery-horse",
    }
    for place, one in enumerate(sign_in(talkative, "battery-horse") + sign_in(talkative, PASSWORD)):
        found[f"cookie {place}"] = one
    misbehave(talkative)
    talkative.run("import_usage", "/dev/null", "--source", "gw", "--format", "cloudevents", code=1)
    talkative.run("check_books", "--at", company.LATER)
    known = json.loads((talkative.home / "credentials.json").read_text())
    found |= {name: value for name, value in known.items() if name.endswith("password")}
    found["the signing key"] = json.loads((talkative.home / "secret_key.json").read_text())["secret_key"]
    assert len(found) >= 9
    return found


def logs(installation: Installation) -> dict[str, str]:
    files = [installation.log, *(installation.data.parent / "log").iterdir()]
    return {file.name: file.read_text(errors="replace") for file in files}


def test_no_log_holds_a_secret(talkative: Installation, secrets: dict[str, str]) -> None:
    written = logs(talkative)
    assert len(written["web.log"]) > 2000
    for file, text in written.items():
        for name, secret in secrets.items():
            assert secret not in text, f"{name} is in {file}: {around(text, secret)}"


def around(text: str, secret: str) -> str:
    place = text.index(secret)
    return text[max(0, place - 200) : place + 50]


def test_no_line_of_the_log_is_forged(talkative: Installation, secrets: dict[str, str]) -> None:
    lines = logs(talkative)["web.log"].splitlines()
    assert any("refused" in line for line in lines)
    assert not [line for line in lines if line.startswith(FORGED[:20])]
    assert not [line for line in lines if "\x1b" in line or "\u2028" in line]


def test_files_with_secrets_are_the_owners_alone(talkative: Installation) -> None:
    for name in ("credentials.json", "secret_key.json"):
        assert (talkative.home / name).stat().st_mode & 0o777 == 0o600


def test_no_command_line_holds_a_secret(talkative: Installation, secrets: dict[str, str]) -> None:
    """Whoever may list processes sees their arguments."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(talkative.home) in line or "gunicorn" in line:
            assert not [name for name, secret in secrets.items() if secret in line]


class TestAnEntry:
    def test_keeps_its_further_lines_away_from_the_margin(self) -> None:
        assert plain(f"refused: x\r\n{FORGED}") == f"refused: x\\r\n    {FORGED}"

    def test_writes_out_what_would_move_a_cursor_or_turn_the_text_around(self) -> None:
        assert plain("\x1b[31m\x08\u202eabc\u2028\x9b") == "\\x1b[31m\\x08\\u202eabc\\u2028\\x9b"
        assert plain("Zürich\t名前") == "Zürich\t名前"

    @pytest.mark.parametrize(
        ("said", "written"),
        [
            ("key wt_y5GWr2xLUQnCKQoIaoVjbUPTo7Y2lsyKG8opAAQmFJs!", "key wt_...!"),
            ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ..."),
            ("'X-API-Key: something'", "'X-API-Key: ...'"),
            ("postgresql://watertight_app:p4ss%2F@127.0.0.1:5432/watertight", "postgresql://watertight_app:...@127.0.0.1:5432/watertight"),
            ("Cookie: sessionid=abcdefgh; csrftoken=ijkl", "Cookie: sessionid=...; csrftoken=..."),
            ("password=hunter2&x=1", "password=...&x=1"),
            ("{'password': 'hunter2'}", "{'password': '...'}"),
            ("the table wt_ and the bearer of bad news", "the table wt_ and the bearer of bad news"),
        ],
    )  # fmt: skip
    def test_leaves_secrets_out(self, said: str, written: str) -> None:
        assert plain(said) == written

    def test_with_a_traceback_is_still_one_entry(self) -> None:
        try:
            raise ValueError(f"no\n{FORGED}")
        except ValueError:
            record = logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed", (), None)
            record.exc_info = sys.exc_info()
        written = LogLines("{levelname} {message}", style="{").format(record)
        assert written.splitlines()[0] == "ERROR it failed"
        assert all(line.startswith("    ") for line in written.splitlines()[1:])
