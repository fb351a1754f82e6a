"""Credentials: made beside their application, looked after on a page of their own."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanWidget,
)

from connectors import audit
from connectors.admin.base import Audited, HiddenFromIndex, label_fields, page_of, webhook_address
from connectors.admin.pausing import back_to
from connectors.admin.reason import verb
from connectors.admin.senders import SHORTLY, steps
from connectors.admin.snippets import snippets
from connectors.choices import Scheme
from connectors.keys import MAKES_SECRETS, generate_secret
from connectors.models import Credential
from connectors.models.application import HMAC_OPTIONS
from connectors.signatures import InvalidCredential, check_secret

KEPT = {0: "ends at once", 3600: "goes on for an hour", 86400: "goes on for a day", 604800: "goes on for a week"}
STATE_COLOURS = {"open": "success", "disabled": "default", "expired": "danger", "revoked": "danger"}
HELP = " ".join(f"{scheme.label}: {SHORTLY[scheme]}" for scheme in Scheme)


class CredentialForm(forms.ModelForm):
    """The secret is write-only: it can be set and replaced, never read."""

    new_secret = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Empty on a new credential: one is made and shown once, unless the scheme's sender or a person "
        "chooses it. Empty on a stored one keeps it.",
    )

    class Meta:
        model = Credential
        fields = ("name", "scheme", "username", "enabled")
        help_texts = {"scheme": HELP}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.prefix:  # in the table of an application's page
            label_fields(self, "Credential")

    def has_changed(self) -> bool:
        """A row that somebody added is meant, even if it was left as it came: a secret is then made."""
        return not self.instance.pk or super().has_changed()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        scheme, secret = cleaned.get("scheme", ""), cleaned.get("new_secret", "")
        if scheme != Scheme.HMAC:  # what another scheme needed is forgotten with it
            for name in HMAC_OPTIONS:
                setattr(self.instance, name, Credential.default_of(name))
                if name in self.fields:
                    cleaned[name] = Credential.default_of(name)
                    self.errors.pop(name, None)
        if secret and self.instance.revoked_at is not None:
            self.add_error("new_secret", "This credential was revoked; make another one.")
        elif secret and scheme:
            try:
                check_secret(scheme, secret)
            except InvalidCredential as error:
                self.add_error("new_secret", str(error))
        elif self._needs_secret and scheme and scheme not in MAKES_SECRETS:
            self.add_error("new_secret", "This scheme needs a secret.")
        return cleaned

    @property
    def _needs_secret(self) -> bool:
        return not self.instance.has_secret or "scheme" in self.changed_data

    def save(self, commit: bool = True) -> Credential:
        credential: Credential = super().save(commit=False)
        secret = self.cleaned_data.get("new_secret", "")
        if not secret and (self._needs_secret or self.cleaned_data.get("make_secret")):
            secret = credential.made_secret = generate_secret(credential.scheme)  # type: ignore[attr-defined]
        if secret:
            seconds = int(self.cleaned_data.get("previous") or 0)
            keeps = seconds and "scheme" not in self.changed_data
            credential.set_secret(secret, keep_until=timezone.now() + timedelta(seconds=seconds) if keeps else None)
        if commit:
            credential.save()
        return credential


class CredentialPageForm(CredentialForm):
    make_secret = forms.BooleanField(
        required=False, label="Make a new one", widget=UnfoldBooleanWidget, help_text="It is shown once."
    )
    previous = forms.TypedChoiceField(
        required=False,
        coerce=int,
        label="The old one then",
        choices=KEPT.items(),
        initial=86400,
        widget=UnfoldAdminSelectWidget,
        help_text="While both are in force the sender can change over without a gap.",
    )

    class Meta(CredentialForm.Meta):
        fields = ("name", "scheme", "username", "enabled", "expires_at", *HMAC_OPTIONS)  # type: ignore[assignment]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("make_secret"):
            if cleaned.get("new_secret"):
                self.add_error("make_secret", "Either type a new one, or have one made.")
            elif cleaned.get("scheme") not in MAKES_SECRETS:
                self.add_error("make_secret", "The secret of this scheme comes from the sender, or from a person.")
            elif self.instance.revoked_at is not None:
                self.add_error("make_secret", "This credential was revoked; make another one.")
        return cleaned


class CredentialInline(TabularInline):
    model = Credential
    form = CredentialForm
    extra = 0
    fields = ("name", "scheme", "username", "secret_state", "new_secret", "enabled", "more")
    readonly_fields = ("secret_state", "more")
    hide_title = True
    verbose_name_plural = "credentials: how it proves who it is when it calls us"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Who may only look sees no empty column for secrets."""
        may_change = self.has_change_permission(request, obj) or self.has_add_permission(request, obj)
        return tuple(name for name in self.fields if may_change or name != "new_secret")

    @display(description="Secret")
    def secret_state(self, credential: Credential) -> str:
        return secret_state(credential)

    @display(description="More")
    def more(self, credential: Credential) -> SafeString:
        """To its own page: the shell's link there stands in a title, which a table has no room for."""
        if not credential.pk:
            return format_html("{}", "")
        text = '<a class="platform-link" href="{}" aria-label="{}">Rotate, revoke, set up</a>'
        return format_html(text, page_of(credential), f"{credential.name}: rotate, revoke, set up")


@admin.register(Credential)
class CredentialAdmin(Audited, HiddenFromIndex, ModelAdmin):
    form = CredentialPageForm
    list_display = ("application", "name", "scheme", "key_prefix", "state", "expires_at", "last_used_at")
    list_select_related = ("application",)
    list_filter = ("scheme", "application")
    warn_unsaved_form = True
    conditional_fields = {
        "username": "scheme == 'basic' || username",
        **dict.fromkeys(HMAC_OPTIONS, "scheme == 'hmac'"),
    }
    readonly_fields = ("application", "state", "secret_shown", "last_used_at", "created_at", "how_to", "to_copy")
    actions_detail = ("end_previous", "revoke")
    fieldsets = (
        (None, {"fields": ("application", "name", "scheme", "username", *HMAC_OPTIONS)}),
        ("Secret", {"fields": ("secret_shown", "new_secret", "make_secret", "previous")}),
        ("Use", {"fields": ("state", "enabled", "expires_at", "last_used_at", "created_at")}),
        ("For the sender", {"fields": ("how_to", "to_copy")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look sees no empty fields for secrets."""
        if obj is None or self.has_change_permission(request, obj):
            return self.fieldsets
        plain = {"fields": ("secret_shown",)}
        return tuple((title, plain if title == "Secret" else options) for title, options in self.fieldsets)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Knows under which address the platform was reached: addresses are shown to be copied."""
        credential = super().get_object(request, object_id, from_field)
        if credential is not None:
            credential.reached_at = request.build_absolute_uri("/")
        return credential

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # made on the page of its application

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        show_made_secret(self, request, obj)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only the verb that would do something is offered; both stay harmless where a page is out of date."""
        row = self.get_object(request, object_id)
        offered = super().get_actions_detail(request, object_id)
        if row is None:
            return offered
        possible = {"revoke": row.revoked_at is None, "end_previous": row.has_previous_secret}
        return [verb for verb in offered if possible[verb.action_name.removeprefix("connectors_credential_")]]

    @verb(
        "Revoke",
        "block",
        "It opens nothing from now on and cannot be opened again; requests with it are refused, and their rejections "
        "say so.",
        question="Revoke it for good?",
        permission="change",
    )
    def revoke(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        def do(row: Credential) -> str:
            if row.revoked_at is not None:
                return ""
            row.revoked_at = timezone.now()
            return "Revoked."

        return self._carry_out(request, form, object_id, do)

    @verb(
        "End the old secret",
        "key_off",
        "Only the new one is in force from now on.",
        submit="End it",
        permission="change",
    )
    def end_previous(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        def do(row: Credential) -> str:
            if not row.has_previous_secret:
                return ""
            row.set_previous_secret("", until=None)
            return "Ended the old secret."

        return self._carry_out(request, form, object_id, do)

    def _carry_out(self, request: HttpRequest, form: Any, object_id: str, do: Any) -> HttpResponse:
        """Does it to the locked row, and logs it with its reason; `do` returns nothing where it was done before."""
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        with transaction.atomic():
            row = self.get_queryset(request).select_for_update(of=("self",)).get(pk=found.pk)
            done = do(row)
            if done:
                row.save()
                audit.record(row, by=request.user, text=f"{done} {form.cleaned_data['reason']}")
        self.message_user(request, done or "That was done before.", level="success" if done else "warning")
        return back_to(request, row)

    @display(description="State", label=STATE_COLOURS)
    def state(self, credential: Credential) -> str:
        if credential.revoked_at is not None:
            return "revoked"
        if credential.expires_at is not None and credential.expires_at <= timezone.now():
            return "expired"
        return "open" if credential.enabled else "disabled"

    @display(description="Stored")
    def secret_shown(self, credential: Credential) -> str:
        return secret_state(credential)

    @display(description="Steps")
    def how_to(self, credential: Credential) -> str:
        return steps(credential.scheme)

    @display(description="A first request")
    def to_copy(self, credential: Any) -> SafeString:
        """For the first route of the application, with the secret left to whoever knows it."""
        route = credential.application.routes.order_by("slug").first()
        address = webhook_address(getattr(credential, "reached_at", "/"), route.slug if route else "ROUTE")
        return format_html_join(
            "",
            '<details class="platform-fold mb-2"{}><summary class="cursor-pointer">{}</summary>'
            '<pre class="platform-json" tabindex="0">{}</pre></details>',
            ((" open" * (place == 0), *one) for place, one in enumerate(snippets(credential, address))),
        )


def secret_state(credential: Credential) -> str:
    if not credential.pk or not credential.has_secret:
        return "not set"
    state = f"set ({credential.key_prefix}…)" if credential.key_prefix else "set"
    until = credential.previous_until
    if not credential.has_previous_secret or (until is not None and until <= timezone.now()):
        return state
    return f"{state}; the old one goes on until {f'{until:%Y-%m-%d %H:%M} UTC' if until else 'it is ended'}"


def show_made_secret(page: Any, request: HttpRequest, credential: Any) -> None:
    secret = getattr(credential, "made_secret", None)
    if secret:
        kind = "API key" if credential.scheme == Scheme.API_KEY else "secret"
        text = f"The {kind} of “{credential.name}” is {secret} — copy it now, it is not shown again."
        page.message_user(request, text, level="warning")
