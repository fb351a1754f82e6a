"""Rows → text: the same format, in a stable order, secrets as placeholders."""

import re
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db.models import Case, Prefetch, Q, QuerySet, When
from django.utils import timezone

from connectors.auth import SCHEMES
from connectors.choices import EndpointAuth, Format, Method, OnUnknown
from connectors.configuration import notation
from connectors.configuration.reading import NAME
from connectors.masking import REDACTED
from connectors.models import Application, Credential, Endpoint, LookupTable, Mapping, Route
from connectors.models.application import HMAC_OPTIONS
from connectors.protection import CircuitPolicy


def export_configuration() -> str:
    """The whole configuration. Applying it again on the same platform changes nothing.

    The columns with secrets are not even read.
    """
    names: dict[str, None] = {}
    applications = Application.objects.order_by("slug").prefetch_related(
        Prefetch("credentials", _credentials()),
        Prefetch("endpoints", Endpoint.objects.defer("auth_secrets", "tls_key").order_by("slug")),
    )
    routes = Route.objects.order_by("slug").select_related("source", "endpoint", "mapping", "reply_mapping")
    document = {
        "version": 1,
        "applications": [_application(row, names) for row in applications],
        "lookup_tables": [_lookup_table(row) for row in LookupTable.objects.order_by("slug")],
        "mappings": [_mapping(row) for row in Mapping.objects.order_by("slug").prefetch_related("rows__lookup")],
        "routes": [_route(row) for row in routes.defer("endpoint__auth_secrets", "endpoint__tls_key")],
    }
    return _heading(list(names)) + notation.dump({key: value for key, value in document.items() if value != []})


def _heading(names: list[str]) -> str:
    if not names:
        return "# Configuration of the integration platform.\n"
    lines = "".join(f"#   {name}\n" for name in names)
    return (
        "# Configuration of the integration platform. Secrets are not in here: set these variables to give new ones;\n"
        f"# one that is not set keeps the secret that is stored.\n{lines}"
    )


def _application(row: Application, names: dict[str, None]) -> dict[str, Any]:
    return _without_empty(
        {
            "slug": row.slug,
            "name": _escaped(row.name),
            "description": _escaped(row.description),
            "requests_per_minute": row.requests_per_minute,
            "credentials": [_credential(row, one, names) for one in row.credentials.all()],
            "endpoints": [_endpoint(one, names) for one in row.endpoints.all()],
        }
    )


def _credentials() -> QuerySet[Credential]:
    """What is revoked is evidence, and no configuration any more."""
    only_one = Q(previous_secret="", previous_hash="") | Q(previous_until__lte=timezone.now())
    return (
        Credential.objects.filter(revoked_at=None)
        .defer("secret", "secret_hash", "previous_secret", "previous_hash")
        .annotate(is_rotated=Case(When(only_one, then=False), default=True))
        .order_by("name")
    )


def _credential(application: Application, row: Any, names: dict[str, None]) -> dict[str, Any]:
    exported = {
        "name": row.name,
        "scheme": row.scheme,
        "username": _escaped(row.username),
        **{name: _escaped(value) for name in HMAC_OPTIONS if (value := getattr(row, name)) != row.default_of(name)},
        "secret": _placeholder(names, application.slug, row.name, "secret"),
        "expires_at": _moment(row.expires_at),
    }
    if row.is_rotated:
        exported["previous_secret"] = _placeholder(names, application.slug, row.name, "previous_secret")
        exported["previous_until"] = _moment(row.previous_until)
    return {**_without_empty(exported), **({} if row.enabled else {"enabled": False})}


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()


def _endpoint(row: Endpoint, names: dict[str, None]) -> dict[str, Any]:
    auth: dict[str, Any] = {"scheme": row.auth_scheme}
    for parameter in SCHEMES[row.auth_scheme].parameters:
        if parameter.secret:
            auth[parameter.name] = _placeholder(names, row.slug, parameter.name)
        elif stored := (row.auth_parameters or {}).get(parameter.name):
            auth[parameter.name] = (
                _named(names, stored, row.slug, parameter.name) if parameter.pairs else _escaped(stored)
            )
    exported = {
        "slug": row.slug,
        "name": _escaped(row.name),
        "url": _escaped(row.url),
        "method": row.method if row.method != Method.POST else "",
        "format": row.format if row.format != Format.JSON else "",
        "auth": auth if row.auth_scheme != EndpointAuth.NONE else None,
        "query": _named(names, row.query_parameters, row.slug, "query"),
        "headers": _named(names, row.headers, row.slug, "headers"),
        "tls": _tls(row, names),
        "circuit": _circuit(row.circuit_policy),
        "max_concurrent": row.max_concurrent,
        "rate": None if row.rate_calls is None else {"calls": row.rate_calls, "per": row.rate_per},
    }
    return {**_without_empty(exported), "timeout_seconds": _plain(row.timeout_seconds)}


def _named(names: dict[str, None], values: dict[str, Any] | None, *parts: str) -> dict[str, Any] | None:
    """Names and texts, with variables for those that are stored encrypted."""
    if values is None:
        return None
    hidden = {name: _placeholder(names, *parts, name) for name, value in values.items() if value == REDACTED}
    return {**_escaped(values), **hidden}


def _tls(row: Endpoint, names: dict[str, None]) -> dict[str, Any] | None:
    key = _placeholder(names, row.slug, "tls_key") if row.tls_certificate else ""
    tls = _without_empty({"ca": row.tls_ca, "certificate": row.tls_certificate, "key": key})
    return tls or None


def _circuit(policy: CircuitPolicy) -> dict[str, Any] | None:
    """What differs from the usual."""
    usual = asdict(CircuitPolicy())
    changed = {name: value for name, value in asdict(policy).items() if value != usual[name]}
    return {name: _plain(value) if isinstance(value, float) else value for name, value in changed.items()} or None


def _lookup_table(row: LookupTable) -> dict[str, Any]:
    return {"slug": row.slug, **({"name": _escaped(row.name)} if row.name else {}), "entries": _escaped(row.entries)}


def _mapping(row: Mapping) -> dict[str, Any]:
    head = _without_empty({"slug": row.slug, "name": _escaped(row.name), "description": _escaped(row.description)})
    return {**head, **_escaped(row.definition())}


def _route(row: Route) -> dict[str, Any]:
    exported = {
        "slug": row.slug,
        "name": _escaped(row.name),
        "source": row.source.slug,
        "endpoint": row.endpoint.slug,
        "patterns": list(row.allowed_patterns),
        "schema": _escaped(row.schema),
        "force_list": _escaped(row.force_list),
        "mapping": row.mapping.slug if row.mapping else "",
        "reply_mapping": row.reply_mapping.slug if row.reply_mapping else "",
        "reply": row.reply,
        "ordering": row.ordering,
        "ordering_key": _escaped(row.ordering_key),
        "idempotency_key": _escaped(row.idempotency_key),
        "search_keys": _escaped(row.search_keys),
        "on_failure": row.on_failure,
        "retry": {
            "max_attempts": row.max_attempts,
            "first_delay_seconds": _plain(row.first_delay_seconds),
            "factor": _plain(row.factor),
            "max_delay_seconds": _plain(row.max_delay_seconds),
        },
        "statuses": _escaped(row.statuses),
        "on_unknown": row.on_unknown if row.on_unknown != OnUnknown.RETRY else "",
        "sync_deadline_seconds": _plain(row.sync_deadline_seconds),
        "on_deadline": row.on_deadline,
        "max_body_bytes": row.max_body_bytes,
        "retention_days": row.retention_days,
    }
    return {**_without_empty(exported), "enabled": row.enabled}


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """An empty mapping stays: `headers: {}` is not the same as none."""
    return {key: value for key, value in values.items() if value not in ("", None, [])}


def _plain(number: float) -> int | float:
    return int(number) if number == int(number) else number


def _placeholder(names: dict[str, None], *parts: str) -> str:
    """`${SHOP_MAIN_SECRET}`; two secrets whose names would be alike get numbers."""
    base = re.sub(r"[^A-Z0-9]+", "_", "_".join(parts).upper()).strip("_")
    base = f"_{base}" if base[:1].isdigit() else base
    name, number = base, 2
    while name in names:
        name, number = f"{base}_{number}", number + 1
    names[name] = None
    return f"${{{name}}}"


def _escaped(value: Any) -> Any:
    """Texts that hold `${NAME}` themselves get a second dollar there, which `apply` takes away again."""
    if isinstance(value, str):
        return re.sub(rf"\${NAME}", r"$\g<0>", value) if "${" in value else value
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value
