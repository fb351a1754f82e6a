"""Endpoints: where and how we call an application."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from connectors.admin.base import NamedAdmin
from connectors.admin.pausing import Pausable
from connectors.headers import check_header
from connectors.models import Endpoint
from connectors.models.endpoint import AUTH_PARAMETERS
from connectors.networks import refusal

PARAMETERS = {
    "header": "API key: the header that carries it (default X-API-Key)",
    "key": "API key",
    "token": "Bearer token",
    "username": "HTTP Basic: user name",
    "password": "HTTP Basic: password",
}
SECRETS = ("key", "token", "password")


class EndpointForm(forms.ModelForm):
    """Secrets are write-only: an empty field keeps what is stored for the same scheme."""

    header = forms.CharField(
        required=False, label="Header", widget=UnfoldAdminTextInputWidget, help_text=PARAMETERS["header"]
    )
    key = forms.CharField(
        required=False, strip=False, widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
    )
    token = forms.CharField(
        required=False, strip=False, widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
    )
    username = forms.CharField(
        required=False, label="User name", widget=UnfoldAdminTextInputWidget, help_text=PARAMETERS["username"]
    )
    password = forms.CharField(
        required=False, strip=False, widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
    )

    class Meta:
        model = Endpoint
        fields = ("name", "slug", "application", "url", "method", "headers", "timeout_seconds", "auth_scheme")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = self.instance.read_auth() if self.instance.pk else {}
        for name in ("header", "username"):
            if name in self.fields:
                self.fields[name].initial = stored.get(name, "")
        for name in SECRETS:
            if name in self.fields:
                state = "set; leave it empty to keep it" if stored.get(name) else "not set"
                self.fields[name].help_text = f"{PARAMETERS[name]} ({state})"

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
            elif name == "header" and (problem := check_header(value, "")):
                self.add_error(name, problem)
            parameters[name] = value
        self.auth_parameters = parameters
        return cleaned

    def save(self, commit: bool = True) -> Endpoint:
        endpoint: Endpoint = super().save(commit=False)
        endpoint.set_auth(endpoint.auth_scheme, self.auth_parameters)
        if commit:
            endpoint.save()
        return endpoint


@admin.register(Endpoint)
class EndpointAdmin(Pausable, NamedAdmin):
    form = EndpointForm
    list_display = ("__str__", "slug", "application", "method", "url", "state", "updated_at")
    list_filter = ("application", "paused")
    list_select_related = ("application",)
    search_fields = ("slug", "name", "url")
    autocomplete_fields = ("application",)
    fieldsets = (
        (None, {"fields": ("name", "slug", "application")}),
        ("Call", {"fields": ("method", "url", "headers", "timeout_seconds")}),
        ("Authentication", {"fields": ("auth_scheme", "header", "key", "token", "username", "password")}),
    )

    @display(description="State", label={"calling": "success", "paused": "warning"})
    def state(self, endpoint: Endpoint) -> str:
        return "paused" if endpoint.paused else "calling"

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
