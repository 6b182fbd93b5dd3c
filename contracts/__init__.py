"""Who agreed to what, and when.

Owns: customers and the subjects they are known by, contracts, their lines, discounts and one-time terms.
Does not own: prices (catalog), use and invoices (billing).
Invariants: terms of an approved contract are superseded, never edited; two lines of one key never overlap.
"""
