"""Endpoints: where an application is called, and how we prove who we are there."""

from dataclasses import replace
from typing import Any

from connectors import auth as auths
from connectors.advice import advice
from connectors.choices import EndpointAuth, Format, Method, RatePeriod
from connectors.configuration.reading import Section, Unset
from connectors.configuration.saving import Saving, find, missing_secret
from connectors.masking import REDACTED
from connectors.models import Application, Endpoint
from connectors.models.endpoint import WITH_SECRETS
from connectors.paths import MISSING
from connectors.protection import CircuitPolicy


def save_endpoint(saving: Saving, section: Section, application: Application) -> None:
    endpoint = find(Endpoint, slug=section.text("slug"))
    if endpoint.pk is None:
        endpoint.application = application
    elif endpoint.application_id != application.pk:
        section.fault("slug", f"this endpoint belongs to the application {endpoint.application.slug!r}")
    values: dict[str, Any] = {
        "name": section.text("name"),
        "url": section.text("url", required=True),
        "method": section.choice("method", Method.values, Method.POST),
        "format": section.choice("format", Format.values, Format.JSON),
        **_with_secrets(section, endpoint),
        "timeout_seconds": section.number("timeout_seconds", 10),
        **_circuit(section),
        **_limits(section),
    }
    if _take_auth(section, endpoint):
        values["auth"] = MISSING
    values.update(_tls(section, endpoint))
    section.end()
    change = saving.save("endpoint", section, endpoint, values)
    if change is not None and change.action != "unchanged":
        saving.changes[-1] = replace(change, advice=tuple(advice(endpoint)))


def _take_auth(section: Section, endpoint: Endpoint) -> bool:
    """Takes the auth into the row; whether it differs from what is stored."""
    auth = section.section("auth")
    before = len(auth.faults)
    scheme = auth.choice("scheme", EndpointAuth.values, EndpointAuth.NONE)
    if len(auth.faults) > before:
        return False  # nobody knows which parameters it has
    stored = endpoint.stored_auth() if endpoint.pk and endpoint.auth_scheme == scheme else {}
    parameters: dict[str, Any] = {}
    for parameter in auths.SCHEMES[scheme].parameters:
        value = _parameter(auth, parameter, stored.get(parameter.name))
        if isinstance(value, str | dict):
            parameters[parameter.name] = value
        elif parameter.secret and parameter.name in stored:
            parameters[parameter.name] = stored[parameter.name]
        elif parameter.secret and parameter.required:
            auth.fault(parameter.name, missing_secret(value))
    auth.end()
    if len(auth.faults) == before:
        _check_auth(auth, scheme, parameters)
    if endpoint.pk and endpoint.auth_scheme == scheme and stored == parameters:
        return False
    endpoint.set_auth(scheme, parameters)
    return True


def _tls(section: Section, endpoint: Endpoint) -> dict[str, Any]:
    """The key goes with its certificate; one that is not given or whose variable is not set is kept."""
    tls = section.section("tls")
    certificate, key = tls.text("certificate"), tls.secret("key", lines=True)
    if not certificate and key is not None:
        tls.fault("certificate", "it belongs to the key")
    elif certificate and not isinstance(key, str) and not endpoint.tls_key:
        tls.fault("key", missing_secret(key))
    values = {"tls_ca": tls.text("ca"), "tls_certificate": certificate}
    tls.end()
    kept = endpoint.tls_key if certificate else ""
    return {**values, "tls_key": key if isinstance(key, str) else kept}


def _with_secrets(section: Section, endpoint: Endpoint) -> dict[str, Any]:
    """Headers and query; what is secret by its name goes into a column of its own."""
    shown = Endpoint(secret_values=endpoint.secret_values)
    shown.query_parameters = _kept(section, "query", endpoint.query_parameters)
    shown.headers = _kept(section, "headers", endpoint.headers)
    shown.hide()
    return {name: getattr(shown, name) for name in (*WITH_SECRETS, "secret_values")}


def _kept(section: Section, key: str, stored: dict[str, Any] | None) -> dict[str, Any] | None:
    _keep_unset(section, key, {name: value for name, value in (stored or {}).items() if value == REDACTED})
    return section.mapping(key)


def _keep_unset(section: Section, key: str, stored: dict[str, str]) -> None:
    """A secret is exported as a variable; as long as that is not set, what is stored under its name stays."""
    given = section.values.get(key)
    if isinstance(given, dict):
        kept = {name: stored[name] for name, value in given.items() if isinstance(value, Unset) and name in stored}
        section.values[key] = {**given, **kept}


def _parameter(auth: Section, parameter: auths.Parameter, stored: Any) -> Any:
    """What is given: a text, names and texts, the unset variable of a secret; None for what is empty or the default."""
    name = parameter.name
    if parameter.secret:
        return auth.secret(name)
    if parameter.pairs:
        readable = {one: text for one, text in (stored or {}).items() if text != REDACTED}
        _keep_unset(auth, name, readable)
        return auth.mapping(name) or None
    if parameter.choices:
        chosen = auth.choice(name, [value for value, _ in parameter.choices], parameter.default)
        return None if chosen == parameter.default else chosen
    return auth.text(name, required=parameter.required) or None


def _check_auth(auth: Section, scheme: str, parameters: dict[str, Any]) -> None:
    try:
        auths.build(scheme, parameters)
    except auths.InvalidAuth as error:
        auth.fault(error.field, str(error))


def _circuit(section: Section) -> dict[str, Any]:
    circuit, usual = section.section("circuit"), CircuitPolicy()
    values = {
        "circuit_enabled": circuit.boolean("enabled", default=usual.enabled),
        "circuit_failure_share": circuit.number("failure_share", usual.failure_share),
        "circuit_minimum_calls": circuit.integer("minimum_calls", usual.minimum_calls),
        "circuit_window_seconds": circuit.number("window_seconds", usual.window_seconds),
        "circuit_open_seconds": circuit.number("open_seconds", usual.open_seconds),
    }
    circuit.end()
    return values


def _limits(section: Section) -> dict[str, Any]:
    rate = section.section("rate")
    if rate.values and not rate.has("calls"):
        rate.fault("calls", "it is required")
    values = {
        "max_concurrent": section.integer("max_concurrent", 0) if section.has("max_concurrent") else None,
        "rate_calls": rate.integer("calls", 1) if rate.has("calls") else None,
        "rate_per": rate.choice("per", RatePeriod.values, RatePeriod.SECOND),
    }
    rate.end()
    return values
