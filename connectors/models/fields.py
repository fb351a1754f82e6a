"""Model fields of our own: secrets at rest, and JSON that keeps its digits."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from connectors import formats
from connectors.forms import ExactJSONFormField

CANNOT_BE_READ = "A stored secret was encrypted with a key that is not in ENCRYPTION_KEYS."


class DecryptionFailed(Exception):
    """A stored secret cannot be read with any of ENCRYPTION_KEYS."""


@lru_cache(maxsize=4)
def _fernet(keys: Sequence[str]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    """Fernet token of `text`, made with the first of ENCRYPTION_KEYS."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(text.encode()).decode("ascii")


def decrypt(token: str) -> str:
    """The text behind `token`; any of ENCRYPTION_KEYS may have made it. Raises DecryptionFailed."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise DecryptionFailed(CANNOT_BE_READ) from error


def encrypted_anew(token: str) -> str | None:
    """The same secret under the first of ENCRYPTION_KEYS; None if it is already. Raises DecryptionFailed."""
    keys = tuple(settings.ENCRYPTION_KEYS)
    try:
        _fernet(keys[:1]).decrypt(token.encode())
    except InvalidToken:
        decrypt(token)
        return _fernet(keys).rotate(token.encode()).decode("ascii")
    return None


class Unreadable:
    """A stored secret that none of ENCRYPTION_KEYS opens.

    It is set, differs from every text, and is saved as it was read. Whatever uses it as a text raises
    DecryptionFailed, so that it stops nothing but what needs it.
    """

    def __init__(self, token: str) -> None:
        self.token = token

    def __getattr__(self, name: str) -> Any:
        if hasattr(str, name) and not name.startswith("__"):
            raise DecryptionFailed(CANNOT_BE_READ)
        raise AttributeError(name)

    def __str__(self) -> str:
        raise DecryptionFailed(CANNOT_BE_READ)

    def __repr__(self) -> str:
        return "Unreadable()"


class EncryptedTextField(models.TextField):
    """Text that is encrypted in the database and plain in Python. Empty stays empty: "not set" can be queried."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        try:
            return decrypt(value) if value else value
        except DecryptionFailed:
            return Unreadable(value or "")

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Unreadable):
            return value.token
        value = super().get_prep_value(value)
        return encrypt(value) if value else value


class ExactJSONField(models.TextField):
    """A JSON value kept as text: digits, key order and letters stay as they were written, alike on every database.

    A `jsonb` column would reorder keys and a `JSONField` would turn 19.90 into a float. None means "not set".
    """

    _pyi_private_set_type: Any  # for the type checker: any JSON value may be assigned …
    _pyi_private_get_type: Any  # … and read

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else formats.parse(value.encode())

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else formats.dump(value).decode()

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return formats.parse(value.encode())
        except formats.MalformedBody as error:
            raise ValidationError(f"This is not valid JSON: {error}") from error

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else formats.dump(value).decode()

    def formfield(self, **kwargs: Any) -> Any:
        return models.Field.formfield(self, **{"form_class": ExactJSONFormField, **kwargs})
