"""What the people at the other end do so that their application can call: steps, and a request to copy into a shell.

The shell commands need curl and openssl, which are on nearly every machine; SECRET is typed in there, never shown here.
"""

import shlex

from connectors.admin.proofs import Part, Parts, proof_of
from connectors.choices import Encoding, Scheme
from connectors.models import Credential

JSON = "-H 'Content-Type: application/json'"
EXAMPLE = '{"id": "4711"}'
HEX_OF = "| sed 's/^.* //'"  # some versions of openssl write the name of the digest before it

VARIABLES = {Part.TIME: '"$TIME"', Part.BODY: '"$BODY"', Part.SIGNATURE: '"$SIGNATURE"'}

SHORTLY = {
    Scheme.API_KEY: "a key sent with each request.",
    Scheme.BASIC: "user name and password sent with each request.",
    Scheme.HMAC: "the body is signed, in a header of one's choice; with a timestamp nobody can repeat it later.",
    Scheme.STANDARD_WEBHOOKS: "webhook-id, webhook-timestamp and webhook-signature, as Svix and many others send them.",
    Scheme.GITHUB: "X-Hub-Signature-256 over the body.",
    Scheme.STRIPE: "Stripe-Signature over time and body.",
    Scheme.SHOPIFY: "X-Shopify-Hmac-Sha256 over the body.",
    Scheme.SLACK: "X-Slack-Signature over time and body; its challenge is answered.",
}
"""What a scheme is, for whoever has to choose one."""

STEPS = {
    Scheme.API_KEY: "Send the key with every request, as X-API-Key or as Authorization: Bearer.",
    Scheme.BASIC: "Send user name and password with every request, in UTF-8.",
    Scheme.HMAC: "Sign the bytes of each request exactly as they are sent.",
    Scheme.STANDARD_WEBHOOKS: "Give the secret (whsec_…) and the address to the sender, or take the secret from its "
    "page. Any library of Standard Webhooks or Svix signs in this way.",
    Scheme.GITHUB: "In the repository or organisation: Settings, Webhooks, Add webhook. Payload URL: the address. "
    "Content type: application/json. Secret: this secret. GitHub's ping arrives as the first message.",
    Scheme.STRIPE: "In the Dashboard: Developers, Webhooks, Add destination with the address. Copy its signing secret "
    "(whsec_…) into this credential. Stripe's event id makes repeats harmless.",
    Scheme.SHOPIFY: "In the shop: Settings, Notifications, Webhooks, Create webhook, format JSON, with the address. "
    "Copy the key that is shown under the list into this credential; of an app it is the client secret. One topic a "
    "route: events of several topics may have the same id.",
    Scheme.SLACK: "At api.slack.com/apps: copy the Signing Secret (Basic Information) into this credential, then enter "
    "the asynchronous address as Request URL (Event Subscriptions). Its challenge is answered.",
}


def steps(scheme: str) -> str:
    return STEPS[Scheme(scheme)]


def request_in_shell(credential: Credential, url: str, body: str | None = None) -> str:
    """Shell commands that send one request as the sender would, with `body`, JSON; $SECRET has to be set."""
    commands = _commands(credential, f"curl {shlex.quote(url)} {JSON}")
    return f"BODY={shlex.quote(EXAMPLE if body is None else body)}\n{commands}"


def _commands(credential: Credential, curl: str) -> str:
    match credential.scheme:
        case Scheme.API_KEY:
            return f'{curl} -H "X-API-Key: $SECRET" -d "$BODY"'
        case Scheme.BASIC:
            user = shlex.quote(credential.username or credential.application.slug)
            return f'{curl} -u {user}:"$SECRET" -d "$BODY"'
        case Scheme.HMAC:
            return _generic(credential, curl)
        case Scheme.STANDARD_WEBHOOKS:
            key = "KEY=$(printf '%s' \"${SECRET#whsec_}\" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')"
            mac = 'openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | openssl base64 -A'
            return "\n".join(
                [
                    "TIME=$(date +%s); ID=msg_$TIME",
                    key,
                    f"SIGNATURE=$(printf '%s' \"$ID.$TIME.$BODY\" | {mac})",
                    f"{curl} \\",
                    '  -H "webhook-id: $ID" -H "webhook-timestamp: $TIME" \\',
                    '  -H "webhook-signature: v1,$SIGNATURE" -d "$BODY"',
                ]
            )
        case Scheme.GITHUB:
            headers = ('"X-Hub-Signature-256: sha256=$SIGNATURE"', '"X-GitHub-Delivery: delivery-1"')
            return _signed(curl, '"$BODY"', *headers)
        case Scheme.STRIPE:
            return _signed(curl, '"$TIME.$BODY"', '"Stripe-Signature: t=$TIME,v1=$SIGNATURE"')
        case Scheme.SHOPIFY:
            headers = ('"X-Shopify-Hmac-Sha256: $SIGNATURE"', '"X-Shopify-Event-Id: event-1"')
            return _signed(curl, '"$BODY"', *headers, encoding=Encoding.BASE64)
        case _:
            headers = ('"X-Slack-Request-Timestamp: $TIME"', '"X-Slack-Signature: v0=$SIGNATURE"')
            return _signed(curl, '"v0:$TIME:$BODY"', *headers)


def _generic(credential: Credential, curl: str) -> str:
    proof = proof_of(credential)
    headers = [f"{shlex.quote(f'{name}: ')}{_in_shell(parts)}" for name, parts in proof.headers.items()]
    return _signed(curl, _in_shell(proof.content), *headers, encoding=proof.encoding, algorithm=proof.algorithm)


def _in_shell(parts: Parts) -> str:
    return "".join(VARIABLES[part] if isinstance(part, Part) else shlex.quote(part) for part in parts)


def _signed(curl: str, content: str, *headers: str, encoding: str = Encoding.HEX, algorithm: str = "sha256") -> str:
    ending = HEX_OF if encoding == Encoding.HEX else "-binary | openssl base64 -A"
    sent = " ".join(f"-H {header}" for header in headers)
    timed = any("$TIME" in text for text in (content, *headers))
    return "\n".join(
        [
            *(["TIME=$(date +%s)"] if timed else []),
            f"SIGNATURE=$(printf '%s' {content} | openssl dgst -{algorithm} -hmac \"$SECRET\" {ending})",
            f"{curl} \\",
            f'  {sent} -d "$BODY"',
        ]
    )
