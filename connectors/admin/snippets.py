"""What a sender's developers paste: one request, proven as the credential asks for, in Python and in Node.

Nothing but each language's own library is used; the secret is read from the environment. What is signed and where the
signature goes is said once, for both languages.
"""

import json
import re
from dataclasses import dataclass
from enum import Enum

from connectors.admin.senders import EXAMPLE, request_in_shell
from connectors.choices import Encoding, Scheme
from connectors.models import Credential


class Part(Enum):
    """What stands between the texts that are written down."""

    SECRET = "secret"  # noqa: S105 - the name of a variable
    ACCOUNT = "account"  # user name and password, as HTTP Basic has them
    BODY = "body"
    TIME = "now"
    ID = "own_id"
    SIGNATURE = "signature"


Parts = tuple[str | Part, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """The headers that prove who calls; with `content` they hold a signature over it."""

    headers: dict[str, Parts]
    content: Parts = ()
    algorithm: str = "sha256"
    encoding: str = Encoding.HEX
    key_is_base64: bool = False

    def needs(self, part: Part) -> bool:
        return any(part in parts for parts in (self.content, *self.headers.values()))


def snippets(credential: Credential, url: str, body: str | None = None) -> list[tuple[str, str]]:
    """The same request in each language, with `body`, JSON."""
    shell = f"SECRET='…'\n{request_in_shell(credential, url, body)}"
    return [
        ("Shell", shell),
        ("Python", request_in_python(credential, url, body)),
        ("Node", request_in_node(credential, url, body)),
    ]


def proof_of(credential: Credential) -> Proof:
    signature = Part.SIGNATURE
    match credential.scheme:
        case Scheme.API_KEY:
            return Proof({"X-API-Key": (Part.SECRET,)})
        case Scheme.BASIC:
            return Proof({"Authorization": ("Basic ", Part.ACCOUNT)})
        case Scheme.HMAC:
            return _generic(credential)
        case Scheme.STANDARD_WEBHOOKS:
            headers: dict[str, Parts] = {
                "webhook-id": (Part.ID,),
                "webhook-timestamp": (Part.TIME,),
                "webhook-signature": ("v1,", signature),
            }
            content = (Part.ID, ".", Part.TIME, ".", Part.BODY)
            return Proof(headers, content, encoding=Encoding.BASE64, key_is_base64=True)
        case Scheme.GITHUB:
            return Proof({"X-Hub-Signature-256": ("sha256=", signature), "X-GitHub-Delivery": (Part.ID,)}, (Part.BODY,))
        case Scheme.STRIPE:
            return Proof({"Stripe-Signature": ("t=", Part.TIME, ",v1=", signature)}, (Part.TIME, ".", Part.BODY))
        case Scheme.SHOPIFY:
            headers = {"X-Shopify-Hmac-Sha256": (signature,), "X-Shopify-Event-Id": (Part.ID,)}
            return Proof(headers, (Part.BODY,), encoding=Encoding.BASE64)
        case _:
            headers = {"X-Slack-Request-Timestamp": (Part.TIME,), "X-Slack-Signature": ("v0=", signature)}
            return Proof(headers, ("v0:", Part.TIME, ":", Part.BODY))


def _generic(credential: Credential) -> Proof:
    template = credential.template or ("{timestamp}.{body}" if credential.timestamp_header else "{body}")
    named = {"{timestamp}": Part.TIME, "{body}": Part.BODY}
    content = tuple(named.get(part, part) for part in re.split(r"(\{timestamp\}|\{body\})", template) if part)
    signed: Parts = (credential.prefix, Part.SIGNATURE) if credential.prefix else (Part.SIGNATURE,)
    headers: dict[str, Parts] = {credential.header or "X-Signature": signed}
    if credential.timestamp_header:
        headers[credential.timestamp_header] = (Part.TIME,)
    return Proof(headers, content, str(credential.algorithm), str(credential.encoding))


def request_in_python(credential: Credential, url: str, body: str | None = None) -> str:
    proof = proof_of(credential)
    lines = [f"body = {(EXAMPLE if body is None else body)!r}.encode()"]
    if proof.needs(Part.TIME):
        lines.append("now = str(int(time.time()))")
    if proof.needs(Part.ID):
        lines.append("own_id = str(uuid.uuid4())  # keep it where the same message is sent again")
    if proof.needs(Part.ACCOUNT):
        user = f"{_user(credential)}:"
        lines.append(f"account = base64.b64encode(({user!r} + secret).encode()).decode()")
    if proof.content:
        key = 'base64.b64decode(secret.removeprefix("whsec_"))' if proof.key_is_base64 else "secret.encode()"
        content = " + ".join(_python_bytes(part) for part in proof.content)
        made = f"hmac.new({key}, {content}, {proof.algorithm!r})"
        hexadecimal = proof.encoding == Encoding.HEX
        lines.append(f"signature = {made}.hexdigest()" if hexadecimal
                     else f"signature = base64.b64encode({made}.digest()).decode()")  # fmt: skip
    text = "\n".join(lines)
    modules = sorted(name for name in ("base64", "hmac", "time", "uuid") if f"{name}." in text)
    headers = [
        f"    {name!r}: {' + '.join(_python_text(part) for part in parts)}," for name, parts in proof.headers.items()
    ]
    return "\n".join(
        [
            *(f"import {name}" for name in sorted([*modules, "os", "urllib.request"])),
            "",
            'secret = os.environ["SECRET"]',
            text,
            "headers = {",
            "    'Content-Type': 'application/json',",
            *headers,
            "}",
            f"request = urllib.request.Request({url!r}, body, headers)",
            "with urllib.request.urlopen(request, timeout=30) as answer:",
            "    print(answer.status, answer.read().decode())",
        ]
    )


def _python_text(part: str | Part) -> str:
    return part.value if isinstance(part, Part) else repr(part)


def _python_bytes(part: str | Part) -> str:
    if part is Part.BODY:
        return "body"
    if isinstance(part, Part):
        return f"{part.value}.encode()"
    return repr(part.encode()) if part.isascii() else f"{part!r}.encode()"


def request_in_node(credential: Credential, url: str, body: str | None = None) -> str:
    proof = proof_of(credential)
    lines = [f"const body = {json.dumps(EXAMPLE if body is None else body)};"]
    if proof.needs(Part.TIME):
        lines.append("const now = String(Math.floor(Date.now() / 1000));")
    if proof.needs(Part.ID):
        lines.append("const own_id = randomUUID(); // keep it where the same message is sent again")
    if proof.needs(Part.ACCOUNT):
        lines.append(f'const account = Buffer.from({json.dumps(_user(credential) + ":")} + secret).toString("base64");')
    if proof.content:
        key = 'Buffer.from(secret.replace(/^whsec_/, ""), "base64")' if proof.key_is_base64 else "secret"
        content = " + ".join(_node_text(part) for part in proof.content)
        made = f"createHmac({json.dumps(proof.algorithm)}, {key}).update({content})"
        lines.append(f"const signature = {made}.digest({json.dumps(str(proof.encoding))});")
    text = "\n".join(lines)
    used = [name for name in ("createHmac", "randomUUID") if f"{name}(" in text]
    headers = [
        f"    {json.dumps(name)}: {' + '.join(map(_node_text, parts))},"
        for name, parts in proof.headers.items()
        for name, parts in proof.headers.items()
    ]
    return "\n".join(
        [
            *([f'import {{ {", ".join(used)} }} from "node:crypto";', ""] if used else []),
            "const secret = process.env.SECRET;",
            text,
            f"const answer = await fetch({json.dumps(url)}, {{",
            '  method: "POST",',
            "  headers: {",
            '    "Content-Type": "application/json",',
            *headers,
            "  },",
            "  body,",
            "});",
            "console.log(answer.status, await answer.text());",
        ]
    )


def _node_text(part: str | Part) -> str:
    return part.value if isinstance(part, Part) else json.dumps(part)


def _user(credential: Credential) -> str:
    return credential.username or credential.application.slug
