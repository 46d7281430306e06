"""Settings, read top to bottom. What differs between machines comes from the environment (see README)."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

from portfolio_site.kernel.env import (
    env_bool,
    env_choice,
    env_int,
    env_list,
    env_path,
    env_secret,
    env_str,
)
from portfolios.imports.feeds.addresses import addresses_read

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
VAR_DIR.mkdir(exist_ok=True)

DEBUG = env_bool("DEBUG", default=False)

_secret_key = env_secret("SECRET_KEY")
if not _secret_key:
    if not DEBUG:
        raise ImproperlyConfigured("SECRET_KEY or SECRET_KEY_FILE must be set when DEBUG is off.")
    _secret_key = "only-for-the-demo-and-the-tests-never-for-production-0123456789"  # noqa: S105
SECRET_KEY = _secret_key

ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "portfolio_site.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_filters",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "portfolios",
    "analytics",
]

MIDDLEWARE = [
    "portfolio_site.kernel.requests.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "portfolio_site.urls"
WSGI_APPLICATION = "portfolio_site.wsgi.application"
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
            "libraries": {"tables": "portfolio_site.kernel.table_tags"},
        },
    },
]

# --- database -------------------------------------------------------------------------------------
DATABASE_URL = env_str("DATABASE_URL", f"sqlite:///{VAR_DIR / 'db.sqlite3'}")
try:
    DATABASES = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True)}
except (ValueError, KeyError) as error:
    raise ImproperlyConfigured(f"DATABASE_URL is malformed: {error}") from error
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Writers queue at BEGIN instead of failing half way; readers never wait (WAL).
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=60000; "
            "PRAGMA recursive_triggers=ON; PRAGMA cache_size=-64000;"
        ),
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- decisions ------------------------------------------------------------------------------------
# The switch for all automatic approvals; policies say which ones.
AUTOMATIC_APPROVAL = env_bool("AUTOMATIC_APPROVAL", default=False)
# Whether a price entered by hand waits for a second person; portfolios have this in their policy.
TWO_PERSON_PRICES = env_bool("TWO_PERSON_PRICES", default=False)

# --- cache and broker -----------------------------------------------------------------------------
# Seconds. First the task is told to stop, then its process is ended.
CHUNK_TIME_LIMIT = env_int("CHUNK_TIME_LIMIT", 1800, minimum=1)
SECONDS_TO_GIVE_UP = 60
CELERY_TASK_SOFT_TIME_LIMIT = max(2 * 3600, CHUNK_TIME_LIMIT)
CELERY_TASK_TIME_LIMIT = CELERY_TASK_SOFT_TIME_LIMIT + SECONDS_TO_GIVE_UP
# Longer than the longest task, or one that still runs would be delivered a second time.
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"visibility_timeout": CELERY_TASK_TIME_LIMIT + 600}
REDIS_URL = env_str("REDIS_URL", "")
if REDIS_URL:
    if not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured(
            "REDIS_URL must start with redis://, rediss:// or unix://."
        )  # it may hold a password
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
    CELERY_BROKER_URL = REDIS_URL
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    _broker_dir = VAR_DIR / "broker"
    for _folder in ("messages", "processed", "control"):
        (_broker_dir / _folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_URL = "filesystem://localhost"
    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        "data_folder_in": str(_broker_dir / "messages"),
        "data_folder_out": str(_broker_dir / "messages"),
        "processed_folder": str(_broker_dir / "processed"),
        "control_folder": str(_broker_dir / "control"),
        "store_processed": False,
    }

CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# In kilobytes; a worker's process that has grown beyond it is replaced after its task.
CELERY_WORKER_MAX_MEMORY_PER_CHILD = env_int("WORKER_MAX_MEMORY_MB", 1000, minimum=1) * 1024
# A chunk in the middle ends and commits; its message comes again and finds it done.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
# One worker may serve both queues; several may share them out (docs/scale.md).
COMPUTE_QUEUE, INTERACTIVE_QUEUE = "compute", "interactive"
CELERY_TASK_QUEUES = [Queue(name, Exchange(name), name) for name in (INTERACTIVE_QUEUE, COMPUTE_QUEUE)]
CELERY_TASK_DEFAULT_QUEUE = INTERACTIVE_QUEUE
CELERY_TASK_ROUTES = {
    name: {"queue": COMPUTE_QUEUE}
    for name in (
        "analytics.chunk_compute",
        "analytics.sweep_proposals",
        "portfolios.check_data",
        "portfolios.check_audit_trail",
    )
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "portfolio_site.schedules:CodeDefaultsScheduler"

# --- users, language, static files ----------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
USE_THOUSAND_SEPARATOR = True

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
# Plotly's script comes with its package; importing the package for its place would take half a second.
PLOTLY = Path(next(iter(find_spec("plotly").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
STATICFILES_DIRS = [BASE_DIR / "static", ("plotly", PLOTLY / "package_data")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG
MEDIA_ROOT = VAR_DIR / "media"

# --- security -------------------------------------------------------------------------------------
X_FRAME_OPTIONS = "DENY"
# Charts and Redoc write styles of their own and draw their pictures from data; nothing comes from elsewhere.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "worker-src": [SELF, "blob:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
if not DEBUG:
    SECURE_SSL_REDIRECT = env_bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_HSTS_SECONDS = env_int("SECURE_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# --- REST -----------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        # First the one that can challenge: anonymous callers get 401, not 403.
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "portfolio_site.kernel.pagination.NumberedPages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.URLPathVersioning",
    "ALLOWED_VERSIONS": ["v1"],
    "DEFAULT_VERSION": "v1",
    "EXCEPTION_HANDLER": "portfolio_site.kernel.errors.problem_handler",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Portfolio Site",
    "DESCRIPTION": "Portfolios measured, explained and rebalanced, with an audit trail that can be verified.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "CostMethodEnum": "portfolios.models.CostMethod",
        "EventStatusEnum": "analytics.models.EventStatus",
        "FlowTimingEnum": "portfolios.models.portfolios.FlowTiming",
        "PortfolioStatusEnum": "portfolios.models.PortfolioStatus",
        "RebalanceModeEnum": "analytics.models.RebalanceMode",
        "RecommendationStatusEnum": "analytics.api.summary_serializers.RECOMMENDATION_STATUSES",
        "RunSectionEnum": "analytics.services.planning.SECTIONS",
        "RunStatusEnum": "analytics.models.RunStatus",
        "TransactionKindEnum": "portfolios.models.TransactionKind",
        "TransactionStatusEnum": "portfolios.models.TransactionStatus",
    },
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "portfolio_site.kernel.errors.document_problems",
    ],
}

# --- logging --------------------------------------------------------------------------------------
LOG_FORMAT = env_choice("LOG_FORMAT", "text", ("text", "json"))
LOG_LEVEL = env_choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "portfolio_site.kernel.logs.RequestIdFilter"}},
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
        "json": {"()": "portfolio_site.kernel.logs.JsonFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["request_id"],
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        # It warns of retries with the whole address, in which a key may stand.
        "urllib3": {"level": "ERROR"},
    },
}

# --- the product ----------------------------------------------------------------------------------
IMPORT_MAX_BYTES = env_int("IMPORT_MAX_BYTES", 100_000_000, minimum=1)
# Web and worker must see the same folder; nothing in it is ever served.
IMPORT_UPLOAD_DIR = env_path("IMPORT_UPLOAD_DIR", VAR_DIR / "uploads")
IMPORT_UPLOAD_DAYS = env_int("IMPORT_UPLOAD_DAYS", 7, minimum=1)
ARCHIVE_DIR = env_path("ARCHIVE_DIR", VAR_DIR / "archive")
ANALYTICS_RETENTION_YEARS = env_int("ANALYTICS_RETENTION_YEARS", 0, minimum=0)
FX_MAX_CARRY_DAYS = env_int("FX_MAX_CARRY_DAYS", 7)
PRICE_STALE_DAYS = env_int("PRICE_STALE_DAYS", 10)
PRICE_FEEDS = addresses_read(
    "PRICE_FEEDS", env_list("PRICE_FEEDS"), "PRICE_FEED_SYMBOLS", env_list("PRICE_FEED_SYMBOLS")
)
# At least the last stored day is asked for again, so that an empty answer always means something is wrong.
PRICE_FEED_OVERLAP_DAYS = env_int("PRICE_FEED_OVERLAP_DAYS", 5, minimum=1)
PRICE_FEED_TIMEOUT = env_int("PRICE_FEED_TIMEOUT", 30, minimum=1)
PRICE_FEED_ATTEMPTS = env_int("PRICE_FEED_ATTEMPTS", 4, minimum=1)
PRICE_FEED_BACKOFF = env_int("PRICE_FEED_BACKOFF", 1)
DEFAULT_RISK_FREE = env_str("DEFAULT_RISK_FREE", "DTB3")
MARKET_ASSET = env_str("MARKET_ASSET", "SPX")
AUDIT_ANCHOR_FILE = env_path("AUDIT_ANCHOR_FILE", VAR_DIR / "audit-anchors.jsonl")
