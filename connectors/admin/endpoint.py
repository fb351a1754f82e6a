"""Endpoints: where and how we call an application."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from connectors.admin.base import NamedAdmin, link, links, page_of
from connectors.admin.pausing import Pausable
from connectors.advice import advice
from connectors.auth import SCHEMES, InvalidAuth, Parameter, build
from connectors.choices import EndpointAuth
from connectors.forms import ExactJSONFormField
from connectors.masking import REDACTED, masked_url
from connectors.models import Endpoint

PARAMETERS: dict[str, dict[str, Parameter]] = {}
"""What each name means to the schemes that have it."""
for _scheme, _auth in SCHEMES.items():
    for _parameter in _auth.parameters:
        PARAMETERS.setdefault(_parameter.name, {})[_scheme] = _parameter
CIRCUIT_FIELDS = tuple(
    f"circuit_{name}" for name in ("enabled", "failure_share", "minimum_calls", "window_seconds", "open_seconds")
)
WARN_BEFORE = timedelta(days=30)
REPLACE = "Replace it."
LIMIT_FIELDS = ("max_concurrent", "rate_calls", "rate_per")
WITH_USUAL_VALUE = (*CIRCUIT_FIELDS[1:], "rate_per")
USED_WHERE = {
    name: " || ".join(f"auth_scheme == '{scheme}'" for scheme in schemes) for name, schemes in PARAMETERS.items()
}


def _field(parameter: Parameter) -> forms.Field:
    """Secrets are never filled in, neither by the platform nor by a browser."""
    if parameter.secret:
        widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
        return forms.CharField(required=False, strip=False, label=parameter.label, widget=widget)
    if parameter.pairs:
        return ExactJSONFormField(required=False, label=parameter.label, widget=UnfoldAdminTextareaWidget({"rows": 2}))
    if parameter.choices:
        return forms.ChoiceField(
            required=False, label=parameter.label, choices=parameter.choices, widget=UnfoldAdminSelectWidget
        )
    return forms.CharField(required=False, label=parameter.label, widget=UnfoldAdminTextInputWidget)


def _help(schemes: dict[str, Parameter]) -> str:
    """What the schemes say about a name; where they differ, each says it for itself."""
    texts = {EndpointAuth(scheme).label: parameter.help for scheme, parameter in schemes.items() if parameter.help}
    if len(set(texts.values())) < 2:
        return "".join(list(texts.values())[:1])
    return " ".join(f"{label}: {text}" for label, text in texts.items())


class _NeverShown(UnfoldAdminTextareaWidget):
    """For a secret of several lines: what was typed does not come back with the errors either."""

    is_secret = True

    def format_value(self, value: Any) -> str:
        return ""


class EndpointForm(forms.ModelForm):
    """Secrets are write-only: an empty field keeps what is stored for the same scheme.

    The fields of the schemes are added below, from what the schemes say themselves.
    """

    private_key = forms.CharField(required=False, label="Private key", widget=_NeverShown({"rows": 2}))

    class Meta:
        model = Endpoint
        fields = (
            *(
                "name",
                "slug",
                "application",
                "url",
                "method",
                "format",
                "query_parameters",
                "headers",
                "timeout_seconds",
            ),
            *("auth_scheme", "tls_ca", "tls_certificate"),
            *CIRCUIT_FIELDS,
            *LIMIT_FIELDS,
        )
        labels = {
            "timeout_seconds": "Time-out, seconds",
            "max_concurrent": "Calls at once, at most",
            "rate_calls": "Calls in a period, at most",
            "rate_per": "The period",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "private_key" in self.fields:
            state = "Set; leave it empty to keep it." if self.instance.tls_key else "Not set."
            self.fields["private_key"].help_text = f"{state} PEM, of the client certificate, without a password."
        stored = self.instance.stored_auth() if self.instance.pk else {}
        shown = self.instance.auth_parameters or {}
        for name, schemes in PARAMETERS.items():
            if name not in self.fields:
                continue
            help_text, (parameter, *_) = _help(schemes), schemes.values()
            self.fields[name].help_text = help_text
            if parameter.secret:
                state = "Set; leave it empty to keep it." if stored.get(name) else "Not set."
                self.fields[name].help_text = f"{state} {help_text}".strip()
            else:
                self.fields[name].initial = shown.get(name) or parameter.default or None
        for name in WITH_USUAL_VALUE:
            if name in self.fields:
                self.fields[name].required = False  # empty: the usual value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        # before the model's own checks; it goes with its certificate
        kept = self.instance.tls_key if cleaned.get("tls_certificate") else ""
        self.instance.tls_key = cleaned.get("private_key") or kept
        scheme = cleaned.get("auth_scheme", "none")
        same = self.instance.pk and self.initial.get("auth_scheme") == scheme
        stored = self.instance.stored_auth() if same else {}
        self.auth_parameters: dict[str, Any] = {}
        for parameter in SCHEMES[scheme].parameters:
            value = cleaned.get(parameter.name) or (stored.get(parameter.name) if parameter.secret else None)
            if parameter.pairs and isinstance(value, dict):
                kept = stored.get(parameter.name) or {}
                value = {name: kept.get(name, text) if text == REDACTED else text for name, text in value.items()}
                if REDACTED in value.values():
                    self.add_error(parameter.name, "A value that is not shown is not stored any more; give it anew.")
            if value and value != parameter.default:
                self.auth_parameters[parameter.name] = value
        if not any(parameter.name in self.errors for parameter in SCHEMES[scheme].parameters):
            try:
                build(scheme, self.auth_parameters)
            except InvalidAuth as error:
                self.add_error(error.field, str(error))
        for name in WITH_USUAL_VALUE:
            if name in cleaned and cleaned[name] in (None, ""):
                cleaned[name] = getattr(Endpoint(), name)
        return cleaned

    def save(self, commit: bool = True) -> Endpoint:
        endpoint: Endpoint = super().save(commit=False)
        endpoint.set_auth(endpoint.auth_scheme, self.auth_parameters)
        if commit:
            endpoint.save()
        return endpoint


EndpointForm.declared_fields.update(
    {name: _field(next(iter(schemes.values()))) for name, schemes in PARAMETERS.items()}
)


@admin.register(Endpoint)
class EndpointAdmin(Pausable, NamedAdmin):
    form = EndpointForm
    list_display = ("__str__", "slug", "application", "method", "address", "state", "changed")
    list_filter = ("application", "auth_scheme", "paused")
    list_select_related = ("application", "circuit")
    parts = frozenset({"circuit", "allowance"})
    search_fields = ("slug", "name", "url")
    autocomplete_fields = ("application",)
    conditional_fields = USED_WHERE
    fieldsets = (
        (None, {"fields": ("name", "slug", "application")}),
        ("Call", {"fields": ("method", "url", "format", "query_parameters", "headers", "timeout_seconds")}),
        ("Authentication", {"fields": ("auth_scheme", *PARAMETERS)}),
        ("TLS", {"fields": ("tls_ca", "tls_certificate", "private_key"), "classes": ("collapse",)}),
        ("Limits", {"fields": LIMIT_FIELDS, "classes": ("collapse",)}),
        ("Circuit breaker", {"fields": CIRCUIT_FIELDS, "classes": ("collapse",)}),
    )
    readonly_fields = ("route_links", "circuit_link", "certificate_end")
    actions_detail = ("test", *Pausable.actions_detail)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """How it stands comes first. Who may only look sees which scheme it is, and no empty fields for its secrets."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None:
            first, *others = fieldsets
            fieldsets = (first, ("Now", {"fields": ("circuit_link", "certificate_end", "route_links")}), *others)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        plain = {"Authentication": {"fields": ("auth_scheme",)}, "TLS": {"fields": ("tls_ca", "tls_certificate")}}
        return tuple((title, plain.get(title, options)) for title, options in fieldsets)

    @action(description="Test call", icon="network_check", permissions=["change"])
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Opens the page that asks what to send; nothing is called by following it."""
        return redirect("admin:messaging_endpoint_test", pk=object_id)

    @display(
        description="State",
        label={"calling": "success", "paused": "warning", "circuit open": "danger", "circuit half-open": "warning"},
    )
    def state(self, endpoint: Endpoint) -> str:
        circuit = getattr(endpoint, "circuit", None)
        if endpoint.paused:
            return "paused"
        return "calling" if circuit is None or circuit.retry_at is None else f"circuit {circuit}".lower()

    @display(description="URL", ordering="url")
    def address(self, endpoint: Endpoint) -> str:
        return masked_url(endpoint.url)

    @display(description="Circuit")
    def circuit_link(self, endpoint: Endpoint) -> SafeString:
        """To the page that can close it. An endpoint that never failed has none."""
        circuit = getattr(endpoint, "circuit", None)
        if circuit is None:
            return format_html("{}", "Closed")
        reason = f": {circuit.reason}" if circuit.reason else ""
        return format_html("{}{}", link(page_of(circuit), circuit), reason)

    @display(description="Client certificate")
    def certificate_end(self, endpoint: Endpoint) -> str:
        return str(certificate_of(endpoint) or "Not set")

    @display(description="Routes")
    def route_links(self, endpoint: Endpoint) -> SafeString:
        return links(endpoint.routes.all())

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        certificate = certificate_of(obj)
        if certificate is not None and certificate.advice:
            self.message_user(request, f"Client certificate: {certificate}", level="warning")
        for warning in advice(obj):
            self.message_user(request, warning, level="warning")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Until when a client certificate is good, in a sentence; and another one for what has to be done about it."""

    said: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.said} {self.advice}".strip()


def certificate_of(endpoint: Endpoint) -> Certificate | None:
    end = endpoint.certificate_ends_at
    if end is None:
        return None
    left = end - timezone.now()
    when = f"{end:%Y-%m-%d %H:%M} UTC"
    if left <= timedelta():
        return Certificate(f"Ended on {when}: the destination will refuse it.", REPLACE)
    if left < WARN_BEFORE:
        return Certificate(f"Good until {when}, for {left.days} more days.", REPLACE)
    return Certificate(f"Good until {when}.")
