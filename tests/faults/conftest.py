"""Installations in throw-away homes: made once, copied for each module that breaks one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.company import CATALOG, CUSTOMERS, FOUND, contracts
from tests.faults.installation import Installation, new_home


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A stopped installation with the company in it."""
    made = Installation(new_home())
    folder = tmp_path_factory.mktemp("company")
    try:
        made.secret = found(made, folder, CUSTOMERS)
        made.stop()
        yield made
    finally:
        made.remove()


def found(installation: Installation, folder: Path, customers: int) -> str:
    """Make the company; returns the secret of a key that may do everything."""
    files = []
    for name, content in (("catalog.json", CATALOG), ("contracts.json", contracts(customers))):
        (folder / name).write_text(json.dumps(content))
        files.append(str(folder / name))
    return installation.python(FOUND, *files).strip()


@pytest.fixture(scope="module")
def installation(pattern: Installation) -> Iterator[Installation]:
    """A running installation of this module alone, with 40 customers and nothing received."""
    made = pattern.copy()
    try:
        made.start_database()
        made.serve()
        yield made
    finally:
        made.remove()
