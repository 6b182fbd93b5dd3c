"""What customers may use, how much of it is left, and telling them before it is gone.

Owns: allowances with what rolled over, the answer to "may this customer do this now?", notices and their delivery.
Does not own: what was agreed (contracts), what was used (metering), what it costs (rating).
Invariants: a limit never refuses an event; a notice is given once for a contract, feature, period and threshold, and a
missing one is found from what was counted, whoever died when.
"""
