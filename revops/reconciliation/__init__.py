"""Proof that nothing leaked between what was reported and what was billed.

Owns: `check_books`: what is read side by side, what counts as a leak, as pending and as a finding.
Does not own: any number it compares; it changes nothing, and repairs nothing.
Invariants: one read-only view of each database per check; whatever is wrong is named with its place, what was expected
and what was found; use that waits for a bill run is pending, never a leak.
"""
