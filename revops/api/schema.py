"""`/api/schema`: what the doors declare of themselves (`revops.api.calls`), as OpenAPI 3.1."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from django.http import HttpRequest, HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from revops.api.calls import SENDING, Call, call_of
from revops.api.deeds import LONGEST_KEY, in_use, under_way
from revops.api.guide import SUMMARY, TAGS
from revops.api.keys import lacking, unauthorized
from revops.api.problems import (
    CONTENT_TYPE,
    Problem,
    invalid,
    not_allowed,
    not_json,
    something_wrong,
    too_large,
    too_many,
    unavailable,
)
from revops.api.reading import Empty, names_of, unknown_parameter
from revops.api.shapes import ProblemDocument
from revops.api.words_schema import words_schemas

REFERENCE = "#/components/schemas/{name}"
PAGE_NAME = re.compile(r"Paged[_\[](\w+?)[_\]]")

RATE_HEADERS = {name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit", "RateLimit-Policy")}
HEADERS: dict[str, Any] = {
    "RateLimit": {
        "description": 'What is left: `"requests";r=599;t=1` is 599 requests (of events: records) now, and all of '
        "them again in a second.",
        "schema": {"type": "string"},
        "example": '"requests";r=599;t=1',
    },
    "RateLimit-Policy": {
        "description": 'The limit of this key: `"requests";q=600;w=60` is 600 in 60 seconds.',
        "schema": {"type": "string"},
        "example": '"requests";q=600;w=60',
    },
    "Retry-After": {
        "description": "Seconds until the same request may succeed.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
        "example": "5",
    },
    "ETag": {
        "description": "The mark of what was answered, to send as `If-Match` with a change to it.",
        "schema": {"type": "string"},
        "example": '"5f1d7a84db00d2fce00b31a7fc73224f"',
    },
    "Location": {
        "description": "Where it is read from now on.",
        "schema": {"type": "string", "format": "uri"},
        "example": "https://billing.example.com/api/v1/plans/translate",
    },
    "WWW-Authenticate": {"schema": {"type": "string"}, "example": 'Bearer realm="watertight"'},
    "Allow": {
        "description": "The methods this address takes.",
        "schema": {"type": "string"},
        "example": "GET, HEAD, OPTIONS",
    },
}
HEADERS_OF = {401: ["WWW-Authenticate"], 405: ["Allow"], 429: ["Retry-After"], 503: ["Retry-After"]}

SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer KEY`. Each call names the scope that the key must have.",
    },
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in another header."},
}

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A text of your own, new for each deed. Sent again with the same request, it gets the first answer "
    "again and nothing is done twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}


IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of what was read: where it has changed since, nothing is done (412).",
    "schema": {"type": "string", "pattern": r"^(\*|(W/)?\"[0-9a-f]{32}\")$"},
    "example": '"5f1d7a84db00d2fce00b31a7fc73224f"',
}


class Declared(NamedTuple):
    """A call at its address."""

    path: str
    method: str
    name: str
    tag: str
    call: Call


class Documentation(SchemaGenerator):
    """Walks the addresses; what is documented of each is what it declares."""

    def declared(self) -> list[Declared]:
        self._initialise_endpoints()  # type: ignore[no-untyped-call]
        found = []
        for path, _, method, view in self._get_paths_and_endpoints():  # type: ignore[no-untyped-call]
            call = call_of(view, method)
            if call is not None:
                found.append(Declared(path, method.lower(), type(view).__name__, view.tag, call))
        return found

    def parse(self, input_request: Any, public: bool) -> dict[str, Any]:
        paths: dict[str, Any] = defaultdict(dict)
        declared = self.declared()
        self.schemas = Schemas(declared)
        for one in declared:
            paths[one.path][one.method] = operation(one, self.schemas)
        return dict(paths)

    def get_schema(self, request: Any = None, public: bool = True) -> dict[str, Any]:
        made: dict[str, Any] = super().get_schema(request, public)  # type: ignore[no-untyped-call]
        made["openapi"] = "3.1.1"
        made["info"] = {
            "title": "Watertight API",
            "version": "1",
            "summary": "Usage-based billing that cannot leak.",
            "description": SUMMARY,
        }
        made["servers"] = [{"url": "/", "description": "This server."}]
        made["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
        made["security"] = [{"bearer": []}, {"key": []}]
        made["components"] = {
            "schemas": self.schemas.components,
            "headers": HEADERS,
            "responses": {name_of(status): refusal(status, problems) for status, problems in EVERYWHERE.items()},
            "securitySchemes": SECURITY,
        }
        return made


class Schemas:
    """The JSON schemas of all types that the calls name, and how to refer to each."""

    def __init__(self, declared: Iterable[Declared]) -> None:
        kinds: list[Any] = [ProblemDocument, *dict.fromkeys(kind for one in declared for kind in kinds_of(one.call))]
        structs = [kind for kind in kinds if not is_dataclass(kind)]
        made, components = msgspec.json.schema_components(structs, ref_template=REFERENCE)
        self.components: dict[str, Any] = renamed(components)
        self._of = {repr(kind): renamed(schema) for kind, schema in zip(structs, made, strict=True)}
        for kind in kinds:
            if is_dataclass(kind):
                self._of[repr(kind)] = words_schemas(kind, REFERENCE, self.components)

    def of(self, kind: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._of[repr(kind)]
        return found

    def fields_of(self, form: Any) -> dict[str, Any]:
        """The properties of a struct by their name outside, without the struct itself."""
        (_,), components = msgspec.json.schema_components([form], ref_template=REFERENCE)
        found: dict[str, Any] = typed(components[form.__name__])
        return {name: (schema, name in found.get("required", ())) for name, schema in found["properties"].items()}


def kinds_of(call: Call) -> Iterable[Any]:
    yield from (kind for kind in (call.answers, *call.path.values(), *call.takes.values()) if kind is not None)


def renamed(schemas: Any) -> Any:
    """`Paged_Invoice_` is called InvoicePage, and a choice of texts is a text."""
    text = msgspec.json.encode(schemas).decode()
    return typed(msgspec.json.decode(PAGE_NAME.sub(r"\1Page", text)))


def typed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [typed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: typed(inner) for name, inner in schema.items()}
    if "enum" in made and all(isinstance(choice, str) for choice in made["enum"]):
        made["type"] = "string"
    return made


def operation(one: Declared, schemas: Schemas) -> dict[str, Any]:
    call = one.call
    made: dict[str, Any] = {
        "operationId": f"{one.method}_{snake(one.name)}",
        "summary": call.summary,
        "description": f"{call.description}\n\nScope: `{call.scope}`.".strip(),
        "tags": [one.tag],
        "security": [{"bearer": [call.scope]}, {"key": [call.scope]}],
        "parameters": list(parameters(call, schemas)),
        "responses": responses(one, schemas),
    }
    if call.takes:
        made["requestBody"] = request_body(call, schemas)
    return made


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def parameters(call: Call, schemas: Schemas) -> Iterable[dict[str, Any]]:
    for name, kind in call.path.items():
        yield parameter(name, "path", schemas.of(kind), True)
    for name, (schema, required) in schemas.fields_of(call.query).items():
        yield parameter(name, "query", schema, required)
    if call.is_deed:
        yield IDEMPOTENCY_KEY
    if heeds_tag(call):
        yield IF_MATCH


def parameter(name: str, place: str, schema: Mapping[str, Any], required: bool) -> dict[str, Any]:
    left = without_null(dict(schema))
    description, examples = left.pop("description", None), left.pop("examples", None)
    made: dict[str, Any] = {"name": name, "in": place, "required": required, "schema": left}
    if left.get("type") == "array":
        made |= {"style": "form", "explode": False}
    if description:
        made["description"] = description
    if examples:
        made["example"] = examples[0]
    return made


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What may be left out of an address is not null there."""
    if schema.get("default", 0) is None:
        del schema["default"]
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        return {**schema, **kinds[0]}
    return {**schema, "anyOf": kinds} if kinds else schema


def request_body(call: Call, schemas: Schemas) -> dict[str, Any]:
    content = {}
    for media, kind in call.takes.items():
        content[media] = {"schema": schemas.of(kind)}
        sends = call.sends.get(media) if isinstance(call.sends, Mapping) and media in call.sends else call.sends
        content[media]["example"] = {} if sends is None else sends
    return {"required": call.body is not Empty, "content": content}


def responses(one: Declared, schemas: Schemas) -> dict[str, Any]:
    call = one.call
    success: dict[str, Any] = {
        "description": "Done." if call.answers is None else "The answer.",
        "headers": dict(RATE_HEADERS),
    }
    success["headers"] |= {name: {"$ref": f"#/components/headers/{name}"} for name in call.tells}
    if call.answers is not None:
        success["content"] = {call.media: {"schema": schemas.of(call.answers), "example": call.example}}
    made: dict[str, Any] = {str(call.status): success}
    refused: dict[int, list[Problem]] = defaultdict(list)
    for problem in [*call.refuses, *peculiar(call)]:
        refused[problem.status].append(problem)
    for status in sorted({*refused, *common(one)}):
        if status in refused:
            made[str(status)] = refusal(status, [*refused[status], *EVERYWHERE.get(status, ())])
        else:
            made[str(status)] = {"$ref": f"#/components/responses/{name_of(status)}"}
    return made


def heeds_tag(call: Call) -> bool:
    """Whether it may be told what was read, and refuse what has changed since."""
    return any(problem.status == 412 for problem in call.refuses)


def name_of(status: int) -> str:
    """`TooManyRequests`."""
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def refusal(status: int, problems: Iterable[Problem]) -> dict[str, Any]:
    examples = {
        f"{number}": {"summary": problem.detail, "value": problem.document()}
        for number, problem in enumerate(problems, start=1)
    }
    made: dict[str, Any] = {
        "description": MEANING.get(status) or HTTPStatus(status).phrase,
        "content": {CONTENT_TYPE: {"schema": {"$ref": REFERENCE.format(name="ProblemDocument")}, "examples": examples}},
    }
    if status in HEADERS_OF:
        made["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS_OF[status]}
    return made


MEANING = {
    400: "The request does not say what it should.",
    401: "No key, or one that is not known, has expired or was revoked.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    405: "This address does not take this method.",
    409: "Not in this state.",
    412: "It was changed since it was read.",
    413: "The body is too large; none of it was read.",
    415: "The body has another content type.",
    422: "The request is understood, but cannot be done.",
    429: "Too many requests. Nothing was done; send it again after `Retry-After` seconds.",
    500: "A fault of ours; it is in our log. The same request may be sent again.",
    503: "The database is away. Nothing was done; send it again after `Retry-After` seconds.",
}


# Refusals that are the same for every call, as the code makes them.
EVERYWHERE = {
    401: [unauthorized("This API key is not known.")],
    405: [not_allowed("DELETE", ["GET", "HEAD", "OPTIONS"])],
    413: [too_large()],
    415: [not_json()],
    429: [too_many(5)],
    500: [something_wrong()],
    503: [unavailable()],
}
WITH_A_BODY = (413, 415)


def common(one: Declared) -> Iterable[int]:
    """Which of those a call may answer."""
    has_body = one.method in SENDING
    return (status for status in EVERYWHERE if has_body or status not in WITH_A_BODY)


def peculiar(call: Call) -> Iterable[Problem]:
    """What follows from a call's scope, path, parameters and being a deed."""
    yield unknown_parameter("page", names_of(call.query))
    yield Problem(403, lacking(call.scope))
    if call.path and not any(problem.status == 404 for problem in call.refuses):
        yield Problem(404, "There is nothing at this address.")
    if call.is_deed:
        yield under_way()
        yield in_use()


@lru_cache(maxsize=1)
def documentation() -> dict[str, Any]:
    """The whole document; it does not change while the process runs."""
    made: dict[str, Any] = Documentation().get_schema()  # type: ignore[no-untyped-call]
    return made


@lru_cache(maxsize=2)
def rendered(form: str) -> bytes:
    if form == "yaml":
        return bytes(OpenApiYamlRenderer().render(documentation()))  # type: ignore[no-untyped-call]
    return msgspec.json.format(msgspec.json.encode(documentation()), indent=1)


MEDIA = {"json": "application/json", "yaml": "application/yaml"}


def schema(request: HttpRequest) -> HttpResponse:
    """JSON, or YAML with `?format=yaml` or where `Accept` asks for it. Needs no key."""
    if request.method not in ("GET", "HEAD"):
        return not_allowed(request.method or "", ["GET", "HEAD", "OPTIONS"]).response()
    wanted = request.GET.get("format") or ("yaml" if "yaml" in request.headers.get("Accept", "") else "json")
    if wanted not in MEDIA:
        return invalid("format", "invalid", "`format` is json or yaml.").response()
    return HttpResponse(rendered(wanted), content_type=MEDIA[wanted], headers={"Vary": "Accept"})
