"""Metering: from a reported event to usage that can be rated.

Owns: events, their labels, corrections, quarantine, buckets and the aggregations over them.
Does not own: what usage costs (rating), what a customer may use (entitlements), what was billed (invoicing).
Invariants: a reported event is counted once, held with a reason, or was already here; buckets hold the same
partials as the pure fold over raw events.
"""
