"""The desk of prices with a calculator: what a price makes of a quantity, as it is typed or as it is stored.

What a price says belongs to the catalog, and is edited on the form it has there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from billing.rating.calculate import InvalidRequest, calculate
from catalog.admin import PriceDesk
from catalog.models import PlanVersion, Price
from catalog.price_form import fault_words, typed_terms
from catalog.pricing import FieldError

admin.site.unregister(Price)


@admin.register(Price)
class PriceOffice(PriceDesk):
    change_form_template = "admin/billing/price/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        calculating = self.admin_site.admin_view(require_POST(self.calculate_view))
        return [path("calculate/", calculating, name="catalog_price_calculate"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        row = kwargs.get("obj")
        stored = {"stored": [row]} if row is not None and not self.has_change_permission(request, row) else {}
        return super().render_change_form(request, {**context, **stored}, *args, **kwargs)

    def calculate_view(self, request: HttpRequest) -> HttpResponse:
        """A part of a page: the amount and its steps, or what is in the way of one. Nothing is stored."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        currency, terms = asked_price(request.POST)
        answer = answer_of(currency, terms, request.POST)
        return TemplateResponse(request, "admin/billing/price/calculation.html", {**answer, "currency": currency})


def asked_price(data: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The currency and the arithmetic: of the form's fields where they are sent, else of the stored price."""
    pk = str(data.get("calculator-price") or "")
    stored = Price.objects.select_related("version").filter(pk=pk).first() if pk.isdecimal() else None
    if data.get("calculator-typed"):
        version_pk = str(data.get("version") or "")
        version = stored.version if stored else None
        if version is None and version_pk.isdecimal():
            version = PlanVersion.objects.filter(pk=version_pk).first()
        return version.currency if version else "", typed_terms(data)
    if stored is None:
        raise Http404("There is no such price.")
    return stored.version.currency, stored.terms()


def answer_of(currency: str, terms: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What `calculate` says to a quantity, or to events of one line each, in words."""
    if not currency:
        return {"faults": ["Choose the version that the price is of: it says the currency."]}
    if not terms.get("model"):
        return {"faults": ["Choose a model first."]}
    asked: dict[str, Any] = {"currency": currency, "price": terms}
    events = [line.split(maxsplit=1) for line in str(data.get("calculator-events") or "").splitlines() if line.strip()]
    if events:
        asked["events"] = [
            {"value": one[0], "dimension": one[1].strip()} if len(one) > 1 else {"value": one[0]} for one in events
        ]
    else:
        asked["quantity"] = str(data.get("calculator-quantity") or "").strip() or "0"
    try:
        return {"done": calculate(asked)}
    except InvalidRequest as invalid:
        return {"faults": [words_of(error) for error in invalid.errors]}


def words_of(error: FieldError) -> str:
    if error.path.startswith("price."):
        return fault_words(error)
    if error.path == "events" and error.code == "missing":
        return "This price looks at single events: give their amounts, one a line."
    place, _, rest = error.path.partition(".")
    if place == "events" and rest:
        number = rest.partition(".")[0]
        return f"Event {int(number) + 1}: {error.detail}." if number.isdecimal() else f"{error.detail}."
    return fault_words(error)
