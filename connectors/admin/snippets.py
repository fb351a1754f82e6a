"""What a sender's developers paste: one request, proven as the credential asks for, in Python and in Node.

Nothing but each language's own library is used; the secret is read from the environment.
"""

import json

from connectors.admin.proofs import Part, proof_of
from connectors.admin.senders import EXAMPLE, request_in_shell
from connectors.choices import Encoding
from connectors.models import Credential


def snippets(credential: Credential, url: str, body: str | None = None) -> list[tuple[str, str]]:
    """The same request in each language, with `body`, JSON."""
    shell = f"SECRET='…'\n{request_in_shell(credential, url, body)}"
    return [
        ("Shell", shell),
        ("Python", request_in_python(credential, url, body)),
        ("Node", request_in_node(credential, url, body)),
    ]


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
        f"    {json.dumps(name)}: {' + '.join(map(_node_text, parts))}," for name, parts in proof.headers.items()
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
