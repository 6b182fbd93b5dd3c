"""The admin site: the console's dress, its sidebar, and the page of the day as its index."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite

from revops.console.navigation import areas


class Console(UnfoldAdminSite):  # type: ignore[misc]
    site_header = "Watertight"
    site_title = "Watertight"
    index_title = "Today"
    site_url = None  # this is the site
    enable_nav_sidebar = True

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """What a person may see, in the areas of the sidebar; the page of one app stays Django's."""
        apps: list[Any] = super().get_app_list(request, app_label)
        return apps if app_label is not None else areas(apps)
