"""The admin site: the console's dress and its sidebar. Its index is the page of the day (revops/console/today.py)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from unfold.sites import UnfoldAdminSite

from revops.console.held import open_records
from revops.console.navigation import areas, sidebar
from revops.console.open_periods import open_periods


class Console(UnfoldAdminSite):  # type: ignore[misc]
    site_header = "Watertight"
    site_title = "Watertight"
    index_title = "Today"
    site_url = None  # this is the site

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        return sidebar(request)

    def extra_urls(self) -> list[URLPattern]:
        return [
            path("today/open-periods/", self.admin_view(self.open_periods_view), name="open_periods"),
            path("today/open-records/", self.admin_view(self.open_records_view), name="open_records"),
        ]

    def open_periods_view(self, request: HttpRequest) -> HttpResponse:
        """A part of the page of the day, loaded after the rest: it takes the longest."""
        if not request.user.has_perm("billing.view_invoice"):
            raise PermissionDenied
        at = timezone.now()
        return TemplateResponse(request, "admin/console/open_periods.html", {"open": open_periods(at), "at": at})

    def open_records_view(self, request: HttpRequest) -> HttpResponse:
        """The number beside the quarantine, which a page of the console does not wait for."""
        if not request.user.has_perm("quarantine.view_heldrecord"):
            raise PermissionDenied
        badge = open_records()
        return HttpResponse(format_html('<span class="badge" title="Open records">{}</span>', badge) if badge else "")

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """What a person may see, in the areas of the sidebar; the page of one app stays Django's."""
        apps: list[Any] = super().get_app_list(request, app_label)
        return apps if app_label is not None else areas(apps)
