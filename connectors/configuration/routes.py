"""Routes: what leads from one application to another."""

from typing import Any

from connectors.choices import OnDeadline, OnFailure, OnUnknown, Ordering, Pattern, Patterns, Reply
from connectors.configuration.reading import Section
from connectors.configuration.saving import Saving, find
from connectors.models import Application, Endpoint, Mapping, Route


def save_route(saving: Saving, section: Section) -> None:
    route = find(Route, slug=section.text("slug"))
    ordering = Ordering.KEY if section.values.get("ordering_key") else Ordering.ROUTE
    values: dict[str, Any] = {
        "name": section.text("name"),
        "source": saving.reference(section, "source", "application", Application, required=True),
        "endpoint": saving.reference(section, "endpoint", "endpoint", Endpoint, required=True),
        "patterns": _patterns(section),
        "schema": _schema(section),
        "force_list": _force_list(section),
        "mapping": saving.reference(section, "mapping", "mapping", Mapping, required=False),
        "reply_mapping": saving.reference(section, "reply_mapping", "mapping", Mapping, required=False),
        "reply": section.choice("reply", Reply.values, Reply.DOCUMENT),
        "ordering": section.choice("ordering", Ordering.values, ordering),
        "ordering_key": section.text("ordering_key"),
        "idempotency_key": section.text("idempotency_key"),
        "search_keys": section.mapping("search_keys"),
        "on_failure": section.choice("on_failure", OnFailure.values, OnFailure.BLOCK),
        "statuses": section.mapping("statuses"),
        "on_unknown": section.choice("on_unknown", OnUnknown.values, OnUnknown.RETRY),
        "sync_deadline_seconds": section.number("sync_deadline_seconds", 8),
        "on_deadline": section.choice("on_deadline", OnDeadline.values, OnDeadline.TIMEOUT),
        "max_body_bytes": section.integer("max_body_bytes", 1_048_576),
        "retention_days": section.integer("retention_days", 30),
        "enabled": section.boolean("enabled", default=True),
        **_retry(section),
    }
    section.end()
    saving.save("route", section, route, values)


def _patterns(section: Section) -> str:
    value = section.raw("patterns", ["async"])
    known = isinstance(value, list) and all(item in Pattern.values for item in value)
    text = ",".join(value) if known else ""
    if text not in Patterns.values:
        section.fault("patterns", "it is a list of async and sync, the default one first")
        return Patterns.ASYNC
    return text


def _schema(section: Section) -> dict[str, Any] | bool | None:
    value = section.raw("schema")
    if value is None or isinstance(value, dict | bool):
        return value
    section.fault("schema", "it has to be a JSON Schema: a mapping, true or false")
    return None


def _force_list(section: Section) -> list[Any] | None:
    value = section.raw("force_list")
    if value is None or isinstance(value, list):
        return value
    section.fault("force_list", "it has to be a list of names")
    return None


def _retry(section: Section) -> dict[str, Any]:
    retry = section.section("retry")
    values = {
        "max_attempts": retry.integer("max_attempts", 8),
        "first_delay_seconds": retry.number("first_delay_seconds", 5),
        "factor": retry.number("factor", 3),
        "max_delay_seconds": retry.number("max_delay_seconds", 3600),
    }
    retry.end()
    return values
