"""From use to cash.

Owns: events, buckets, corrections, held records, statements, invoices and their lines, credit notes.
Does not own: prices (catalog), agreements (contracts), doors and proofs (revops).
Invariants: a unit of use is counted once; due minus billed converges to zero; facts are added, never changed.
"""
