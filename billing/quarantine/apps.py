from django.apps import AppConfig


class QuarantineConfig(AppConfig):
    name = "billing.quarantine"
    label = "quarantine"
    verbose_name = "Quarantine"
