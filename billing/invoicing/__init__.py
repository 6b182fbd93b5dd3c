"""From statements to documents.

Owns: drafting (due minus billed as documents), issuing and numbers, voids, bill runs, previews, how a document reads.
Does not own: amounts (billing/rating), use (billing/metering), money received (collection).
Invariants: one document claims an amount once; numbers have no gap; a run repeated does nothing.
"""
