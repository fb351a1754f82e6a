"""The platform's settings. Section 2 of the contract lists the environment variables; `environment.py` reads them."""

import os
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.templatetags.static import static

from connectors.networks import AllowedNetworks
from integration_platform import environment
from integration_platform.environment import BASE_DIR, number_between, read
from integration_platform.navigation import SIDEBAR

DEBUG = read("DEBUG", environment.boolean, "0")
DATA_DIR = read("DATA_DIR", lambda text: (BASE_DIR / Path(text).expanduser()).resolve(), "var")
SECRET_KEY = environment.secret_key(DATA_DIR, debug=DEBUG)
ENCRYPTION_KEYS = (
    read("ENCRYPTION_KEYS", environment.encryption_keys, "")
    if os.environ.get("ENCRYPTION_KEYS", "").strip()
    else environment.encryption_keys(environment.kept_in(DATA_DIR / "encryption_keys", environment.new_encryption_key))
)
ALLOWED_HOSTS = read("ALLOWED_HOSTS", environment.hosts, "localhost,127.0.0.1,[::1]")
HTTPS_ONLY = read("HTTPS_ONLY", environment.boolean, "0")
CSRF_TRUSTED_ORIGINS = read("CSRF_TRUSTED_ORIGINS", environment.origins, "")
TRUSTED_PROXIES = read("TRUSTED_PROXIES", environment.networks, "")
METRICS_TOKEN = read("METRICS_TOKEN", str, "")
METRICS_ALLOWED_NETWORKS = read("METRICS_ALLOWED_NETWORKS", environment.networks, "127.0.0.0/8,::1/128")
OUTBOUND_ALLOWED_NETWORKS = read("OUTBOUND_ALLOWED_NETWORKS", AllowedNetworks.parse, "")

DATABASES = {"default": read("DATABASE_URL", environment.database(DATA_DIR), "")}
DATABASE_IS_SQLITE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Sized for two cores, and for the hundred connections that PostgreSQL allows unless told otherwise: a thread has one.
# SQLite has one writer at a time: one web process whose threads queue up fairly is the quickest.
WEB_WORKERS = read("WEB_WORKERS", number_between(1, 64), "1" if DATABASE_IS_SQLITE else "2")
WEB_THREADS = read("WEB_THREADS", number_between(1, 512), "64" if DATABASE_IS_SQLITE else "32")
# A web process's calls to one endpoint at a time, for synchronous callers: these threads wait for nothing but answers,
# and have no connection.
WEB_CALLS = 2 * WEB_THREADS
BODY_SECONDS = read("BODY_SECONDS", number_between(1, 3600), "60")
QUEUE_WORKERS = read("QUEUE_WORKERS", number_between(1, 64), "1" if DATABASE_IS_SQLITE else "2")
QUEUE_THREADS = read("QUEUE_THREADS", number_between(1, 512), "32")

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_q",
    "connectors",
    "messages",
    "integration_platform",
]
MIDDLEWARE = [
    "messages.request_ids.RequestIdMiddleware",
    "integration_platform.proxies.TrustedProxiesMiddleware",
    "integration_platform.answers.AnswersMiddleware",
    "integration_platform.https.HttpsOnlyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "integration_platform.compression.AdminGZipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
ROOT_URLCONF = "integration_platform.urls"
WSGI_APPLICATION = "integration_platform.wsgi.application"
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
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["integration_platform.formats"]
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # served from the packages themselves: no build step, no collectstatic
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 60 * 60  # a working day
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
# Plain http keeps working unless HTTPS_ONLY is set: health checks, sources and `manage.py start` use it on loopback.
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]  # probes ask the process itself, behind the proxy
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if HTTPS_ONLY else 0
# whether other names of the domain speak https is not this platform's to promise
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# No script that did not come from a file of ours. The shell's Alpine compiles the expressions in its attributes, which
# is 'unsafe-eval'; attributes and dialogs are styled in place, which is 'unsafe-inline' for styles alone.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
    }
}
CSRF_FAILURE_VIEW = "messages.problems.csrf_failed"
# believed from TRUSTED_PROXIES only: the first middleware takes them away from everybody else
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
USE_X_FORWARDED_HOST = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "messages.problems.OneRepresentation",
    "EXCEPTION_HANDLER": "messages.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}

# A body larger than this is refused whatever a route allows; routes choose a limit of their own below it.
MAX_BODY_BYTES = 32 * 1024 * 1024

# The queue. django-q2 gives processes and scheduling; which message is next is decided by the lane table alone.
BROKER_URL = read("BROKER_URL", environment.broker, "")
LANES_CLUSTER = "lanes"
PUMP_BUDGET_SECONDS = (
    15  # a pump ends after it; < Q_CLUSTER timeout together with the longest call an endpoint may have
)
PUMP_MAX_LANES = 64
PUMP_LINGER_SECONDS = 1.0
LEASE_SECONDS = 30
# After so long a cluster is taken for one that hangs: workers show themselves every three seconds, a pump each second,
# and a monitor as soon as a task has ended. An ordinary task may take its whole time-out without a sign.
STALE_SECONDS = 30
TASKS_STALE_SECONDS = 330
Q_CLUSTER = {
    "name": "integration-platform",
    "broker_class": "messages.broker.RedisTaskBroker" if BROKER_URL else "messages.broker.DatabaseTaskBroker",
    "orm": "default",
    "workers": 1,
    "queue_limit": 4,
    "timeout": 300,
    "retry": 360,
    "max_attempts": 5,
    "ack_failures": True,
    "save_limit": -1,
    "poll": 0.5,
    "catch_up": False,
    "recycle": 500,
    "log_level": "WARNING",
    "ALT_CLUSTERS": {
        LANES_CLUSTER: {
            "broker_class": "messages.broker.LaneBroker",
            "workers": QUEUE_WORKERS,
            "queue_limit": QUEUE_WORKERS + 1,
            "timeout": 180,
            "retry": 240,
            "poll": 0.1,
            "scheduler": False,
            "log_level": "WARNING",
        }
    },
}
if BROKER_URL:
    Q_CLUSTER["redis"] = BROKER_URL

UNFOLD = {
    "SITE_TITLE": "Integration platform",
    "SITE_HEADER": "Integration platform",
    "SITE_SUBHEADER": "All times are UTC",
    "SITE_SYMBOL": "hub",
    "SITE_URL": None,  # there is no site beside the admin
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [
        lambda request: static("connectors/admin.css"),
        lambda request: static("connectors/configuration.css"),
        lambda request: static("messages/story.css"),
    ],
    "SCRIPTS": [lambda request: static("connectors/admin.js"), lambda request: static("messages/copy.js")],
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("connectors/favicon.svg")}
    ],
    "DASHBOARD_CALLBACK": "messages.admin.home.home",
    "LOGIN": {"form": "integration_platform.login.CountedLoginForm"},
    "COMMAND": {"search_callback": "messages.admin.palette.found"},
    "SIDEBAR": SIDEBAR,
}

# Django logs each of these refusals, most with a traceback
CAUSED_BY_OUTSIDERS = (
    "csrf",
    "BadRequest",
    "DisallowedHost",
    "RequestDataTooBig",
    "SuspiciousFileOperation",
    "SuspiciousMultipartForm",
    "SuspiciousOperation",
    "SuspiciousSession",
    "TooManyFieldsSent",
    "TooManyFilesSent",
)
LOG_FILES = read("LOG_FILES", environment.boolean, "1" if environment.started_here() else "0")
LOG_HANDLERS: dict[str, dict[str, Any]] = {"console": {"class": "logging.StreamHandler", "formatter": "line"}}
if LOG_FILES:
    LOG_HANDLERS["file"] = {
        "()": "integration_platform.logs.SharedFile",
        "formatter": "line",
        "filename": environment.log_file(DATA_DIR),
        "max_bytes": 10 * 1024 * 1024,
        "kept": 5,
    }
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "integration_platform.logs.LineFormatter"}},
    "filters": {
        "unforeseen": {"()": "integration_platform.logs.UnforeseenOnly"},
        "outsiders": {"()": "integration_platform.logs.Outsiders"},
    },
    "handlers": LOG_HANDLERS,
    "root": {"handlers": list(LOG_HANDLERS), "level": "WARNING"},
    "loggers": {
        "integration_platform": {"level": "INFO"},
        "messages": {"level": "INFO"},
        "connectors": {"level": "INFO"},
        "django.request": {"level": "ERROR", "filters": ["unforeseen"]},
        **{f"django.security.{name}": {"filters": ["outsiders"]} for name in CAUSED_BY_OUTSIDERS},
    },
}
