"""Where a page of the console stands: area, list, row, and what is done with it."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst

from revops.console.navigation import area_of

register = template.Library()

# What is done with a row, by the last word of the address's name.
DONE = {"add": "Add", "delete": "Delete", "history": "History", "simple_history": "As it was", "password": "Password"}
LISTS = ("changelist", "change")  # a list or a row's own page, where nothing more is said

Part = tuple[str, str]  # words, and an address or nothing


@register.simple_tag(takes_context=True)
def trail(context: dict[str, Any]) -> list[Part]:
    """The way to the page, from its area on. The last part is the page itself, and no link."""
    opts, request = context.get("opts"), context["request"]
    if opts is None:
        return [(str(context.get("content_title") or context.get("title") or ""), "")]
    opts = getattr(context.get("original"), "_meta", None) or getattr(context.get("object"), "_meta", None) or opts
    rows = _address(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    area = area_of(rows) or area_of(request.path)
    listed = next((page.label for page in area.pages if page.address == rows), "") if area else ""
    listed = listed or capfirst(str(opts.verbose_name_plural))
    parts: list[Part] = [(area.title, area.pages[0].address)] if area and area.title != listed else []
    parts.append((listed, rows))
    row = context.get("original") or context.get("object")
    if row is not None and hasattr(row, "pk"):
        parts.append((str(row), _address(f"admin:{opts.app_label}_{opts.model_name}_change", quote(row.pk))))
    if last := _last(context):
        parts.append((last, ""))
    return [*parts[:-1], (parts[-1][0], "")]


def _last(context: dict[str, Any]) -> str:
    """What is done on the page; nothing on a list and on a row's own page."""
    if deed := context.get("deed"):
        return str(deed.label)
    name = getattr(context["request"].resolver_match, "url_name", None) or ""
    for word, said in DONE.items():
        if name.endswith(f"_{word}"):
            return said
    return "" if name.rpartition("_")[2] in LISTS else str(context.get("title") or "")


def _address(name: str, *args: Any) -> str:
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""
