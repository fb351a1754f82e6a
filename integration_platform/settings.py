"""The platform's settings. Section 2 of the contract lists the environment variables; `environment.py` reads them."""

import os
from pathlib import Path

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
ALLOWED_HOSTS = read("ALLOWED_HOSTS", environment.words, "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = read("CSRF_TRUSTED_ORIGINS", environment.words, "")
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
    "integration_platform.proxies.TrustedProxiesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
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
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # served from the packages themselves: no build step, no collectstatic
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
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
    "SITE_SYMBOL": "hub",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [lambda request: static("connectors/admin.css")],
    "SIDEBAR": SIDEBAR,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "integration_platform.logs.LineFormatter"}},
    "filters": {"unforeseen": {"()": "integration_platform.logs.UnforeseenOnly"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "integration_platform": {"level": "INFO"},
        "messages": {"level": "INFO"},
        "connectors": {"level": "INFO"},
        "django.request": {"level": "ERROR", "filters": ["unforeseen"]},
    },
}
