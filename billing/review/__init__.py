"""The review of what is held: finding what is alike, proposing, deciding, releasing, keeping a resolution as a rule.

Owns: proposals and their decisions, releases, the estimate of the money at risk, suggestions.
Does not own: how a record comes to be held, or is counted (billing/metering/quarantine.py, ingestion.py).
Invariants: nothing held leaves without a second person's approval; a release goes through the same front door as
everything else; killed at any moment and repeated, it neither loses nor doubles a record.
"""
