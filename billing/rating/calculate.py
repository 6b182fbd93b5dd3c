"""`calculate`: what a price makes of a quantity or of events, in the JSON of the public interface.

Both doors, the command and `POST /api/v1/calculate`, parse their JSON, call this and print the answer.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import cast

from billing.rating.charges import Charge, Step, charge, charge_events
from billing.rating.event_prices import PricedEvent
from billing.rating.parts import UnableToCharge
from catalog.money import UnknownCurrency, decimals, exact, minor_places, money_text, quantity_text, quantize
from catalog.pricing import FieldError, InvalidPrice, PriceRule, parse_price

# What a price in a scenario file says beside the arithmetic; the amount does not depend on it.
CATALOG_FIELDS = frozenset(
    {"key", "name", "kind", "meter", "filters", "dimension", "group", "billing", "prorate", "tax", "tax_category"}
)

_REQUEST_FIELDS = ("currency", "price", "quantity", "events")


class InvalidRequest(ValueError):
    """A request that cannot be calculated; `errors` names every field at fault."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{error.path}: {error.detail}" for error in errors))


def calculate(request: object) -> dict[str, object] | list[dict[str, object]]:
    """Answer `{currency, price, quantity | events}` with `{amount, steps}`; a list is answered by a list.

    Numbers are decimal strings on both sides. Raises InvalidRequest with the errors of all items; their paths
    begin with the item's index when a list was given.
    """
    if isinstance(request, Mapping):
        return _answer(request)
    if not isinstance(request, list):
        raise InvalidRequest([FieldError("", "invalid", "give an object, or a list of objects")])
    answers: list[dict[str, object]] = []
    errors: list[FieldError] = []
    for index, item in enumerate(request):
        try:
            answers.append(_answer(item))
        except InvalidRequest as invalid:
            errors += _under(f"{index}", invalid.errors)
    if errors:
        raise InvalidRequest(errors)
    return answers


def _answer(request: object) -> dict[str, object]:
    if not isinstance(request, Mapping):
        raise InvalidRequest([FieldError("", "invalid", "an object with currency, price and quantity")])
    errors = [
        FieldError(str(name), "unknown", f"{name} is not a field of a calculation")
        for name in request
        if name not in _REQUEST_FIELDS
    ]
    currency = _currency(request.get("currency"), errors)
    rule = _rule(request.get("price"), errors)
    quantity, events = _usage(request, rule, errors)
    if errors or rule is None:
        raise InvalidRequest(errors)
    try:
        done = charge(rule, quantity, currency) if events is None else charge_events(rule, events, currency)
    except UnableToCharge as unable:
        raise InvalidRequest([FieldError("events", "invalid", str(unable))]) from unable
    return _as_json(done, currency)


def _currency(value: object, errors: list[FieldError]) -> str:
    try:
        minor_places(cast(str, value))
    except (UnknownCurrency, TypeError) as error:
        code = "missing" if value is None else "invalid"
        detail = "currency is required" if value is None else str(error)
        errors.append(FieldError("currency", code, detail))
    return str(value)


def _rule(price: object, errors: list[FieldError]) -> PriceRule | None:
    if not isinstance(price, Mapping):
        code = "missing" if price is None else "invalid"
        errors.append(FieldError("price", code, "price is an object, as in a scenario file"))
        return None
    try:
        return parse_price({name: value for name, value in price.items() if name not in CATALOG_FIELDS})
    except InvalidPrice as invalid:
        errors += _under("price", invalid.errors)
        return None


def _usage(
    request: Mapping[str, object], rule: PriceRule | None, errors: list[FieldError]
) -> tuple[Decimal, list[PricedEvent] | None]:
    """The quantity, or the events: exactly one of the two is given."""
    quantity, events = request.get("quantity"), request.get("events")
    if (quantity is None) == (events is None):
        detail = "give either quantity or events"
        errors.append(FieldError("quantity", "missing" if quantity is None else "conflict", detail))
    elif quantity is not None:
        if rule is not None and rule.reads_events:
            errors.append(FieldError("events", "missing", "this price depends on single events; list them"))
        return _number("quantity", quantity, errors), None
    elif not isinstance(events, list):
        errors.append(FieldError("events", "invalid", "events is a list"))
    else:
        return Decimal(0), [_event(f"events.{index}", event, errors) for index, event in enumerate(events)]
    return Decimal(0), None


def _event(path: str, event: object, errors: list[FieldError]) -> PricedEvent:
    """One event: its value, or `{value, dimension}`."""
    if not isinstance(event, Mapping):
        return PricedEvent(_number(path, event, errors))
    for name in event:
        if name not in ("value", "dimension"):
            errors.append(FieldError(f"{path}.{name}", "unknown", f"{name} is not a field of an event"))
    dimension = event.get("dimension")
    if dimension is not None and not isinstance(dimension, str):
        errors.append(FieldError(f"{path}.dimension", "invalid", "dimension is a string"))
        dimension = None
    return PricedEvent(_number(f"{path}.value", event.get("value"), errors), dimension)


def _number(path: str, value: object, errors: list[FieldError]) -> Decimal:
    try:
        return exact(cast(str, value))
    except (TypeError, ValueError) as error:
        code = "missing" if value is None else "invalid"
        errors.append(FieldError(path, code, f'{error}; give a decimal string such as "12.5"'))
        return Decimal(0)


def _under(parent: str, errors: Sequence[FieldError]) -> list[FieldError]:
    """The errors of a part, with paths from the whole."""
    return [
        FieldError(f"{parent}.{error.path}" if error.path else parent, error.code, error.detail) for error in errors
    ]


def _as_json(done: Charge, currency: str) -> dict[str, object]:
    return {
        "amount": money_text(done.amount, currency),
        "steps": [step_json(step, currency) for step in done.steps],
    }


def step_json(step: Step, currency: str) -> dict[str, object]:
    """A step as JSON; its amount has at least the currency's places, and more where it is not rounded."""
    places = max(minor_places(currency), decimals(step.amount))
    return {
        "description": step.description,
        "quantity": None if step.quantity is None else quantity_text(step.quantity),
        "unit_amount": None if step.unit_amount is None else quantity_text(step.unit_amount),
        "amount": format(quantize(step.amount, places), "f"),
    }
