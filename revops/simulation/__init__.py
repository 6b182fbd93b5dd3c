"""Playing a scenario: what a contract would cost, tried with the real operations on a clock of its own.

Owns: throw-away databases, the order of the steps, the outcome and its comparison with what was expected.
Does not own: what a step does; it calls the operations that the doors call.
Invariants: nothing outside the throw-away databases is touched, and they are gone afterwards.
"""

from revops.simulation.playing import UnableToPlay, play

__all__ = ["UnableToPlay", "play"]
