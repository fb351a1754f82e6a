"""One integration point: source application → endpoint, and everything that happens between."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from connectors import retries, schemas
from connectors.choices import OnDeadline, OnFailure, OnUnknown, Ordering, Patterns, Reply
from connectors.expressions import InvalidExpression
from connectors.models.application import Application
from connectors.models.base import ConfiguredManager, Named
from connectors.models.endpoint import Endpoint
from connectors.models.fields import ExactJSONField
from connectors.models.mapping import Mapping
from connectors.paths import PathError
from connectors.readers import compile_reader

MAX_SYNC_DEADLINE_SECONDS = 60


class Route(Named):
    """What may come in, what is made of it, where it goes, in which order, and what happens when that fails."""

    source = models.ForeignKey(Application, models.PROTECT, related_name="routes", verbose_name="source application")
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="routes")
    patterns = models.CharField(max_length=20, choices=Patterns.choices, default=Patterns.ASYNC)
    schema = ExactJSONField(
        "JSON Schema", null=True, blank=True, help_text="2020-12, for what arrives. Empty: anything."
    )
    force_list = ExactJSONField(
        null=True,
        blank=True,
        help_text='Elements of XML and form fields that are lists even where there is one: ["line", "note"]',
    )
    mapping = models.ForeignKey(
        Mapping,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="routes",
        help_text="Empty: the body goes on unchanged.",
    )
    reply_mapping = models.ForeignKey(
        Mapping,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="reply_routes",
        help_text="Makes the response from {status_code, headers, body}.",
    )
    reply = models.CharField(max_length=10, choices=Reply.choices, default=Reply.DOCUMENT)
    ordering = models.CharField(max_length=10, choices=Ordering.choices, default=Ordering.ROUTE)
    ordering_key = models.TextField(blank=True, help_text="Path in the payload, or =expression, e.g. customer.id")
    idempotency_key = models.TextField(blank=True, help_text="Path in the payload, or =expression. Optional.")
    search_keys = ExactJSONField(
        null=True, blank=True, help_text='What support staff search by: {"order": "id", "email": "customer.email"}'
    )
    on_failure = models.CharField(max_length=10, choices=OnFailure.choices, default=OnFailure.BLOCK)
    max_attempts = models.PositiveSmallIntegerField(
        default=8, validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    first_delay_seconds = models.FloatField(default=5, validators=[MinValueValidator(0), MaxValueValidator(86_400)])
    factor = models.FloatField(default=3, validators=[MinValueValidator(1), MaxValueValidator(100)])
    max_delay_seconds = models.FloatField(default=3600, validators=[MinValueValidator(0), MaxValueValidator(604_800)])
    statuses = ExactJSONField(
        null=True,
        blank=True,
        help_text="What the destination means by a status where it is not the usual (2xx success; 408, 425, 429, 5xx "
        'passing; all others permanent): {"success": [409], "passing": [404], "permanent": ["5xx"]}',
    )
    on_unknown = models.CharField(
        max_length=10,
        choices=OnUnknown.choices,
        default=OnUnknown.RETRY,
        help_text="When a message was sent and no answer came, or its worker died meanwhile: "
        "the destination may have it, or not.",
    )
    sync_deadline_seconds = models.FloatField(
        default=8, validators=[MinValueValidator(0.1), MaxValueValidator(MAX_SYNC_DEADLINE_SECONDS)]
    )
    on_deadline = models.CharField(max_length=10, choices=OnDeadline.choices, default=OnDeadline.TIMEOUT)
    max_body_bytes = models.PositiveIntegerField(default=1_048_576, validators=[MinValueValidator(1)])
    retention_days = models.PositiveIntegerField(
        default=30, validators=[MinValueValidator(1), MaxValueValidator(36_500)]
    )
    enabled = models.BooleanField(default=True, help_text="A disabled route answers 404; what it accepted goes on.")
    paused = models.BooleanField(
        default=False, help_text="Accepts asynchronous messages and holds them in their lanes."
    )

    objects = ConfiguredManager()

    @property
    def allowed_patterns(self) -> tuple[str, ...]:
        return tuple(self.patterns.split(","))

    @property
    def retry_policy(self) -> retries.RetryPolicy:
        return retries.RetryPolicy(
            max_attempts=self.max_attempts,
            first_delay_seconds=self.first_delay_seconds,
            factor=self.factor,
            max_delay_seconds=self.max_delay_seconds,
        )

    def clean(self) -> None:
        errors: dict[str, str] = {}
        if self.ordering == Ordering.KEY and not self.ordering_key:
            errors["ordering_key"] = "Ordering by key needs a path, e.g. customer.id."
        for field in ("ordering_key", "idempotency_key"):
            if problem := _reader_problem(getattr(self, field)):
                errors[field] = problem
        if self.search_keys is not None and (problem := _search_keys_problem(self.search_keys)):
            errors["search_keys"] = problem
        if self.force_list is not None and not _is_list_of_names(self.force_list):
            errors["force_list"] = "It is a list of names."
        if self.statuses is not None:
            try:
                retries.compile_statuses(self.statuses)
            except ValueError as error:
                errors["statuses"] = str(error)
        if self.schema is not None:
            try:
                schemas.compile_schema(self.schema)
            except schemas.InvalidSchema as error:
                errors["schema"] = str(error)
        if self.max_body_bytes is not None and self.max_body_bytes > settings.MAX_BODY_BYTES:
            errors["max_body_bytes"] = f"At most {settings.MAX_BODY_BYTES} bytes."
        if errors:
            raise ValidationError(errors)


def _reader_problem(text: str) -> str | None:
    if not text:
        return None
    try:
        compile_reader(text)
    except (PathError, InvalidExpression) as error:
        return str(error)
    return None


def _is_list_of_names(names: Any) -> bool:
    return isinstance(names, list) and bool(names) and all(isinstance(name, str) and name for name in names)


def _search_keys_problem(keys: Any) -> str | None:
    if not isinstance(keys, dict) or not all(isinstance(path, str) and path for path in keys.values()):
        return "Search keys are an object of names and paths."
    for name, path in keys.items():
        if not name.replace("_", "").replace("-", "").isalnum() or len(name) > 50:
            return f"{name!r}: a name has letters, digits, - and _ only, at most 50."
        if problem := _reader_problem(path):
            return f"{name}: {problem}"
    return None
