"""The admin site: the console's dress, its sidebar, and the page of the day as its index."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.sites import UnfoldAdminSite

from revops.console.navigation import areas, sidebar
from revops.console.open_periods import open_periods
from revops.console.today import today


class Console(UnfoldAdminSite):  # type: ignore[misc]
    site_header = "Watertight"
    site_title = "Watertight"
    index_title = "Today"
    site_url = None  # this is the site

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        return sidebar(request)

    def extra_urls(self) -> list[URLPattern]:
        return [path("today/open-periods/", self.admin_view(self.open_periods_view), name="open_periods")]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        at = timezone.now()
        shown = {**today(request.user, at), "at": at, **(extra_context or {})}  # type: ignore[arg-type]
        return super().index(request, shown)  # type: ignore[no-any-return]

    def open_periods_view(self, request: HttpRequest) -> HttpResponse:
        """A part of the page of the day, loaded after the rest: it takes the longest."""
        if not request.user.has_perm("billing.view_invoice"):
            raise PermissionDenied
        at = timezone.now()
        return TemplateResponse(request, "admin/console/open_periods.html", {"open": open_periods(at), "at": at})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """What a person may see, in the areas of the sidebar; the page of one app stays Django's."""
        apps: list[Any] = super().get_app_list(request, app_label)
        return apps if app_label is not None else areas(apps)
