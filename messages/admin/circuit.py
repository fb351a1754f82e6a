"""Circuits and allowances: which destinations are not called at present, and why."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldBooleanWidget

from connectors.admin.base import HiddenFromIndex, ReadOnly
from connectors.admin.reason import ReasonForm, verb
from messages import operate
from messages.admin.display import moment
from messages.admin.once import ReadOnce
from messages.admin.verbs import carry_out
from messages.choices import CircuitState
from messages.models import Allowance, Circuit

STATE_COLOURS = {CircuitState.CLOSED: "success", CircuitState.OPEN: "danger", CircuitState.HALF_OPEN: "warning"}


class CloseForm(ReasonForm):
    hurry = forms.BooleanField(
        required=False,
        label="Hurry what backs off",
        help_text="Messages that failed before it opened do not wait out their pauses.",
        widget=UnfoldBooleanWidget,
    )


@admin.register(Circuit)
class CircuitAdmin(ReadOnce, ReadOnly, ModelAdmin):
    list_display = ("endpoint", "standing", "since_shown", "next_try", "reason")
    list_filter = ("state",)
    list_select_related = ("endpoint",)
    list_per_page = 25
    search_fields = ("endpoint__slug", "endpoint__name")
    fields = ("endpoint", "state", "since_shown", "next_try", "reason")
    readonly_fields = fields
    actions_detail = ("close_now",)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        circuit = self.get_object(request, object_id)
        moot = circuit is not None and circuit.state == CircuitState.CLOSED
        return [] if moot else super().get_actions_detail(request, object_id)

    @display(description="State", label=STATE_COLOURS, ordering="state")
    def standing(self, circuit: Circuit) -> tuple[str, str]:
        return circuit.state, str(circuit)

    @display(description="Since", ordering="since")
    def since_shown(self, circuit: Circuit) -> str:
        return moment(circuit.since)

    @display(description="Next try")
    def next_try(self, circuit: Circuit) -> str:
        return moment(circuit.retry_at)

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may pause and resume lanes; a method, as `LaneAdmin` has it."""
        return request.user.has_perm("messaging.operate_lane")

    @verb(
        "Close now",
        "electrical_services",
        "Waiting messages are sent at once, in order, without another try first.",
        form=CloseForm,
    )
    def close_now(self, request: HttpRequest, form: CloseForm, object_id: str) -> HttpResponse:
        def carry(circuit: Circuit) -> str:
            given = {name: form.cleaned_data[name] for name in ("reason", "hurry")}
            operate.close_circuit(circuit, by=request.user, **given)
            return f"Done: {circuit.endpoint} is called again."

        return carry_out(self, request, object_id, carry)


@admin.register(Allowance)
class AllowanceAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("endpoint", "calls_out", "full_shown")
    list_select_related = ("endpoint",)
    fields = ("endpoint", "calls_out", "full_shown")
    readonly_fields = fields

    @display(description="Calls out")
    def calls_out(self, allowance: Allowance) -> int:
        return len(allowance.permits)

    @display(description="Full until", ordering="full_until")
    def full_shown(self, allowance: Allowance) -> str:
        return moment(allowance.full_until)
