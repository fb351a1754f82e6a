"""Endpoints: where and how we call an application."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from connectors.admin.base import NamedAdmin, links
from connectors.admin.pausing import Pausable
from connectors.headers import check_header
from connectors.models import Endpoint
from connectors.models.endpoint import AUTH_PARAMETERS
from connectors.networks import refusal

HELP = {
    "header": "The header that carries the key. Empty: X-API-Key.",
    "key": "",
    "token": "Sent as Authorization: Bearer …",
    "username": "",
    "password": "",
}
SECRETS = ("key", "token", "password")
SENT_AS_THEY_ARE = ("key", "token")
"""Secrets that are a header's value; a password is encoded and may hold any letters."""
USED_WHERE = {
    name: " || ".join(f"auth_scheme == '{scheme}'" for scheme, names in AUTH_PARAMETERS.items() if name in names)
    for name in HELP
}


def secret_field(label: str) -> forms.CharField:
    """Never filled in by the platform nor by a browser."""
    widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
    return forms.CharField(required=False, strip=False, label=label, widget=widget)


class EndpointForm(forms.ModelForm):
    """Secrets are write-only: an empty field keeps what is stored for the same scheme."""

    header = forms.CharField(required=False, label="Header", widget=UnfoldAdminTextInputWidget)
    key = secret_field("API key")
    token = secret_field("Bearer token")
    username = forms.CharField(required=False, label="User name", widget=UnfoldAdminTextInputWidget)
    password = secret_field("Password")

    class Meta:
        model = Endpoint
        fields = ("name", "slug", "application", "url", "method", "format", "headers", "timeout_seconds", "auth_scheme")
        labels = {"timeout_seconds": "Time-out, seconds"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = self.instance.read_auth() if self.instance.pk else {}
        for name, help_text in HELP.items():
            if name not in self.fields:
                continue
            self.fields[name].help_text = help_text
            if name not in SECRETS:
                self.fields[name].initial = stored.get(name, "")
            else:
                state = "Set; leave it empty to keep it." if stored.get(name) else "Not set."
                self.fields[name].help_text = f"{state} {help_text}".strip()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        scheme = cleaned.get("auth_scheme", "none")
        same = self.instance.pk and self.initial.get("auth_scheme") == scheme
        stored = self.instance.read_auth() if same else {}
        parameters: dict[str, str] = {}
        for name, is_secret in AUTH_PARAMETERS[scheme].items():
            value = cleaned.get(name) or (stored.get(name, "") if is_secret else "")
            if not value and name == "header":
                value = "X-API-Key"
            if not value:
                self.add_error(name, "This authentication needs it.")
            parameters[name] = value
        self._check_headers(parameters)
        self.auth_parameters = parameters
        return cleaned

    def _check_headers(self, parameters: dict[str, str]) -> None:
        header = parameters.get("header", "Authorization")
        if problem := check_header(header, ""):
            self.add_error("header", problem)
            return
        for name in SENT_AS_THEY_ARE:
            if problem := check_header(header, parameters.get(name, "")):
                self.add_error(name, problem)

    def save(self, commit: bool = True) -> Endpoint:
        endpoint: Endpoint = super().save(commit=False)
        endpoint.set_auth(endpoint.auth_scheme, self.auth_parameters)
        if commit:
            endpoint.save()
        return endpoint


@admin.register(Endpoint)
class EndpointAdmin(Pausable, NamedAdmin):
    form = EndpointForm
    list_display = ("__str__", "slug", "application", "method", "url", "state", "changed")
    list_filter = ("application", "auth_scheme", "paused")
    list_select_related = ("application",)
    search_fields = ("slug", "name", "url")
    autocomplete_fields = ("application",)
    conditional_fields = USED_WHERE
    fieldsets = (
        (None, {"fields": ("name", "slug", "application")}),
        ("Call", {"fields": ("method", "url", "format", "headers", "timeout_seconds")}),
        ("Authentication", {"fields": ("auth_scheme", *HELP)}),
    )
    uses_fieldsets = (("Used by", {"fields": ("route_links",)}),)
    readonly_fields = ("route_links",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look sees which scheme it is, not the empty fields for its secrets."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        plain = {"fields": ("auth_scheme",)}
        return tuple((title, plain if title == "Authentication" else options) for title, options in fieldsets)

    @display(description="State", label={"calling": "success", "paused": "warning"})
    def state(self, endpoint: Endpoint) -> str:
        return "paused" if endpoint.paused else "calling"

    @display(description="Routes")
    def route_links(self, endpoint: Endpoint) -> SafeString:
        return links(endpoint.routes.all())

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if warning := private_address(obj.url):
            self.message_user(request, warning, level="warning")


def private_address(url: str) -> str | None:
    """A warning for an address written as a number that would be refused; names are judged when they are called."""
    parts = urlsplit(url)
    try:
        address = ipaddress.ip_address("127.0.0.1" if parts.hostname == "localhost" else parts.hostname or "")
    except ValueError:
        return None
    reason = refusal(
        address, parts.port or (443 if parts.scheme == "https" else 80), settings.OUTBOUND_ALLOWED_NETWORKS
    )
    return f"Calls to it will be refused: {reason}." if reason else None
