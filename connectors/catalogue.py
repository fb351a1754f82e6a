"""The configuration of one process, compiled and ready to work.

A plan is everything that a message needs on its way: it is built once from the tables and used until the
configuration's revision moves (`models/base.py`). Plans are immutable and shared by threads.
"""

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors import auth
from connectors.choices import Format, OnUnknown, Ordering
from connectors.mapping import Mapper, compile_definition
from connectors.models import Application, Credential, Endpoint, LookupTable, MappingVersion, Revision, Route
from connectors.models import Mapping as MappingModel
from connectors.models.fields import DecryptionFailed
from connectors.protection import CallLimits, CircuitPolicy
from connectors.readers import Reader, compile_reader
from connectors.retries import RetryPolicy, Statuses, compile_statuses
from connectors.schemas import Schema, compile_schema
from connectors.signatures import SCHEMES, InvalidCredential, Scheme
from connectors.templates import RequestTemplate
from connectors.tls import InvalidTls, client_context


@dataclass(frozen=True, slots=True)
class CredentialPlan:
    """What a request is checked with. Never shown: its repr has no secret."""

    id: int
    name: str
    scheme: str
    verifier: Scheme | None
    """None for a credential that cannot work; `closed` says why."""
    closed: str
    """Why it opens nothing, for support staff; empty while it is open."""
    expires_at: datetime | None

    def closed_at(self, now: float) -> str:
        if not self.closed and self.expires_at is not None and self.expires_at.timestamp() <= now:
            return f"it expired on {self.expires_at:%Y-%m-%d %H:%M} UTC"
        return self.closed


@dataclass(frozen=True, slots=True)
class MappingPlan:
    version_id: int
    number: int
    run: Mapper


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    id: int
    slug: str
    url: str = field(repr=False)
    method: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    auth: auth.Auth
    timeout_seconds: float
    paused: bool
    format: str = Format.JSON
    tls: ssl.SSLContext | None = None
    template: RequestTemplate | None = None
    """Makes URL and headers of the outgoing payload, where they depend on it."""
    circuit: CircuitPolicy = field(default_factory=CircuitPolicy)
    limits: CallLimits = field(default_factory=CallLimits)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values of headers and query that must not be passed on where an answer repeats them."""

    @property
    def unusable(self) -> str:
        """Why it cannot be called as it is configured, or its secrets cannot be read; empty where it can."""
        return self.auth.reason if isinstance(self.auth, auth.Unusable) else ""


@dataclass(frozen=True, slots=True)
class RoutePlan:
    id: int
    slug: str
    source_id: int
    enabled: bool
    paused: bool
    patterns: tuple[str, ...]
    credentials: tuple[CredentialPlan, ...]
    schema: Schema | None
    mapping: MappingPlan | None
    reply_mapping: MappingPlan | None
    reply: str
    ordering: str
    ordering_key: Reader | None
    idempotency_key: Reader | None
    search_keys: tuple[tuple[str, Reader], ...]
    on_failure: str
    retry: RetryPolicy
    sync_deadline_seconds: float
    on_deadline: str
    max_body_bytes: int
    retention_days: int
    endpoint: EndpointPlan
    force_list: frozenset[str] = frozenset()
    statuses: Statuses = field(default_factory=Statuses)
    on_unknown: str = OnUnknown.RETRY
    requests_per_minute: int | None = None
    """Of its source application, on all its routes together; None: any number."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole configuration as it was at one revision."""

    revision: int
    by_slug: Mapping[str, RoutePlan]
    by_id: Mapping[int, RoutePlan]
    credentials: Mapping[int, tuple[CredentialPlan, ...]]
    unusable: Mapping[int, str]
    """The endpoints that cannot be called as they are configured, by primary key, and why."""


class Catalogue:
    """All plans of this process. All but `known` and `remembered` first make sure that they are those of today."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    def known(self) -> Snapshot | None:
        """What this process last saw, if it has looked at all: for those who must not ask the database."""
        return self._snapshot

    def remembered(self) -> Snapshot:
        """What this process last saw, without asking: for work that is committed only while its revision holds."""
        return self._snapshot or self._current()

    def moved_since(self, snapshot: Snapshot) -> bool:
        """Whether the configuration has changed since; what is remembered is current then."""
        return self._current().revision != snapshot.revision

    def today(self) -> Snapshot:
        """The whole of it; the same object as long as nothing changes."""
        return self._current()

    def by_slug(self, slug: str) -> RoutePlan | None:
        return self._current().by_slug.get(slug)

    def by_id(self) -> Mapping[int, RoutePlan]:
        """The plans of all routes by primary key."""
        return self._current().by_id

    def unusable(self) -> Mapping[int, str]:
        """The endpoints that cannot be called as they are configured, by primary key, and why."""
        return self._current().unusable

    def credentials_of(self, application_id: int) -> tuple[CredentialPlan, ...]:
        return self._current().credentials.get(application_id, ())

    def all_credentials(self) -> list[CredentialPlan]:
        """Of all applications: for addresses that belong to none of them."""
        return [plan for plans in self._current().credentials.values() for plan in plans]

    def clear(self) -> None:
        """Forgets all plans; for tests that replace the database under a process."""
        self._snapshot = None

    def _current(self) -> Snapshot:
        revision = Revision.current()
        snapshot = self._snapshot
        if snapshot is not None and snapshot.revision == revision:
            return snapshot
        with self._lock:
            if self._snapshot is None or self._snapshot.revision != revision:
                # a change committed while we build is noticed by the next look: we remember the older number
                self._snapshot = _build(revision)
            return self._snapshot


catalogue = Catalogue()


def _build(revision: int) -> Snapshot:
    lookups = {table.slug: table.entries for table in LookupTable.objects.all()}
    versions = _newest_versions()
    compiled: dict[int, MappingPlan] = {}

    def mapping_plan(mapping_id: int | None) -> MappingPlan | None:
        if mapping_id is None or mapping_id not in versions:
            return None
        if mapping_id not in compiled:
            version = versions[mapping_id]
            compiled[mapping_id] = MappingPlan(
                version.pk, version.number, compile_definition(version.definition, lookups)
            )
        return compiled[mapping_id]

    credentials = _credential_plans()
    endpoints = {endpoint.pk: _endpoint_plan(endpoint) for endpoint in Endpoint.objects.all()}
    limits = dict(Application.objects.values_list("pk", "requests_per_minute"))
    plans = [
        _route_plan(route, endpoints[route.endpoint_id], credentials, mapping_plan, limits[route.source_id])
        for route in Route.objects.all()
    ]
    by_slug, by_id = {plan.slug: plan for plan in plans}, {plan.id: plan for plan in plans}
    unusable = {plan.id: plan.unusable for plan in endpoints.values() if plan.unusable}
    return Snapshot(revision, by_slug, by_id, credentials, unusable)


def _newest_versions() -> dict[int, MappingVersion]:
    newest: dict[int, MappingVersion] = {}
    for mapping in MappingModel.objects.all():
        version = mapping.versions.order_by("-number").first()
        if version is not None:
            newest[mapping.pk] = version
    return newest


def _credential_plans() -> dict[int, tuple[CredentialPlan, ...]]:
    """Those that are closed, too: support staff are told about them when they are used."""
    plans: dict[int, list[CredentialPlan]] = {}
    for credential in Credential.objects.select_related("application"):
        plans.setdefault(credential.application_id, []).append(_credential_plan(credential))
    return {pk: tuple(found) for pk, found in plans.items()}


def _credential_plan(credential: Credential) -> CredentialPlan:
    usual_names = {"names": (credential.application.slug, credential.name)}
    verifier, closed = None, ""
    try:
        verifier = SCHEMES[credential.scheme](credential.secrets, {**credential.options, **usual_names})
    except DecryptionFailed as error:
        closed = f"it cannot work: {str(error).rstrip('.')}"
    except (InvalidCredential, KeyError) as error:
        closed = f"it cannot work as it is configured ({str(error).rstrip('.')})"
    if credential.revoked_at is not None:
        closed = f"it was revoked on {credential.revoked_at:%Y-%m-%d %H:%M} UTC"
    elif not credential.enabled:
        closed = "it is disabled"
    return CredentialPlan(
        id=credential.pk,
        name=credential.name,
        scheme=credential.scheme,
        verifier=verifier,
        closed=closed,
        expires_at=credential.expires_at,
    )


def plan_of(endpoint: Endpoint) -> EndpointPlan:
    """Of an endpoint that no route may lead to yet, as it is stored."""
    return _endpoint_plan(endpoint)


def _endpoint_plan(endpoint: Endpoint) -> EndpointPlan:
    proof, context = _proof(endpoint)
    url, template = endpoint.url, None
    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    try:
        template = RequestTemplate(url, endpoint.read("query_parameters"), endpoint.read("headers"))
        secrets = endpoint.read_secrets()
    except (ValueError, DecryptionFailed) as error:  # ValueError: InvalidTemplate, or not a URL at all
        proof = _unusable(endpoint, str(error))
    if template is not None and template.is_constant:
        (url, headers), template = template.fill(None), None
    return EndpointPlan(
        id=endpoint.pk,
        slug=endpoint.slug,
        url=url,
        method=endpoint.method,
        headers=headers,
        auth=proof,
        timeout_seconds=endpoint.timeout_seconds,
        paused=endpoint.paused,
        format=endpoint.format,
        tls=context,
        template=template,
        circuit=endpoint.circuit_policy,
        limits=endpoint.call_limits,
        secrets=secrets,
    )


def _proof(endpoint: Endpoint) -> tuple[auth.Auth, ssl.SSLContext | None]:
    """How we prove who we are. Where that cannot work only the calls of this endpoint fail, and say why."""
    try:
        context = client_context(endpoint.tls_ca, endpoint.tls_certificate, endpoint.tls_key)
        return auth.build(endpoint.auth_scheme, endpoint.read_auth()), context
    except (auth.InvalidAuth, InvalidTls, DecryptionFailed) as error:
        return _unusable(endpoint, str(error)), None


def _unusable(endpoint: Endpoint, reason: str) -> auth.Auth:
    return auth.Unusable(f"The endpoint {endpoint.slug} cannot work as it is configured: {reason.rstrip('.')}.")


def _route_plan(
    route: Route,
    endpoint: EndpointPlan,
    credentials: Mapping[int, tuple[CredentialPlan, ...]],
    mapping_plan: Callable[[int | None], MappingPlan | None],
    requests_per_minute: int | None,
) -> RoutePlan:
    return RoutePlan(
        id=route.pk,
        slug=route.slug,
        source_id=route.source_id,
        enabled=route.enabled,
        paused=route.paused,
        patterns=route.allowed_patterns,
        credentials=credentials.get(route.source_id, ()),
        schema=None if route.schema is None else compile_schema(route.schema),
        mapping=mapping_plan(route.mapping_id),
        reply_mapping=mapping_plan(route.reply_mapping_id),
        reply=route.reply,
        ordering=route.ordering,
        ordering_key=compile_reader(route.ordering_key) if route.ordering == Ordering.KEY else None,
        idempotency_key=compile_reader(route.idempotency_key) if route.idempotency_key else None,
        search_keys=tuple((name, compile_reader(path)) for name, path in (route.search_keys or {}).items()),
        on_failure=route.on_failure,
        retry=route.retry_policy,
        sync_deadline_seconds=route.sync_deadline_seconds,
        on_deadline=route.on_deadline,
        max_body_bytes=route.max_body_bytes,
        retention_days=route.retention_days,
        endpoint=endpoint,
        force_list=frozenset(route.force_list or ()),
        statuses=compile_statuses(route.statuses or {}),
        on_unknown=route.on_unknown,
        requests_per_minute=requests_per_minute,
    )
