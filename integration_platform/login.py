"""The login page: the shell's, with tries counted."""

from math import ceil
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.forms import AuthenticationForm

from integration_platform import logins
from messages.addresses import network_of


class CountedLoginForm(AuthenticationForm):
    """Says how long to wait where too many passwords were wrong; `wait` is then the number of seconds."""

    wait = 0

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username")
        if username is None or not self.cleaned_data.get("password"):
            return dict(super().clean())
        network = network_of(self.request.META)
        waiting = logins.charge(username, network, now=timezone.now())
        if waiting is not None:
            self.wait = max(1, ceil(waiting.total_seconds()))
            raise forms.ValidationError(f"Too many wrong passwords. Try again in {in_words(self.wait)}.", "throttled")
        cleaned = dict(super().clean())
        logins.succeeded(username, network, now=timezone.now())
        return cleaned


def login(request: HttpRequest) -> HttpResponse:
    """Answers 429 where a try was not looked at, so that scripts know, too."""
    answer = admin.site.login(request)
    wait = getattr((getattr(answer, "context_data", None) or {}).get("form"), "wait", 0)
    if wait:
        answer.status_code = 429
        answer["Retry-After"] = str(wait)
    return answer


def in_words(seconds: int) -> str:
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = ceil(seconds / 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
