"""Whole stories, each in a file of its own with its amounts worked out beside it."""

from pathlib import Path

import pytest

from revops.simulation import play
from revops.vocabulary.documents import read_file

STORIES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.sql
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_story_ends_as_worked_out_by_hand(story: Path, throw_away: None) -> None:
    document = read_file(story)
    assert document["expect"], "a story says how it ends"
    assert play(document)["mismatches"] == []
