"""Where and how we call an application."""

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from connectors import formats
from connectors.choices import EndpointAuth, Format, Method
from connectors.headers import check_header
from connectors.models.application import Application
from connectors.models.base import ConfiguredManager, Named
from connectors.models.fields import EncryptedTextField, ExactJSONField

MAX_TIMEOUT_SECONDS = 120

# What each scheme needs, secrets marked with True. The names are those of the configuration file.
AUTH_PARAMETERS: dict[str, dict[str, bool]] = {
    EndpointAuth.NONE: {},
    EndpointAuth.API_KEY: {"header": False, "key": True},
    EndpointAuth.BEARER: {"token": True},
    EndpointAuth.BASIC: {"username": False, "password": True},
}


class Endpoint(Named):
    """One address of a destination application: URL, method, auth, limits."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="endpoints")
    url = models.CharField("URL", max_length=2000)
    method = models.CharField(max_length=10, choices=Method.choices, default=Method.POST)
    format = models.CharField(
        max_length=10,
        choices=Format.choices,
        default=Format.JSON,
        help_text="Of what a mapping makes. XML: its only top-level field names the root element, @name an attribute, "
        "#text the text beside them. Without a mapping the body goes on unchanged.",
    )
    headers = ExactJSONField(null=True, blank=True, help_text='Sent with every call, e.g. {"X-Tenant": "main"}.')
    auth_scheme = models.CharField("authentication", max_length=40, choices=EndpointAuth.choices, default="none")
    auth_parameters = ExactJSONField(null=True, blank=True, editable=False)  # what is not secret: header, username
    auth_secrets = EncryptedTextField(blank=True, editable=False)  # a JSON object: token, key or password
    timeout_seconds = models.FloatField(
        default=10,
        validators=[MinValueValidator(0.1), MaxValueValidator(MAX_TIMEOUT_SECONDS)],
        help_text="For the whole call, from name look-up to the last byte.",
    )
    paused = models.BooleanField(default=False, help_text="Messages wait in their lanes while it is set.")

    objects = ConfiguredManager()

    def clean(self) -> None:
        errors: dict[str, str] = {}
        if problem := url_problem(self.url):
            errors["url"] = problem
        if self.headers is not None and (problem := headers_problem(self.headers)):
            errors["headers"] = problem
        if errors:
            raise ValidationError(errors)

    def read_auth_secrets(self) -> dict[str, str]:
        return formats.parse(self.auth_secrets.encode()) if self.auth_secrets else {}

    def set_auth(self, scheme: str, parameters: dict[str, str]) -> None:
        """Takes a scheme and all its parameters into the row (not saved)."""
        secret_names = {name for name, secret in AUTH_PARAMETERS[scheme].items() if secret}
        hidden = {name: value for name, value in parameters.items() if name in secret_names}
        public = {name: value for name, value in parameters.items() if name not in secret_names}
        self.auth_scheme = scheme
        self.auth_parameters = public or None
        self.auth_secrets = formats.dump(hidden).decode() if hidden else ""

    def read_auth(self) -> dict[str, str]:
        """All parameters of the scheme, secrets included: for the catalogue and for comparing, never for showing."""
        return {**(self.auth_parameters or {}), **self.read_auth_secrets()}


def url_problem(url: str) -> str | None:
    """What is wrong with an endpoint's URL as text; whether its address may be called is judged at each call."""
    try:
        parts = urlsplit(url)
        port = parts.port
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
    if port == 0 or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        return "The URL holds a character or a port that cannot be sent."
    return None


def headers_problem(headers: Any) -> str | None:
    """What is wrong with an endpoint's headers: an object of names and texts that may be sent."""
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        return "Headers are an object of names and texts."
    for name, value in headers.items():
        if problem := check_header(name, value):
            return f"{name!r}: {problem}"
    return None
