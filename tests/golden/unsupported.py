"""What golden cases ask for that Watertight does not do, by kind or by semantics tag, with the reason."""

ONE_SYSTEM = "one system's own rule"

KINDS = {
    "prorated_graduated": ONE_SYSTEM,
    "block_tiered": ONE_SYSTEM,
    "capacity": ONE_SYSTEM,
    "prorated_sum": ONE_SYSTEM,
    "prorated_unique_count": ONE_SYSTEM,
    "burn_down": ONE_SYSTEM,
    "billing_cycles_in_advance": ONE_SYSTEM,
    "billable_until": ONE_SYSTEM,
    "restart": ONE_SYSTEM,
    "extension_days": ONE_SYSTEM,
    "daily_rate": ONE_SYSTEM,
}

# Semantics tags of policies that are not taken; none so far.
TAGS: dict[str, str] = {}
