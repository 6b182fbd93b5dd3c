"""Commands that take longer than a second say so on stderr, and only there."""

from __future__ import annotations

import re
import time
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from revops.embedded.commands import PACE, Bar, DatabaseCommand, Lines

pytestmark = pytest.mark.django_db(databases="__all__")


class Job(DatabaseCommand):
    """Takes so many steps of so many seconds."""

    steps, seconds = 1, 0.0

    def handle(self, *args: Any, **options: Any) -> None:
        with self.progress(self.steps, "Working", "step") as bar:
            for _ in range(self.steps):
                time.sleep(self.seconds)
                bar.update(1)
        self.finish({}, "done", as_json=False)


def outcome(job: Job, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    call_command(job)
    captured = capsys.readouterr()
    return captured.out, captured.err.splitlines()


def test_a_quick_command_says_only_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(Job(), capsys) == ("done\n", [])


def test_a_command_of_more_than_a_second_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    job = Job()
    job.steps, job.seconds = 8, 0.2
    said, [told] = outcome(job, capsys)
    assert said == "done\n"
    assert re.match(r"Working: +(50|62|63)%.* [45](\.00)?/8(\.00)? ", told)


def test_a_single_long_step_is_told_of_while_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    job = Job()
    job.seconds = 1.5
    said, told = outcome(job, capsys)
    assert (said, len(told)) == ("done\n", 1)
    assert told[0].startswith("Working:   0%")


def test_off_a_terminal_lines_follow_one_another_slowly() -> None:
    stream = StringIO()
    with Lines(total=60, delay=0.05, mininterval=0.01, miniters=1, leave=False, file=stream) as bar:
        for _ in range(60):
            time.sleep(0.01)
            bar.update(1)
        assert bar.mininterval == PACE
    assert stream.getvalue().count("\n") == 1
    assert "\r" not in stream.getvalue()


def test_on_a_terminal_a_bar_is_drawn_over_and_over() -> None:
    stream = StringIO()
    with Bar(total=30, delay=0.05, mininterval=0.01, file=stream) as bar:
        for _ in range(30):
            time.sleep(0.01)
            bar.update(1)
    assert stream.getvalue().count("\r") > 3
    assert "30/30" in stream.getvalue()
