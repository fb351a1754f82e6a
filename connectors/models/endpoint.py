"""Where and how we call an application."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from connectors import auth, formats, tls
from connectors.choices import EndpointAuth, Format, Method, RatePeriod
from connectors.headers import check_header
from connectors.masking import REDACTED, hide, secret_parameters
from connectors.models.application import Application
from connectors.models.base import ConfiguredManager, Named
from connectors.models.fields import DecryptionFailed, EncryptedTextField, ExactJSONField
from connectors.protection import CallLimits, CircuitPolicy
from connectors.templates import InvalidTemplate, RequestTemplate, compile_template

MAX_TIMEOUT_SECONDS = 120
MAX_CIRCUIT_SECONDS = 3600
MAX_CONCURRENT = 1000
WITH_SECRETS = ("headers", "query_parameters")
PERIOD_SECONDS: dict[str, float] = {RatePeriod.SECOND: 1, RatePeriod.MINUTE: 60, RatePeriod.HOUR: 3600}


class Endpoint(Named):
    """One address of a destination application: URL, method, auth, limits."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="endpoints")
    url = models.CharField(
        "URL",
        max_length=2000,
        help_text="Path and query may hold values of the outgoing message: https://erp.example.com/orders/{order.id}",
    )
    method = models.CharField(max_length=10, choices=Method.choices, default=Method.POST)
    format = models.CharField(
        max_length=10,
        choices=Format.choices,
        default=Format.JSON,
        help_text="Of what a mapping makes. XML: its only top-level field names the root element, @name an attribute, "
        "#text the text beside them. Without a mapping the body goes on unchanged.",
    )
    query_parameters = ExactJSONField(
        null=True, blank=True, help_text='Added to the URL, e.g. {"company": "7", "ref": "{id}"}.'
    )
    headers = ExactJSONField(
        null=True, blank=True, help_text='Sent with every call, e.g. {"X-Tenant": "main", "X-Order": "{order.id}"}.'
    )
    secret_values = EncryptedTextField(blank=True, editable=False)
    """A JSON object: column, name, value; of headers and query that are secret by their names. See `hide`."""
    auth_scheme = models.CharField("authentication", max_length=40, choices=EndpointAuth.choices, default="none")
    auth_parameters = ExactJSONField(null=True, blank=True, editable=False)  # what is not secret: header, username …
    auth_secrets = EncryptedTextField(blank=True, editable=False)  # a JSON object: token, key, password …
    tls_ca = models.TextField(
        "authority",
        blank=True,
        help_text="PEM. Only what it has signed is trusted then. Empty: the authorities that everybody knows.",
    )
    tls_certificate = models.TextField(
        "client certificate", blank=True, help_text="PEM, with the chain that belongs to it. Shown to the destination."
    )
    tls_key = EncryptedTextField(blank=True, editable=False)
    timeout_seconds = models.FloatField(
        default=10,
        validators=[MinValueValidator(0.1), MaxValueValidator(MAX_TIMEOUT_SECONDS)],
        help_text="For the whole call, from name look-up to the last byte.",
    )
    paused = models.BooleanField(default=False, help_text="Messages wait in their lanes while it is set.")

    circuit_enabled = models.BooleanField(
        "circuit breaker", default=True, help_text="Stops calling for a while when too many calls failed."
    )
    circuit_failure_share = models.FloatField(
        "failure share",
        default=0.5,
        validators=[MinValueValidator(0.01), MaxValueValidator(1)],
        help_text="It opens when this share of the calls failed, 0.01 to 1: 5xx, 429, time-outs, connections.",
    )
    circuit_minimum_calls = models.PositiveIntegerField(
        "minimum calls", default=20, validators=[MinValueValidator(1)], help_text="Fewer calls say nothing."
    )
    circuit_window_seconds = models.FloatField(
        "window, seconds",
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_CIRCUIT_SECONDS)],
        help_text="Calls of so long are counted.",
    )
    circuit_open_seconds = models.FloatField(
        "open, seconds",
        default=30,
        validators=[MinValueValidator(0.1), MaxValueValidator(MAX_CIRCUIT_SECONDS)],
        help_text="So long after it opened one call is tried: the circuit closes if the destination answers.",
    )

    max_concurrent = models.PositiveIntegerField(
        "calls at once",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_CONCURRENT)],
        help_text="How many calls may be out, of all processes and machines together. Empty: as many as wanted.",
    )
    rate_calls = models.PositiveIntegerField(
        "calls",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How many calls may begin within the period. Empty: as many as wanted.",
    )
    rate_per = models.CharField("per", max_length=10, choices=RatePeriod.choices, default=RatePeriod.SECOND)

    objects = ConfiguredManager()

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.hide()
        super().save(*args, **kwargs)

    def hide(self) -> None:
        """Moves values that are secret by their names out of the columns that are shown; REDACTED stands there then.

        Those that are the message's own, {order.token}, stay. Where what is stored cannot be read it is kept, unless
        new values are given.
        """
        kept: dict[str, dict[str, str]] = {}
        try:
            kept = self._secret_values()
        except DecryptionFailed:
            if not any(_secrets_in(getattr(self, column)) for column in WITH_SECRETS):
                return
        hidden = {}
        for column in WITH_SECRETS:
            value = getattr(self, column)
            if isinstance(value, dict):
                constant = {name: text for name, text in value.items() if _is_constant(text)}
                shown, hidden[column] = hide(constant, kept.get(column, {}))
                setattr(self, column, {**value, **shown})
        found = {column: values for column, values in hidden.items() if values}
        self.secret_values = formats.dump(found).decode() if found else ""

    def _secret_values(self) -> dict[str, dict[str, str]]:
        return formats.parse(self.secret_values.encode()) if self.secret_values else {}

    def read(self, column: str) -> dict[str, str]:
        """Headers or query parameters with their secret values: for the catalogue, never for showing.

        Raises DecryptionFailed.
        """
        return {**(getattr(self, column) or {}), **self._secret_values().get(column, {})}

    def read_secrets(self) -> tuple[str, ...]:
        """All secret values of headers and query. Raises DecryptionFailed."""
        return tuple(value for values in self._secret_values().values() for value in values.values())

    def clean(self) -> None:
        errors: dict[str, str] = {}
        self.hide()
        if problem := url_problem(self.url):
            errors["url"] = problem
        for column, check in (("headers", headers_problem), ("query_parameters", query_problem)):
            if problem := self._problem(column, check):
                errors[column] = problem
        try:
            if tls.client_context(self.tls_ca, self.tls_certificate, self.tls_key) and self.url.startswith("http:"):
                raise tls.InvalidTls("ca" if self.tls_ca else "certificate", "It needs an address with https.")
        except DecryptionFailed:
            errors["tls_certificate"] = "The stored key cannot be read; give it anew."
        except tls.InvalidTls as error:
            errors["tls_certificate" if error.field == "key" else f"tls_{error.field}"] = str(error)
        if errors:
            raise ValidationError(errors)

    def _problem(self, column: str, check: Callable[[Any], str | None]) -> str | None:
        """What is wrong with headers or query parameters, secret values included; it repeats none of them."""
        shown = getattr(self, column)
        if shown is None:
            return None
        try:
            whole = self.read(column) if isinstance(shown, dict) else shown
        except DecryptionFailed:  # what cannot be read is kept
            return check(shown)
        missing = [name for name, value in whole.items() if value == REDACTED] if isinstance(whole, dict) else []
        return f"{missing[0]!r}: No value is stored for it; give it anew." if missing else check(whole)

    @property
    def certificate_ends_at(self) -> datetime | None:
        """When the destination stops taking our certificate; None without one."""
        return tls.ends_at(self.tls_certificate) if self.tls_certificate else None

    @property
    def circuit_policy(self) -> CircuitPolicy:
        return CircuitPolicy(
            enabled=self.circuit_enabled,
            failure_share=self.circuit_failure_share,
            minimum_calls=self.circuit_minimum_calls,
            window_seconds=self.circuit_window_seconds,
            open_seconds=self.circuit_open_seconds,
        )

    @property
    def call_limits(self) -> CallLimits:
        return CallLimits(self.max_concurrent, self.rate_calls, PERIOD_SECONDS[self.rate_per])

    def read_auth_secrets(self) -> dict[str, Any]:
        return formats.parse(self.auth_secrets.encode()) if self.auth_secrets else {}

    def set_auth(self, scheme: str, parameters: dict[str, Any]) -> None:
        """Takes a scheme and all its parameters into the row (not saved)."""
        public, hidden = dict(parameters), {}
        for parameter in auth.SCHEMES[scheme].parameters:
            value = public.get(parameter.name)
            if parameter.secret and value is not None:
                hidden[parameter.name] = public.pop(parameter.name)
            elif parameter.pairs and isinstance(value, dict):
                public[parameter.name], secrets = hide(value, {})
                hidden.update({parameter.name: secrets} if secrets else {})
        self.auth_scheme = scheme
        self.auth_parameters = public or None
        self.auth_secrets = formats.dump(hidden).decode() if hidden else ""

    def stored_auth(self) -> dict[str, Any]:
        """As `read_auth`, without the secrets where they cannot be read: for whoever gives new ones."""
        try:
            return self.read_auth()
        except DecryptionFailed:
            return dict(self.auth_parameters or {})

    def read_auth(self) -> dict[str, Any]:
        """All parameters of the scheme, secrets included: for the catalogue and for comparing, never for showing.

        Raises DecryptionFailed.
        """
        whole = dict(self.auth_parameters or {})
        for name, value in self.read_auth_secrets().items():
            whole[name] = {**whole.get(name, {}), **value} if isinstance(value, dict) else value
        return whole


def url_problem(url: str) -> str | None:
    """What is wrong with an endpoint's URL as text; whether its address may be called is judged at each call."""
    try:
        parts = urlsplit("x".join(compile_template(url).literals))
        port = parts.port
        RequestTemplate(url, {}, {})
    except InvalidTemplate as error:
        return str(error)
    except ValueError as error:
        return f"This is not a URL: {error}."
    if parts.scheme not in ("http", "https"):
        return "The URL has to begin with http:// or https://."
    if not parts.hostname:
        return "The URL has no host."
    if parts.username is not None or parts.password is not None:
        return "The URL must not hold a user name or a password; use the authentication fields."
    if parts.fragment:
        return "The URL must not have a fragment (#…); it is never sent."
    if named := secret_parameters(url):
        return f"Put {', '.join(named)} into the query parameters: the URL is shown, and stored as it is."
    if port == 0 or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        return "The URL holds a character or a port that cannot be sent."
    return None


def headers_problem(headers: Any) -> str | None:
    """What is wrong with an endpoint's headers: an object of names and texts that may be sent."""
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        return "Headers are an object of names and texts."
    for name, value in headers.items():
        if problem := check_header(name, value) or template_problem(value):
            return f"{name!r}: {problem}"
    return None


def _secrets_in(named: Any) -> dict[str, str]:
    """The secret values that are given."""
    if not isinstance(named, dict):
        return {}
    return hide({name: text for name, text in named.items() if _is_constant(text)}, {})[1]


def _is_constant(text: Any) -> bool:
    """Whether it holds no value of the message."""
    try:
        return isinstance(text, str) and not compile_template(text).paths
    except InvalidTemplate:
        return False


def query_problem(query: Any) -> str | None:
    """What is wrong with an endpoint's query parameters: an object of names and texts."""
    if not isinstance(query, dict) or not all(isinstance(value, str) for value in query.values()):
        return "Query parameters are an object of names and texts."
    for name, value in query.items():
        if problem := template_problem(value):
            return f"{name!r}: {problem}"
    return "A query parameter has a name." if "" in query else None


def template_problem(text: str) -> str | None:
    try:
        compile_template(text)
    except InvalidTemplate as error:
        return str(error)
    return None
