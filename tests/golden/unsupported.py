"""What golden cases ask for that Watertight does not do, by kind, by option or by semantics tag, with the reason."""

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

# Values of an input key: one system's day counts.
OPTIONS = {
    ("method", "month_actual"): ONE_SYSTEM,
    ("method", "month_30_actual_days"): ONE_SYSTEM,
    ("method", "month_30_360"): ONE_SYSTEM,
}

# Semantics tags of policies that are not taken; none so far.
TAGS: dict[str, str] = {}
