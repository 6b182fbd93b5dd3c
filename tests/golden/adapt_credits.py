"""Credits: the order of grants, what credits pay, and what rolls over."""

from decimal import Decimal

from billing.rating.credits import (
    Credit,
    Grant,
    Payable,
    draw_notes,
    drawing_order,
    pay,
    progressive_credit,
    roll_over,
)
from catalog.money import exact_sum
from tests.golden.vocabulary import Input, Outcome, adapts, chosen, instant, number, optional, rounding, whole


@adapts("grant_order", "grants", "expiry_resolution")
def grant_order(input: Input) -> Outcome:
    chosen(input, "expiry_resolution", "second")
    return {"order": [one.id for one in drawing_order(grant(value) for value in input["grants"])]}


def grant(value: Input) -> Grant:
    assert set(value) <= {"id", "amount", "priority", "expires_at", "created_at", "effective_at"}, value
    expires_at = value.get("expires_at")
    return Grant(
        value["id"],
        whole(value.get("priority") or "0"),
        instant(value["created_at"]),
        None if expires_at is None else instant(expires_at),
    )


@adapts("apply_to_lines", "line_amounts", "credits")
def apply_to_lines(input: Input) -> Outcome:
    lines = [Payable(str(place), number(amount)) for place, amount in enumerate(input["line_amounts"])]
    paid = pay(lines, [credit(value) for value in input.get("credits") or []])
    return {"applied": paid.by_line, "due": paid.due, "remaining": paid.remaining}


def credit(value: Input) -> Credit:
    assert set(value) <= {"id", "amount"}, value
    return Credit(value["id"], number(value["amount"]))


@adapts("wallet_allocation", "fees", "wallets")
def wallet_allocation(input: Input) -> Outcome:
    """Wallets are listed in creation order, so that a stable sort by priority is theirs."""
    fees = [Payable(fee["id"], number(fee["amount"])) for fee in input.get("fees") or []]
    known = [value for value in input.get("wallets") or [] if value.get("currency") in (None, input.get("currency"))]
    known.sort(key=lambda value: number(value.get("priority") or "0"))
    return {"drawn": pay(fees, [wallet(value) for value in known]).drawn}


def wallet(value: Input) -> Credit:
    assert set(value) <= {"id", "balance", "priority", "currency", "fee_ids"}, value
    fees = value.get("fee_ids")
    return Credit(value["id"], number(value["balance"]), None if fees is None else frozenset(fees))


@adapts("credit_notes", "invoice_total", "fees", "notes", "rounding", "share_rounding")
def credit_notes(input: Input) -> Outcome:
    done = draw_notes(
        number(input["invoice_total"]),
        [number(note) for note in input.get("notes") or []],
        [number(fee) for fee in input.get("fees") or []],
        rounding(input.get("share_rounding") or input.get("rounding")),
    )
    return {
        "applied": done.applied,
        "remaining": done.remaining,
        "total_applied": done.total_applied,
        "fee_shares": done.fee_shares,
    }


@adapts("progressive_credit", "fees", "previously_billed")
def progressive(input: Input) -> Outcome:
    billed = [amounts(sums) for sums in input.get("previously_billed") or []]
    per_fee = progressive_credit(amounts(input["fees"]), billed)
    return {"credit": exact_sum(per_fee.values()), "per_fee": per_fee}


def amounts(sums: Input) -> dict[str, Decimal]:
    return {id: number(amount) for id, amount in sums.items()}


@adapts("rollover", "grant", "used", "max_rollover")
def rollover(input: Input) -> Outcome:
    done = roll_over(number(input["grant"]), number(input["used"]), optional(input.get("max_rollover")))
    return {"rolled_over": done.rolled_over, "next_balance": done.next_balance}
