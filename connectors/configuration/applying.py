"""Plain values → rows, in one transaction.

The file is the whole truth about each object that it names: a key that is not given takes its default. What stays as
it is: objects that the file does not name, also credentials and endpoints of an application that it does name; secrets
that are not given or whose variable is not set; and whether a route or an endpoint is paused, which is an operator's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from connectors import audit, formats
from connectors import auth as auths
from connectors import mapping as mappings
from connectors.advice import advice
from connectors.choices import (
    Algorithm,
    Encoding,
    EndpointAuth,
    Format,
    Method,
    OnDeadline,
    OnFailure,
    OnUnknown,
    Ordering,
    Pattern,
    Patterns,
    RatePeriod,
    Reply,
    Scheme,
)
from connectors.configuration.reading import InvalidConfiguration, Section, Unset, read_file
from connectors.masking import REDACTED
from connectors.models import Application, Credential, Endpoint, FieldRow, LookupTable, Route
from connectors.models import Mapping as MappingModel
from connectors.models.endpoint import WITH_SECRETS
from connectors.paths import MISSING
from connectors.protection import CircuitPolicy
from connectors.signatures import TOLERANCE_SECONDS, InvalidCredential, check_secret

SECTIONS = ("applications", "lookup_tables", "mappings", "routes")
RETRY_KEYS = ("max_attempts", "first_delay_seconds", "factor", "max_delay_seconds")
CIRCUIT_KEYS = ("enabled", "failure_share", "minimum_calls", "window_seconds", "open_seconds")


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object: created, changed or unchanged; `detail` names what changed, never a value.

    `advice` is what saving it warns about, in sentences.
    """

    action: str
    kind: str
    slug: str
    detail: str = ""
    advice: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.slug}{f' ({self.detail})' if self.detail else ''}"


def apply_configuration(text: str, *, environ: Mapping[str, str], check: bool = False, by: Any = None) -> list[Change]:
    """Upserts everything in the file, in one transaction; one Change for each object, in the order of the work.

    What was created and changed is kept in the history of each object, as the deed of `by` if somebody is named.

    With `check` the same is done and taken back. Raises InvalidConfiguration, with all faults; then nothing is changed.
    """
    top = read_file(text, environ)
    version = top.raw("version")
    if isinstance(version, bool) or not isinstance(version, int) or version != 1:
        top.fault("version", "it has to be 1")
    with transaction.atomic():
        changes = _Applying(top, by).run()
        if top.faults or check:
            transaction.set_rollback(True)
    if top.faults:
        raise InvalidConfiguration(top.faults)
    return changes


class _Applying:
    def __init__(self, top: Section, by: Any) -> None:
        self.top = top
        self.by = by
        self.changes: list[Change] = []
        self.named: dict[str, set[str]] = {}
        self.tables: dict[str, LookupTable] = {}

    def run(self) -> list[Change]:
        """In the order of their references. What is faulty is left out, and the rest is read on for its own faults."""
        sections = {key: self.top.sections(key) for key in SECTIONS}
        self.top.end()
        for table in self._each("lookup table", sections["lookup_tables"]):
            self._lookup_table(table)
        self.tables = {table.slug: table for table in LookupTable.objects.all()}
        for mapping in self._each("mapping", sections["mappings"]):
            self._mapping(mapping)
        for application in self._each("application", sections["applications"]):
            self._application(application)
        for route in self._each("route", sections["routes"]):
            self._route(route)
        return self.changes

    def _each(self, kind: str, sections: list[Section]) -> list[Section]:
        """All but those whose slug another one has; remembers the slugs, so that one fault is not reported twice."""
        slugs = self.named.setdefault(kind, set())
        found = []
        for section in sections:
            slug = section.text("slug", required=True)
            if slug in slugs:
                section.fault("slug", f"{slug!r} occurs twice")
            else:
                slugs.update({slug} - {""})
                found.append(section)
        return found

    def _reference(self, section: Section, key: str, kind: str, model: Any, *, required: bool) -> Any:
        """The row that a slug names; None if there is none, a fault unless it is in this file and faulty itself."""
        slug = section.text(key, required=required)
        found = model.objects.filter(slug=slug).first() if slug else None
        if slug and found is None and slug not in self.named.get(kind, ()):
            section.fault(key, f"there is no {kind} {slug!r}")
        return found

    def _lookup_table(self, section: Section) -> None:
        table = _find(LookupTable, slug=section.text("slug"))
        values: dict[str, Any] = {"name": section.text("name"), "entries": section.mapping("entries") or {}}
        section.end()
        self._save("lookup table", section, table, values)

    def _mapping(self, section: Section) -> None:
        before = len(section.faults)
        mapping = _find(MappingModel, slug=section.text("slug"))
        expression = section.text("expression")
        values: dict[str, Any] = {
            "name": section.text("name"),
            "description": section.text("description"),
            "expression": expression,
        }
        rows = self._rows(section)
        section.end()
        if expression:
            self._compiles([section], {"expression": expression})
        if rows or len(section.faults) > before:
            # a row that is faulty by itself is left out, so that the faults of the others are found, too
            self._compiles([one for one, row in rows if row], {"fields": [row for _, row in rows if row]})
        definitions = [row for _, row in rows if row]
        if mapping.pk is None or _differs(mapping.definition().get("fields", []), definitions):
            values["fields"] = MISSING
        rows_told = {"fields": (mapping.definition().get("fields") if mapping.pk else None, definitions)}
        change = self._save("mapping", section, mapping, values, told=rows_told)
        if change is None or len(section.faults) > before:
            return
        if "fields" in values:
            mapping.write_rows(definitions, self.tables)
        version = mapping.publish()
        if version is not None and change.action != "created":
            detail = "; ".join(filter(None, (change.detail, f"version {version.number}")))
            self.changes[-1] = Change("changed", change.kind, change.slug, detail)

    def _rows(self, section: Section) -> list[tuple[Section, dict[str, Any] | None]]:
        """The rows as the model's definition writes them, keys in its order; None for one that is faulty."""
        given = section.values.get("fields") is not None
        rows = section.sections("fields")
        if given == (section.values.get("expression") not in (None, "")):
            section.fault("", "a mapping has either fields or an expression")
        elif given and not section.values["fields"]:
            section.fault("fields", "a mapping has at least one row")
        return [(row, self._row(row)) for row in rows]

    def _row(self, section: Section) -> dict[str, Any] | None:
        before = len(section.faults)
        row: dict[str, Any] = {"target": section.text("target", required=True)}
        for key in ("source", "type"):
            if text := section.text(key):
                row[key] = text
        if section.boolean("required", default=False):
            row["required"] = True
        if section.has("default"):
            row["default"] = section.raw("default")
        if text := section.text("lookup"):
            row["lookup"] = text
        if section.has("constant"):
            row["constant"] = section.raw("constant")
        section.end()
        if len(row["target"]) > _TARGET_LENGTH:
            section.fault("target", f"it has at most {_TARGET_LENGTH} letters")
        return row if len(section.faults) == before else None

    def _compiles(self, sections: list[Section], definition: dict[str, Any]) -> None:
        """Reports what the compiler says, each fault to the section at its index."""
        if not sections:
            return
        lookups = {slug: table.entries for slug, table in self.tables.items()}
        for slug in self.named.get("lookup table", ()):
            lookups.setdefault(slug, {})  # faulty itself: said there
        try:
            mappings.compile_definition(definition, lookups)
        except mappings.InvalidMapping as error:
            for fault in error.faults:
                sections[fault.index].fault(fault.field, fault.message)

    def _application(self, section: Section) -> None:
        application = _find(Application, slug=section.text("slug"))
        values: dict[str, Any] = {
            "name": section.text("name"),
            "description": section.text("description"),
            "requests_per_minute": section.optional_integer("requests_per_minute"),
        }
        credentials, endpoints = section.sections("credentials"), section.sections("endpoints")
        section.end()
        self._save("application", section, application, values)
        names: set[str] = set()
        for one in credentials:
            name = one.text("name", "main")
            if name in names:
                one.fault("name", f"{name!r} occurs twice")
            else:
                names.add(name)
                self._credential(one, application, name)
        for one in self._each("endpoint", endpoints):
            self._endpoint(one, application)

    def _credential(self, section: Section, application: Application, name: str) -> None:
        credential = _find(Credential, application=application, name=name) if application.pk else Credential(name=name)
        scheme = section.choice("scheme", Scheme.values, Scheme.API_KEY)
        values: dict[str, Any] = {
            "username": section.text("username"),
            "enabled": section.boolean("enabled", default=True),
            "expires_at": section.moment("expires_at"),
            "header": section.text("header"),
            "algorithm": section.choice("algorithm", Algorithm.values, Algorithm.SHA256),
            "encoding": section.choice("encoding", Encoding.values, Encoding.HEX),
            "prefix": section.text("prefix"),
            "timestamp_header": section.text("timestamp_header"),
            "template": section.text("template"),
            "tolerance_seconds": section.integer("tolerance_seconds", TOLERANCE_SECONDS),
        }
        if credential.scheme != scheme:
            credential.scheme = scheme
            values["scheme"] = MISSING
        if self._secret(section, credential, new_scheme="scheme" in values):
            values["secret"] = MISSING
        if self._previous_secret(section, credential):
            values["previous_secret"] = MISSING
        section.end()
        self._save("credential", section, credential, values, slug=f"{application.slug}/{name}")

    def _secret(self, section: Section, credential: Credential, *, new_scheme: bool) -> bool:
        """Takes the secret into the row; whether it is another. Then the one before it goes with it."""
        secret = section.secret("secret")
        if not isinstance(secret, str):
            if new_scheme or not credential.has_secret:
                section.fault("secret", _missing_secret(secret))
            return False
        if not new_scheme and credential.has_this_secret(secret):
            return False
        if credential.revoked_at is not None:
            section.fault("secret", "this credential was revoked; a new secret needs a credential of another name")
        _check_secret(section, "secret", credential.scheme, secret)
        kept = (credential.previous_secret, credential.previous_hash, credential.previous_until)
        credential.set_secret(secret)
        if not new_scheme and isinstance(section.values.get("previous_secret"), Unset):
            credential.previous_secret, credential.previous_hash, credential.previous_until = kept
        return True

    def _previous_secret(self, section: Section, credential: Credential) -> bool:
        """Takes a second secret into the row; whether anything differs. Without the key, what people rotate goes on."""
        until = section.moment("previous_until")
        previous = section.secret("previous_secret")
        if previous is None:
            if until is not None:
                section.fault("previous_until", "it belongs to previous_secret, which is not given")
            return False
        if isinstance(previous, str):
            if credential.has_this_previous_secret(previous) and credential.previous_until == until:
                return False
            _check_secret(section, "previous_secret", credential.scheme, previous)
            credential.set_previous_secret(previous, until=until)
            return True
        if credential.pk is None:
            section.fault("previous_secret", _missing_secret(previous))
        if not credential.has_previous_secret or credential.previous_until == until:
            return False
        credential.previous_until = until
        return True

    def _endpoint(self, section: Section, application: Application) -> None:
        endpoint = _find(Endpoint, slug=section.text("slug"))
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
        if self._auth(section, endpoint):
            values["auth"] = MISSING
        values.update(self._tls(section, endpoint))
        section.end()
        change = self._save("endpoint", section, endpoint, values)
        if change is not None and change.action != "unchanged":
            self.changes[-1] = replace(change, advice=tuple(advice(endpoint)))

    def _auth(self, section: Section, endpoint: Endpoint) -> bool:
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
                auth.fault(parameter.name, _missing_secret(value))
        auth.end()
        if len(auth.faults) == before:
            _check_auth(auth, scheme, parameters)
        if endpoint.pk and endpoint.auth_scheme == scheme and stored == parameters:
            return False
        endpoint.set_auth(scheme, parameters)
        return True

    def _tls(self, section: Section, endpoint: Endpoint) -> dict[str, Any]:
        """The key goes with its certificate; one that is not given or whose variable is not set is kept."""
        tls = section.section("tls")
        certificate, key = tls.text("certificate"), tls.secret("key", lines=True)
        if not certificate and key is not None:
            tls.fault("certificate", "it belongs to the key")
        elif certificate and not isinstance(key, str) and not endpoint.tls_key:
            tls.fault("key", _missing_secret(key))
        values = {"tls_ca": tls.text("ca"), "tls_certificate": certificate}
        tls.end()
        kept = endpoint.tls_key if certificate else ""
        return {**values, "tls_key": key if isinstance(key, str) else kept}

    def _route(self, section: Section) -> None:
        route = _find(Route, slug=section.text("slug"))
        ordering = Ordering.KEY if section.values.get("ordering_key") else Ordering.ROUTE
        values: dict[str, Any] = {
            "name": section.text("name"),
            "source": self._reference(section, "source", "application", Application, required=True),
            "endpoint": self._reference(section, "endpoint", "endpoint", Endpoint, required=True),
            "patterns": _patterns(section),
            "schema": _schema(section),
            "force_list": _force_list(section),
            "mapping": self._reference(section, "mapping", "mapping", MappingModel, required=False),
            "reply_mapping": self._reference(section, "reply_mapping", "mapping", MappingModel, required=False),
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
        self._save("route", section, route, values)

    def _save(
        self, kind: str, section: Section, row: Any, values: dict[str, Any], *, slug: str = "", told: Any = None
    ) -> Change | None:
        """Saves a row whose attributes differ, after the model's own checks; their faults get the file's paths.

        `told` has the old and new value of what the caller puts into the row; without them it is a secret.

        A value MISSING marks what the caller puts into the row. Returns None where the row, or one that it rests on, is
        faulty; what is absent has been reported by then.
        """
        new = row.pk is None
        changed = [] if new else [key for key, value in values.items() if _differs(getattr(row, key, None), value)]
        old = {name: getattr(row, name, None) for name in changed}
        for name, value in values.items():
            if value is not MISSING:
                setattr(row, name, value)
        absent = {name for name in _OWNERS if getattr(row, f"{name}_id", 0) is None}
        absent.update({"slug"} if getattr(row, "slug", None) == "" else ())
        try:
            row.full_clean(exclude=absent, validate_unique=new and not absent, validate_constraints=not absent)
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                for message in messages:
                    section.fault(_KEYS.get(name, name), message)
            return None
        if absent:
            return None
        if new or changed:
            row.save()
            if self.by is not None:
                audit.record(row, by=self.by, text=_told(changed, old, values, told or {}), added=new)
        action = "created" if new else "changed" if changed else "unchanged"
        detail = ", ".join(_KEYS.get(name, name) for name in changed)
        self.changes.append(Change(action, kind, slug or row.slug, detail))
        return self.changes[-1]


_TARGET_LENGTH = FieldRow._meta.get_field("target").max_length or 0
_SECRET = ("tls_key", "secret_values")
_OWNERS = ("application", "source", "endpoint")
_KEYS = {
    **{f"tls_{name}": f"tls.{name}" for name in ("ca", "certificate", "key")},
    "query_parameters": "query",
    **{name: f"retry.{name}" for name in RETRY_KEYS},
    **{f"circuit_{name}": f"circuit.{name}" for name in CIRCUIT_KEYS},
    **{f"rate_{name}": f"rate.{name}" for name in ("calls", "per")},
    "__all__": "",
}


def _told(changed: list[str], old: dict[str, Any], new: dict[str, Any], told: dict[str, Any]) -> list[Any]:
    """The history's entry; of what is a secret, that it was replaced."""
    if not changed:
        return [{"added": {}}]
    hidden = {name for name in changed if name in _SECRET or new[name] is MISSING}
    pairs = {name: audit.REPLACED if name in hidden else (old[name], new[name]) for name in changed}
    return audit.changed({_KEYS.get(name, name): told.get(name, pair) for name, pair in pairs.items()})


def _find(model: Callable[..., Any], **by: Any) -> Any:
    return model.objects.filter(**by).first() or model(**by)  # type: ignore[attr-defined]


def _differs(old: Any, new: Any) -> bool:
    """Structures are compared as they are written: 19.90 and 19.9 are the same number and not the same digits."""
    if isinstance(new, dict | list) and isinstance(old, dict | list):
        return formats.dump(old) != formats.dump(new)
    return new is MISSING or bool(old != new)


def _missing_secret(given: Unset | None) -> str:
    return f"the environment variable {given.name} is not set, and no secret is stored" if given else "it is required"


def _check_secret(section: Section, key: str, scheme: str, secret: str) -> None:
    try:
        check_secret(scheme, secret)
    except InvalidCredential as error:
        section.fault(key, str(error))


def _with_secrets(section: Section, endpoint: Endpoint) -> dict[str, Any]:
    """Headers and query; what is secret by its name goes into a column of its own."""
    shown = Endpoint(secret_values=endpoint.secret_values)
    shown.query_parameters = _kept(section, "query", endpoint.query_parameters)
    shown.headers = _kept(section, "headers", endpoint.headers)
    shown.hide()
    return {name: getattr(shown, name) for name in (*WITH_SECRETS, "secret_values")}


def _kept(section: Section, key: str, stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """A secret is exported as a variable; as long as that is not set, what is stored stays."""
    given = section.values.get(key)
    if isinstance(given, dict):
        hidden = {name for name, value in (stored or {}).items() if value == REDACTED}
        kept = {name: REDACTED for name, value in given.items() if isinstance(value, Unset) and name in hidden}
        section.values[key] = {**given, **kept}
    return section.mapping(key)


def _parameter(auth: Section, parameter: auths.Parameter, stored: Any) -> Any:
    """What is given: a text, names and texts, the unset variable of a secret; None for what is empty or the default."""
    name = parameter.name
    if parameter.secret:
        return auth.secret(name)
    if parameter.pairs:
        given = auth.values.get(name)
        if isinstance(given, dict) and isinstance(stored, dict):
            readable = {one: text for one, text in stored.items() if text != REDACTED}
            kept = {one: readable[one] for one, text in given.items() if isinstance(text, Unset) and one in readable}
            auth.values[name] = {**given, **kept}
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
