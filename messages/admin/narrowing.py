"""What narrows the list of messages: a form above it; all of it stands in the address, so that it can be linked to.

Each filter goes by an index, or looks only at messages that have not succeeded.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Greatest
from django.db.models.lookups import Exact
from django.http import HttpRequest
from django.utils import timezone

from connectors.models import Route
from messages.choices import OPEN_STATUSES, Status
from messages.models import Attempt, Lane, Result
from messages.periods import PERIODS, before, since
from messages.problems import PROBLEMS, type_of

ERRORS = ("destination-refused", "destination-failed", "mapping-failed", "cancelled")
"""What a result may name as its error."""
UNSUCCESSFUL = (Status.FAILED, Status.DEAD, Status.CANCELLED, Status.RETRYING)
RECEIVED = (
    ("", "at any time"),
    ("hour", "in the last hour"),
    ("day", "in the last 24 hours"),
    ("week", "in the last 7 days"),
)
MINUTE = "%Y-%m-%dT%H:%M"
MOST_BRANCHES = 100
"""Arguments that SQLite's MAX takes, roughly."""
MOST_SORTED = 10_000
"""Messages of a lane that are sorted for a page, which takes some hundredths of a second."""
MAX_MINUTES = 60 * 24 * 3650
NAMES = (
    *("status__exact", "route__id__exact", "application", "key", "error", "http", "received", "from", "to"),
    *("waiting", "lane"),
)
"""What the form reads, as it stands in the address; the last two have no field that is seen."""
QUICK: tuple[tuple[str, dict[str, str]], ...] = (
    ("All", {}),
    ("Failed, 24 h", {"status__exact": Status.FAILED.value, "received": "day"}),
    ("Dead", {"status__exact": Status.DEAD.value}),
    ("Waiting longer than 15 min", {"waiting": "15"}),
)


class Moment(forms.DateTimeField):
    """A time in UTC, to the minute, as browsers write it."""

    def __init__(self, label: str) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MINUTE)
        super().__init__(required=False, label=label, widget=widget, input_formats=[MINUTE, "%Y-%m-%dT%H:%M:%S"])


class NarrowingForm(forms.Form):
    """Its names are those of the address."""

    def __init__(self, *args: Any, routes: list[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        applications = {pk: name for one in routes for pk, name in one["applications"].items()}
        named = sorted(applications.items(), key=lambda pair: pair[1].lower())
        choices: dict[str, tuple[str, Any]] = {
            "status__exact": ("Status", Status.choices),
            "route__id__exact": ("Route", [(one["pk"], one["name"]) for one in routes]),
            "application": ("Application", named),
            "error": ("Error", [(slug, PROBLEMS[slug][1]) for slug in ERRORS]),
        }
        for name, (label, values) in choices.items():
            self.fields[name] = forms.ChoiceField(required=False, label=label, choices=[("", "any"), *values])
        self.fields["http"] = forms.IntegerField(required=False, label="HTTP status", min_value=100, max_value=599)
        self.fields["key"] = forms.CharField(required=False, label="Lane's key", max_length=255)
        self.fields["received"] = forms.ChoiceField(required=False, label="Received", choices=RECEIVED)
        self.fields["from"], self.fields["to"] = Moment("From (UTC)"), Moment("To (UTC)")
        self.fields["waiting"] = forms.IntegerField(
            required=False, min_value=0, max_value=MAX_MINUTES, widget=forms.HiddenInput
        )
        self.fields["lane"] = forms.IntegerField(required=False, widget=forms.HiddenInput)
        self.order_fields(NAMES)
        for field in self.fields.values():
            field.widget.attrs["class"] = "platform-input"


class Narrowing(admin.ListFilter):
    """Django's way in: takes its names out of the address, and narrows the rows."""

    title = "messages"
    parameter_name = "narrowing"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.routes = _routes()
        given = {name: params.pop(name)[-1] for name in NAMES if name in params}
        self.used_parameters = {name: text for name, text in given.items() if text}
        self.form = NarrowingForm(self.used_parameters, routes=self.routes)
        self.form.is_valid()
        self.branches: list[Q] = []
        """Where several routes or statuses are asked for: each has its messages in order, all together have not."""

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Any:
        return iter(())

    def expected_parameters(self) -> list[str | None]:
        return list(NAMES)

    def value_of(self, name: str) -> Any:
        """None for what is not given, or makes no sense."""
        return self.form.cleaned_data.get(name) or None

    def active(self) -> list[tuple[str, str, str]]:
        """Name, label and value in words of each filter that is set and understood."""
        found = []
        for name in self.used_parameters:
            value = self.value_of(name)
            if value is not None:
                field = self.form.fields[name]
                texts = {str(key): text for key, text in getattr(field, "choices", ())}
                words = texts.get(str(value), str(value))
                found.append((name, *self._said(name, str(field.label), words, value)))
        return found

    @staticmethod
    def _said(name: str, label: str, words: str, value: Any) -> tuple[str, str]:
        if name == "waiting":
            return "Waiting", f"longer than {value} min"
        if name == "lane":
            return "Lane", str(Lane.objects.filter(pk=value).first() or value)
        if isinstance(value, datetime):
            return label.removesuffix(" (UTC)"), f"{value:%Y-%m-%d %H:%M}"
        return label, words

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        narrowed = self._by_place(queryset)
        narrowed = self._by_fault(narrowed)
        return self._by_time(narrowed)

    def newest(self, messages: Any, size: int) -> Any:
        """The newest `size` of `messages`, which are narrowed and in their order.

        SQLite would sort all that several routes or statuses have. Where one of them has `size` from some row on,
        nothing before that row is on the page.
        """
        if connection.vendor != "sqlite" or not 1 < len(self.branches) <= MOST_BRANCHES:
            return messages[:size]
        last = [Subquery(messages.filter(branch).values("pk")[size - 1 : size]) for branch in self.branches]
        return messages.filter(pk__gte=Greatest(*(Coalesce(one, Value(0)) for one in last)))[:size]

    def _branch(self, column: str, values: Iterable[Any]) -> dict[str, list[Any]]:
        """A condition on a column, whose index is read for each of `values` unless one value is asked for anyway."""
        among = list(values)
        if not (self.value_of("status__exact") or self.value_of("route__id__exact")):
            self.branches = [Q(**{column: value}) for value in among]
        return {f"{column}__in": among}

    def _by_place(self, messages: Any) -> Any:
        if status := self.value_of("status__exact"):
            messages = messages.filter(status=status)
        if route := self.value_of("route__id__exact"):
            messages = messages.filter(route=int(route))
        if application := self.value_of("application"):
            own = (one["pk"] for one in self.routes if int(application) in one["applications"])
            messages = messages.filter(**self._branch("route", own))
        if lane := self.value_of("lane"):
            messages = _in_lanes(messages, Lane.objects.filter(pk=lane))
        if key := self.value_of("key"):
            # by the index on (route, key): every route is named, since a key alone would be looked for in all rows
            lanes = Lane.objects.filter(route__in=[one["pk"] for one in self.routes], key=key)
            messages = _in_lanes(messages, lanes)
        return messages

    def _by_fault(self, messages: Any) -> Any:
        if error := self.value_of("error"):
            results = Result.objects.annotate(told=Cast("error", TextField()))
            named = results.filter(message=OuterRef("pk"), told__contains=f'"{type_of(error)}"')
            messages = messages.filter(Exists(named), **self._branch("status", UNSUCCESSFUL))
        if http := self.value_of("http"):
            answered = Exists(Attempt.objects.filter(message=OuterRef("pk"), status_code=http))
            standing = [Status.SUCCEEDED] if http < 300 else UNSUCCESSFUL
            messages = messages.filter(answered, **self._branch("status", standing))
        return messages

    def _by_time(self, messages: Any) -> Any:
        if span := PERIODS.get(self.value_of("received") or ""):
            messages = since(messages, timezone.now() - span)
        if start := self.value_of("from"):
            messages = since(messages, start)
        if end := self.value_of("to"):
            messages = before(messages, end)
        if minutes := self.value_of("waiting"):
            waiting = messages.filter(**self._branch("status", OPEN_STATUSES))
            messages = before(waiting, timezone.now() - timedelta(minutes=minutes))
        return messages


def _in_lanes(messages: Any, lanes: QuerySet[Lane]) -> Any:
    found = list(lanes.values_list("pk", "route", "last_position"))
    if connection.vendor == "sqlite" and len(found) == 1 and found[0][2] > MOST_SORTED:
        pk, route, _ = found[0]
        # the index of its route has them newest first; by that of the lane, which has not, all would be sorted
        return messages.filter(Exact(F("lane_id") + 0, pk), route=route)
    return messages.filter(lane__in=[pk for pk, *_ in found])


def _routes() -> list[dict[str, Any]]:
    """All routes with the applications at both ends, in one query."""
    rows = Route.objects.select_related("source", "endpoint__application").order_by("name", "slug")
    rows = rows.defer("schema", "endpoint__auth_secrets")
    return [
        {
            "pk": route.pk,
            "name": str(route),
            "applications": {one.pk: str(one) for one in (route.source, route.endpoint.application)},
        }
        for route in rows
    ]
