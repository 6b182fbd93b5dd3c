"""Clones of a template instead of the test databases: what plays there runs as the application's role."""

from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from revops.embedded.provisioning import start_server
from revops.simulation.databases import silently


@pytest.fixture(scope="module")
def throw_away(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Lets a test make throw-away databases of its own; it has no other."""
    with django_db_blocker.unblock():
        start_server(silently)
        yield
