"""Plain values → rows, in one transaction.

The file is the whole truth about each object that it names: a key that is not given takes its default. Objects that it
does not name stay as they are, and so do secrets whose variable is not set.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from connectors import formats
from connectors import mapping as mappings
from connectors.choices import EndpointAuth, Method, OnDeadline, OnFailure, Ordering, Patterns, Reply, Scheme
from connectors.configuration.reading import InvalidConfiguration, Section, Unset, read_file
from connectors.models import Application, Credential, Endpoint, FieldRow, LookupTable, Route
from connectors.models import Mapping as MappingModel
from connectors.models.endpoint import AUTH_PARAMETERS
from connectors.paths import MISSING

SECTIONS = ("applications", "lookup_tables", "mappings", "routes")
RETRY_KEYS = ("max_attempts", "first_delay_seconds", "factor", "max_delay_seconds")
ROW_KEYS = ("target", "source", "type", "required", "default", "lookup", "constant")


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object: created, changed or unchanged; `detail` names what changed, never a value."""

    action: str
    kind: str
    slug: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.slug}{f' ({self.detail})' if self.detail else ''}"


def apply_configuration(text: str, *, environ: Mapping[str, str], check: bool = False) -> list[Change]:
    """Upserts everything in the file; with `check` nothing is kept. Raises InvalidConfiguration: nothing changed."""
    top = read_file(text, environ)
    if top.raw("version") != 1:
        top.fault("version", "it has to be 1")
    with transaction.atomic():
        changes = _Applying(top).run()
        if top.faults or check:
            transaction.set_rollback(True)
    if top.faults:
        raise InvalidConfiguration(dict.fromkeys(top.faults))
    return changes


class _Applying:
    def __init__(self, top: Section) -> None:
        self.top = top
        self.changes: list[Change] = []
        self.named: dict[str, set[str]] = {}

    def run(self) -> list[Change]:
        """In the order of their references; a savepoint for each object, so that one fault does not hide the next."""
        sections = {key: self.top.sections(key) for key in SECTIONS}
        self.top.end()
        for table in self._each("lookup table", sections["lookup_tables"]):
            self._lookup_table(table)
        for mapping in self._each("mapping", sections["mappings"]):
            self._mapping(mapping)
        applications = self._each("application", sections["applications"])
        for application in applications:
            self._application(application)
        for route in self._each("route", sections["routes"]):
            self._route(route)
        return self.changes

    def _each(self, kind: str, sections: list[Section]) -> list[Section]:
        """The sections that have a slug of their own; remembers the slugs, so that one fault is not reported twice."""
        slugs = self.named.setdefault(kind, set())
        found = []
        for section in sections:
            slug = section.text("slug", required=True)
            if slug in slugs:
                section.fault("slug", f"{slug!r} occurs twice")
            elif slug:
                slugs.add(slug)
                found.append(section)
        return found

    def _reference(self, section: Section, key: str, kind: str, model: Any, *, required: bool) -> Any:
        slug = section.text(key, required=required)
        found = model.objects.filter(slug=slug).first() if slug else None
        if slug and found is None and slug not in self.named.get(kind, ()):
            section.fault(key, f"there is no {kind} {slug!r}")
        return found

    def _lookup_table(self, section: Section) -> None:
        entries = section.raw("entries", {})
        table = _find(LookupTable, slug=section.text("slug"))
        values = {"name": section.text("name"), "entries": {} if entries is None else entries}
        section.end()
        self._save("lookup table", section, table, values)

    def _mapping(self, section: Section) -> None:
        mapping = _find(MappingModel, slug=section.text("slug"))
        rows = section.sections("fields") if section.has("fields") else None
        expression = section.text("expression")
        if (rows is None) == (not expression):
            section.fault("", "a mapping has either fields or an expression")
        values = {"name": section.text("name"), "description": section.text("description"), "expression": expression}
        read = [self._row(row) for row in rows or []]
        before = len(section.faults)
        section.end()
        if None in read or len(section.faults) > before or not self._compiles(section, read, expression):
            return
        old = mapping.definition() if mapping.pk else None
        before = len(self.changes)
        self._save("mapping", section, mapping, values)
        if len(self.changes) == before:
            return
        self._save_rows(mapping, [row for row in read if row is not None], old)
        version = mapping.publish()
        change = self.changes[-1]
        if version is not None and change.action != "created":
            details = ["fields" if rows else "expression", f"version {version.number}"]
            self.changes[-1] = Change("changed", change.kind, change.slug, ", ".join(details))

    def _row(self, section: Section) -> dict[str, Any] | None:
        before = len(section.faults)
        row: dict[str, Any] = {"target": section.text("target", required=True)}
        for key in ("source", "type", "lookup"):
            if text := section.text(key):
                row[key] = text
        if section.boolean("required", default=False):
            row["required"] = True
        for key in ("default", "constant"):
            if section.has(key):
                row[key] = section.raw(key)
        section.end()
        return row if len(section.faults) == before else None

    def _compiles(self, section: Section, rows: list[dict[str, Any] | None], expression: str) -> bool:
        lookups = {table.slug: table.entries for table in LookupTable.objects.all()}
        for slug in self.named.get("lookup table", ()):
            lookups.setdefault(slug, {})
        definition = {"expression": expression} if expression else {"fields": rows}
        try:
            mappings.compile_definition(definition, lookups)
        except mappings.InvalidMapping as error:
            for fault in error.faults:
                section.fault(fault.field if expression else f"fields[{fault.index}].{fault.field}", fault.message)
            return False
        return True

    def _save_rows(self, mapping: MappingModel, rows: list[dict[str, Any]], old: dict[str, Any] | None) -> None:
        if old is not None and not _differs(old.get("fields", []), rows):
            return
        mapping.rows.all().delete()
        tables = {
            table.slug: table for table in LookupTable.objects.filter(slug__in=[row.get("lookup", "") for row in rows])
        }
        for position, row in enumerate(rows):
            FieldRow.objects.create(
                mapping=mapping,
                position=position,
                target=row["target"],
                source=row.get("source", ""),
                type=row.get("type", ""),
                required=row.get("required", False),
                default=_json_text(row.get("default", MISSING)),
                lookup=tables.get(row.get("lookup", "")),
                constant=_json_text(row.get("constant", MISSING)),
            )

    def _application(self, section: Section) -> None:
        application = _find(Application, slug=section.text("slug"))
        values = {"name": section.text("name"), "description": section.text("description")}
        credentials, endpoints = section.sections("credentials"), section.sections("endpoints")
        section.end()
        before = len(self.changes)
        self._save("application", section, application, values)
        if len(self.changes) == before:
            application = Application(slug=application.slug)  # faulty: its parts are read for their own faults only
        names: set[str] = set()
        for one in credentials:
            name = one.text("name", "main")
            if name in names:
                one.fault("name", f"{name!r} occurs twice")
            names.add(name)
            self._credential(one, application, name)
        for one in self._each("endpoint", endpoints):
            self._endpoint(one, application)

    def _credential(self, section: Section, application: Application, name: str) -> None:
        credential = _find(Credential, application=application, name=name) if application.pk else Credential(name=name)
        scheme = section.choice("scheme", Scheme.values, credential.scheme if credential.pk else Scheme.API_KEY)
        secret = section.secret("secret")
        values = {"username": section.text("username"), "enabled": section.boolean("enabled", default=True)}
        section.end()
        new_scheme = credential.scheme != scheme
        if isinstance(secret, str) and (new_scheme or not credential.has_this_secret(secret)):
            credential.scheme = scheme
            credential.set_secret(secret)
            values["secret"] = MISSING
        elif not isinstance(secret, str) and (new_scheme or not credential.has_secret):
            section.fault("secret", _missing_secret(secret))
        values["scheme"] = scheme
        if application.pk:
            self._save("credential", section, credential, values, slug=f"{application.slug}/{name}")

    def _endpoint(self, section: Section, application: Application) -> None:
        endpoint = _find(Endpoint, slug=section.text("slug"))
        if endpoint.pk and application.pk and endpoint.application_id != application.pk:
            section.fault("slug", f"this endpoint belongs to the application {endpoint.application.slug!r}")
            return
        endpoint.application = application
        values = {
            "name": section.text("name"),
            "url": section.text("url", required=True),
            "method": section.choice("method", Method.values, Method.POST),
            "headers": section.raw("headers") or None,
            "timeout_seconds": section.number("timeout_seconds", 10),
        }
        if self._auth(section, endpoint):
            values["auth"] = MISSING
        section.end()
        if application.pk:
            self._save("endpoint", section, endpoint, values)

    def _auth(self, section: Section, endpoint: Endpoint) -> bool:
        """Takes the auth into the row; whether it differs from what is stored."""
        auth = section.section("auth") or Section({"scheme": "none"}, section.at("auth"), section.faults)
        scheme = auth.choice("scheme", EndpointAuth.values, EndpointAuth.NONE)
        stored = endpoint.read_auth() if endpoint.pk and endpoint.auth_scheme == scheme else {}
        parameters: dict[str, str] = {}
        for name, is_secret in AUTH_PARAMETERS[scheme].items():
            value = (
                auth.secret(name)
                if is_secret
                else auth.text(name, "X-API-Key" if name == "header" else "", required=name == "username")
            )
            if isinstance(value, str):
                parameters[name] = value
            elif name in stored:
                parameters[name] = stored[name]
            else:
                auth.fault(name, _missing_secret(value))
        auth.end()
        if endpoint.pk and endpoint.auth_scheme == scheme and stored == parameters:
            return False
        endpoint.set_auth(scheme, parameters)
        return True

    def _route(self, section: Section) -> None:
        route = _find(Route, slug=section.text("slug"))
        before = len(section.faults)
        source = self._reference(section, "source", "application", Application, required=True)
        endpoint = self._reference(section, "endpoint", "endpoint", Endpoint, required=True)
        values = {
            "name": section.text("name"),
            "source": source,
            "endpoint": endpoint,
            "patterns": _patterns(section),
            "schema": section.raw("schema"),
            "mapping": self._reference(section, "mapping", "mapping", MappingModel, required=False),
            "reply_mapping": self._reference(section, "reply_mapping", "mapping", MappingModel, required=False),
            "reply": section.choice("reply", Reply.values, Reply.DOCUMENT),
            "ordering": section.choice(
                "ordering", Ordering.values, Ordering.KEY if section.values.get("ordering_key") else Ordering.ROUTE
            ),
            "ordering_key": section.text("ordering_key"),
            "idempotency_key": section.text("idempotency_key"),
            "search_keys": section.raw("search_keys") or None,
            "on_failure": section.choice("on_failure", OnFailure.values, OnFailure.BLOCK),
            "sync_deadline_seconds": section.number("sync_deadline_seconds", 8),
            "on_deadline": section.choice("on_deadline", OnDeadline.values, OnDeadline.TIMEOUT),
            "max_body_bytes": section.integer("max_body_bytes", 1_048_576),
            "retention_days": section.integer("retention_days", 30),
            "enabled": section.boolean("enabled", default=True),
            **_retry(section),
        }
        section.end()
        if source is not None and endpoint is not None:
            self._save("route", section, route, values)
        elif len(section.faults) == before:
            return  # it names something of this file that is faulty itself: said there

    def _save(self, kind: str, section: Section, row: Any, values: dict[str, Any], *, slug: str = "") -> None:
        """Saves a row whose attributes differ, after the model's own checks; their faults get the file's paths.

        A value MISSING marks what the caller has put into the row already.
        """
        new = row.pk is None
        changed = [] if new else [key for key, value in values.items() if _differs(getattr(row, key, None), value)]
        for name, value in values.items():
            if value is not MISSING:
                setattr(row, name, value)
        try:
            row.full_clean(validate_unique=new)
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                for message in messages:
                    section.fault(_KEYS.get(name, name), message)
            return
        if new or changed:
            row.save()
        action = "created" if new else "changed" if changed else "unchanged"
        detail = ", ".join(_KEYS.get(name, name) for name in changed) if action == "changed" else ""
        self.changes.append(Change(action, kind, slug or row.slug, detail))


_KEYS = {**{name: f"retry.{name}" for name in RETRY_KEYS}, "__all__": ""}


def _find(model: Callable[..., Any], **by: Any) -> Any:
    return model.objects.filter(**by).first() or model(**by)  # type: ignore[attr-defined]


def _differs(old: Any, new: Any) -> bool:
    """Structures are compared as they are written: 19.90 and 19.9 are the same number and not the same digits."""
    if isinstance(new, dict | list) and isinstance(old, dict | list):
        return formats.dump(old) != formats.dump(new)
    return new is MISSING or bool(old != new)


def _json_text(value: Any) -> str:
    return "" if value is MISSING else formats.dump(value).decode()


def _missing_secret(given: Unset | None) -> str:
    return f"the environment variable {given.name} is not set, and nothing is stored yet" if given else "it is required"


def _patterns(section: Section) -> str:
    value = section.raw("patterns", ["async"])
    text = ",".join(str(item) for item in value) if isinstance(value, list) else ""
    if text not in Patterns.values:
        section.fault("patterns", "it is a list of async and sync, the default one first")
        return Patterns.ASYNC
    return text


def _retry(section: Section) -> dict[str, Any]:
    retry = section.section("retry") or Section({}, section.at("retry"), section.faults)
    values = {
        "max_attempts": retry.integer("max_attempts", 8),
        "first_delay_seconds": retry.number("first_delay_seconds", 5),
        "factor": retry.number("factor", 3),
        "max_delay_seconds": retry.number("max_delay_seconds", 3600),
    }
    retry.end()
    return values
