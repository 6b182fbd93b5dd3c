"""The project and the office on top of it.

Owns: settings, doors (console, API, commands), the proofs (reconciliation), the embedded server.
Does not own: any rule of pricing, metering or invoicing; nobody imports it.
Invariant: a door parses, calls one operation and shows its result.
"""
