"""`POST calculate`: what a price makes of a quantity or of events."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from billing.rating.calculate import InvalidRequest, calculate
from revops.api.door import Door, answer
from revops.api.problems import Fault, Problem
from revops.api.reading import Nothing, document, query
from revops.models import Scope


class Calculate(Door):
    """Touches no row: the scope only keeps strangers out."""

    scopes = {"POST": Scope.CATALOG_READ}

    def post(self, request: Request) -> HttpResponse:
        query(request, Nothing)
        try:
            return answer(calculate(document(request)))
        except InvalidRequest as error:
            faults = [Fault(fault.path, fault.code, fault.detail) for fault in error.errors]
            raise Problem(400, "This cannot be calculated.", faults) from error
