"""Whole stories, each in a file of its own with its amounts worked out beside it. After each the books hold."""

from pathlib import Path

import pytest

from revops.reconciliation import books
from revops.simulation.databases import throw_away_databases
from revops.simulation.playing import perform, read_scenario
from revops.vocabulary.documents import read_file

STORIES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.sql
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_story_ends_as_worked_out_by_hand(story: Path, throw_away: None) -> None:
    words = read_scenario(read_file(story))
    assert words.expect, "a story says how it ends"
    with throw_away_databases():
        assert perform(words)["mismatches"] == []
        report = books.check(words.steps[-1].at)
        assert report.ok, report.as_text()
