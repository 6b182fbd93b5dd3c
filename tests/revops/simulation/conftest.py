from tests.revops.simulation.fixtures import throw_away

__all__ = ["throw_away"]
