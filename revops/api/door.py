"""What every door shares: the key and its scope, problems as errors, JSON out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from time import perf_counter
from typing import Any, ClassVar

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from revops.api.limits import Kind
from revops.api.problems import Problem, too_many
from revops.api.reading import body_in_chunks
from revops.models import ApiKey


class AlwaysJson(BaseContentNegotiation):
    """Whatever is asked for, the answer is JSON (or the document an address stands for)."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return next(iter(renderers)), "application/json"


class Door(APIView):
    """A view that parses, calls one operation and renders. Its methods are declared with `revops.api.calls.call`.

    `tag` is its group in the documentation. `scopes` names the scope of methods that are not declared.
    """

    scopes: ClassVar[Mapping[str, str]] = {}
    tag: ClassVar[str] = ""
    renderer_classes = [JSONRenderer]
    content_negotiation_class = AlwaysJson
    http_method_names = ["get", "head", "options", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if "\0" in request.path:
            raise Problem(404, "There is nothing at this address.")
        super().initial(request, *args, **kwargs)
        in_chunks = body_in_chunks(request._request)
        if in_chunks is not None:
            request._request._body = in_chunks  # where Django keeps what it has read

    def perform_authentication(self, request: Request) -> None:
        """Whose key it is, and whether it has not asked too much of late."""
        super().perform_authentication(request)
        allowance = caller(request).allowance(Kind.REQUESTS)
        self.headers |= allowance.headers()
        if allowance.wait:
            raise too_many(allowance.wait)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        begun = perf_counter()
        if request.method == "OPTIONS":  # the framework's own answer would describe our classes
            return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})
        response = super().dispatch(request, *args, **kwargs)
        response["Server-Timing"] = f"total;dur={(perf_counter() - begun) * 1000:.1f}"
        return without_body(response) if request.method == "HEAD" else response


def without_body(response: HttpResponseBase) -> HttpResponseBase:
    """The answer to HEAD: what GET would answer, without the content itself."""
    if isinstance(response, HttpResponse):
        response["Content-Length"] = str(len(response.content))
        response.content = b""
    return response


def caller(request: Request) -> ApiKey:
    """The key the request was made with."""
    key: Any = request.auth
    assert isinstance(key, ApiKey)
    return key


def answer(document: Any, status: int = 200) -> HttpResponse:
    """JSON: a Decimal as a plain decimal string, an instant with its offset."""
    return HttpResponse(msgspec.json.encode(plain(document)), status=status, content_type="application/json")


def plain(value: Any) -> Any:
    """The same document with decimals written out; `str` would write 1E+3."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def absolute(request: HttpRequest, parameters: Mapping[str, str]) -> str:
    """The address of this request with some parameters replaced."""
    changed = request.GET.copy()
    for name, value in parameters.items():
        changed[name] = value
    return request.build_absolute_uri(f"{request.path}?{changed.urlencode()}")
