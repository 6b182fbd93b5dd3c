"""English; see the package above."""
