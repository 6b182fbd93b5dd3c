from django.apps import AppConfig
from django.db.models.signals import post_migrate

from revops.embedded.grants import grant_after_migrate
from revops.roles import found_after_migrate


class RevopsConfig(AppConfig):
    name = "revops"
    verbose_name = "Settings"

    def ready(self) -> None:
        post_migrate.connect(grant_after_migrate, sender=self)
        post_migrate.connect(found_after_migrate, sender=self)
