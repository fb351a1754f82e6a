"""What the README says under "Call your application", called: each line goes to a destination that judges it."""

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks.webhooks import Webhook

from connectors.auth.oauth2 import tokens
from connectors.catalogue import catalogue
from connectors.choices import EndpointAuth
from connectors.configuration import apply_configuration
from messages import delivery
from messages.choices import OutcomeKind
from messages.claims import Work
from messages.outcomes import Outcome
from tests.connectors.auth.test_signing import WEBHOOK_SECRET
from tests.connectors.test_transport_tls import Authority
from tests.destination import Answer, Destination, Received

pytestmark = pytest.mark.django_db
README = (Path(__file__).parents[2] / "README.md").read_text()
AUTHS = re.findall(r"\| `({scheme: .*})` \|$", README, re.MULTILINE)
SECRETS = {"TOKEN": "the-token", "KEY": "the-key", "PASSWORD": "the-password", "SECRET": "the-secret"}
BODY = b'{"order":{"id":"A/7"}}'
ID = UUID("0198f2c0-0000-7000-8000-000000000001")


@pytest.fixture
def destination() -> Iterator[Destination]:
    tokens.forget()
    with Destination() as server:
        server.answers("/token", Answer(200, {"access_token": "the-access-token", "token_type": "Bearer"}))
        yield server


def called(url: str, line: str, *, route: str = "on_failure: block", **environ: str) -> Outcome:
    """Applies an endpoint and a route with these lines, and delivers one message on it."""
    text = f"""
version: 1
applications:
  - {{slug: shop}}
  - {{slug: erp, endpoints: [{{slug: erp, url: "{url}", {line}}}]}}
routes: [{{slug: orders, source: shop, endpoint: erp, {route}}}]
"""
    apply_configuration(text, environ={**SECRETS, "WEBHOOK_SECRET": WEBHOOK_SECRET, **environ})
    plan = catalogue.by_slug("orders")
    assert plan is not None
    return delivery.attempt(Work(1, ID, 1, 1, "async", True, 0, BODY, "application/json", None), plan)


def bears(header: str, value: str) -> Callable[[Received], bool]:
    return lambda request: request.header(header) == value


def is_signed(request: Received) -> bool:
    signed = request.header("X-Timestamp").encode() + b"." + request.body
    return request.header("X-Signature") == hmac.new(b"the-secret", signed, "sha256").hexdigest()


def is_a_webhook(request: Received) -> bool:
    return bool(Webhook(WEBHOOK_SECRET).verify(request.body, dict(request.headers)))


JUDGES: dict[str, Callable[[Received], bool]] = {
    "scheme: bearer": bears("Authorization", "Bearer the-token"),
    "scheme: api_key, header": bears("X-Door", "the-key"),
    "scheme: api_key, query": lambda request: request.target == "/orders?code=the-key",
    "scheme: basic": bears("Authorization", f"Basic {b64encode(b'hub:the-password').decode()}"),
    "scheme: oauth2": bears("Authorization", "Bearer the-access-token"),
    "scheme: hmac": is_signed,
    "scheme: standard_webhooks": is_a_webhook,
}


@pytest.mark.parametrize("line", AUTHS)
def test_authentication_opens_a_destination_that_wants_it(destination: Destination, line: str) -> None:
    here = f'token_url: "{destination.url("/token")}"'
    (judge,) = [judge for beginning, judge in JUDGES.items() if line.startswith("{" + beginning)]

    outcome = called(destination.url("/orders"), "auth: " + re.sub(r'token_url: "[^"]*"', here, line))

    (request,) = destination.received("/orders")
    assert outcome.kind == OutcomeKind.SUCCEEDED
    assert judge(request)


def test_every_authentication_is_in_the_readme() -> None:
    schemes = {match for line in AUTHS for match in re.findall(r"^{scheme: (\w+)", line)}

    assert schemes == set(EndpointAuth.values) - {"none"}
    assert len(AUTHS) == len(JUDGES)


def in_readme(beginning: str) -> str:
    """The first piece of code in the README that begins like this."""
    return str(re.findall(rf"`({re.escape(beginning)}[^`]*)`", README)[0])


def test_values_of_the_message_in_path_and_query(destination: Destination) -> None:
    path = in_readme("https://erp.example.com/orders/{").removeprefix("https://erp.example.com")

    called(destination.url(path), in_readme("query: {"))

    assert destination.requests[0].target == "/orders/A%2F7?company=7&ref=A%2F7"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(409, OutcomeKind.SUCCEEDED), (404, OutcomeKind.FAILED), (503, OutcomeKind.REFUSED), (410, OutcomeKind.REFUSED)],
)
def test_statuses_mean_what_the_route_says(destination: Destination, status: int, kind: OutcomeKind) -> None:
    destination.answers("/orders", Answer(status))

    assert called(destination.url("/orders"), "method: POST", route=in_readme("statuses: {")).kind == kind


def test_private_authority_is_trusted(tmp_path: Path) -> None:
    authority = Authority(ec.generate_private_key(ec.SECP256R1()), tmp_path)

    with Destination(tls=authority.server("127.0.0.1")) as server:
        outcome = called(server.url("/orders"), in_readme("tls: {"), CA=Path(authority.bundle()).read_text())

    assert outcome.kind == OutcomeKind.SUCCEEDED
