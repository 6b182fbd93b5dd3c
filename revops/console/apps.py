from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """Django's admin on our own site."""

    default_site = "revops.console.site.Console"
