"""Measurements: the figure, the limit the tables set for the same rows, and the proof that nothing leaked.

Owns: throw-away databases, load over real HTTP from separate processes, the arithmetic of the figures.
Does not own: anything it measures.
Invariant: figure and limit come from one run, on one server, with the same durability.
"""
