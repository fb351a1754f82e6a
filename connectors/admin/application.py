"""Applications and their credentials."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from connectors.admin.base import HiddenFromIndex, NamedAdmin, links
from connectors.choices import Scheme
from connectors.keys import generate_secret
from connectors.models import Application, Credential


class CredentialForm(forms.ModelForm):
    """The secret is write-only: it can be set and replaced, never read."""

    new_secret = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="A new API key may stay empty: one is made and shown once.",
    )

    class Meta:
        model = Credential
        fields = ("name", "scheme", "username", "enabled")

    def has_changed(self) -> bool:
        """A row that somebody added is meant, even if it was left as it came: an API key is then made."""
        return not self.instance.pk or super().has_changed()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        replaces = not self.instance.has_secret or "scheme" in self.changed_data
        if replaces and not cleaned.get("new_secret") and cleaned.get("scheme") != Scheme.API_KEY:
            self.add_error("new_secret", "This scheme needs a secret.")
        return cleaned

    def save(self, commit: bool = True) -> Credential:
        credential: Credential = super().save(commit=False)
        secret = self.cleaned_data.get("new_secret", "")
        if not secret and (not credential.has_secret or "scheme" in self.changed_data):
            secret = credential.generated_key = generate_secret(credential.scheme)  # type: ignore[attr-defined]
        if secret:
            credential.set_secret(secret)
        if commit:
            credential.save()
        return credential


class CredentialInline(TabularInline):
    model = Credential
    form = CredentialForm
    extra = 0
    fields = ("name", "scheme", "username", "secret_state", "new_secret", "enabled")
    readonly_fields = ("secret_state",)
    hide_title = True
    verbose_name_plural = "credentials: how it proves who it is when it calls us"

    @display(description="Secret")
    def secret_state(self, credential: Credential) -> str:
        if not credential.pk or not credential.has_secret:
            return "not set"
        return f"set ({credential.key_prefix}…)" if credential.key_prefix else "set"


@admin.register(Application)
class ApplicationAdmin(NamedAdmin):
    list_display = ("__str__", "slug", "credential_count", "endpoint_count", "route_count", "changed")
    fieldsets = ((None, {"fields": ("name", "slug", "description")}),)
    uses_fieldsets = (("Leads to", {"fields": ("endpoint_links", "route_links")}),)
    readonly_fields = ("endpoint_links", "route_links")
    inlines = (CredentialInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Application]:
        counts = {name: Count(name, distinct=True) for name in ("credentials", "endpoints", "routes")}
        return super().get_queryset(request).annotate(**{f"{name}_found": count for name, count in counts.items()})

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for credential in [*formset.new_objects, *(changed for changed, _ in formset.changed_objects)]:
            key = getattr(credential, "generated_key", None)
            if key:
                text = f"The API key of “{credential.name}” is {key} — copy it now, it is not shown again."
                self.message_user(request, text, level="warning")

    @display(description="Endpoints")
    def endpoint_links(self, application: Application) -> SafeString:
        return links(application.endpoints.all())

    @display(description="Routes from it")
    def route_links(self, application: Application) -> SafeString:
        return links(application.routes.all())

    @display(description="Credentials", ordering="credentials_found")
    def credential_count(self, application: Any) -> int:
        return int(application.credentials_found)

    @display(description="Endpoints", ordering="endpoints_found")
    def endpoint_count(self, application: Any) -> int:
        return int(application.endpoints_found)

    @display(description="Routes from it", ordering="routes_found")
    def route_count(self, application: Any) -> int:
        return int(application.routes_found)


@admin.register(Credential)
class CredentialAdmin(HiddenFromIndex, ModelAdmin):
    form = CredentialForm
    list_display = ("application", "name", "scheme", "key_prefix", "enabled")
    list_select_related = ("application",)
    fields = ("application", "name", "scheme", "username", "new_secret", "enabled")
    readonly_fields = ("application",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # made on the page of its application

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        key = getattr(obj, "generated_key", None)
        if key:
            self.message_user(request, f"The API key is {key} — copy it now, it is not shown again.", level="warning")
