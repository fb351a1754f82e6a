"""Applications, and the credentials of those that call us."""

from typing import Any

from connectors.choices import Algorithm, Encoding, Scheme
from connectors.configuration.endpoints import save_endpoint
from connectors.configuration.reading import Section, Unset
from connectors.configuration.saving import Saving, find, missing_secret
from connectors.models import Application, Credential
from connectors.paths import MISSING
from connectors.signatures import TOLERANCE_SECONDS, InvalidCredential, check_secret


def save_application(saving: Saving, section: Section) -> None:
    application = find(Application, slug=section.text("slug"))
    values: dict[str, Any] = {
        "name": section.text("name"),
        "description": section.text("description"),
        "requests_per_minute": section.optional_integer("requests_per_minute"),
    }
    credentials, endpoints = section.sections("credentials"), section.sections("endpoints")
    section.end()
    saving.save("application", section, application, values)
    names: set[str] = set()
    for one in credentials:
        name = one.text("name", "main")
        if name in names:
            one.fault("name", f"{name!r} occurs twice")
        else:
            names.add(name)
            _save_credential(saving, one, application, name)
    for one in saving.each("endpoint", endpoints):
        save_endpoint(saving, one, application)


def _save_credential(saving: Saving, section: Section, application: Application, name: str) -> None:
    credential = find(Credential, application=application, name=name) if application.pk else Credential(name=name)
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
    if _take_secret(section, credential, new_scheme="scheme" in values):
        values["secret"] = MISSING
    if _take_previous_secret(section, credential):
        values["previous_secret"] = MISSING
    section.end()
    saving.save("credential", section, credential, values, slug=f"{application.slug}/{name}")


def _take_secret(section: Section, credential: Credential, *, new_scheme: bool) -> bool:
    """Takes the secret into the row; whether it is another. Then the one before it goes with it."""
    secret = section.secret("secret")
    if not isinstance(secret, str):
        if new_scheme or not credential.has_secret:
            section.fault("secret", missing_secret(secret))
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


def _take_previous_secret(section: Section, credential: Credential) -> bool:
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
        section.fault("previous_secret", missing_secret(previous))
    if not credential.has_previous_secret or credential.previous_until == until:
        return False
    credential.previous_until = until
    return True


def _check_secret(section: Section, key: str, scheme: str, secret: str) -> None:
    try:
        check_secret(scheme, secret)
    except InvalidCredential as error:
        section.fault(key, str(error))
