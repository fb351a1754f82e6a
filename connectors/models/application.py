"""External systems, and how they prove who they are when they call us."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from connectors.choices import Algorithm, Encoding, Scheme
from connectors.keys import hash_key, key_matches
from connectors.models.base import Configured, ConfiguredManager, Named
from connectors.models.fields import EncryptedTextField, Unreadable
from connectors.signatures import SCHEMES, TOLERANCE_SECONDS, InvalidCredential, Secret

KEY_PREFIX_LENGTH = 8
HMAC_OPTIONS = ("header", "algorithm", "encoding", "prefix", "timestamp_header", "template", "tolerance_seconds")
"""What only a generic signature has; the names are those of the configuration file."""
MAX_REQUESTS_PER_MINUTE = 1_000_000
LAST_USE_SECONDS = 60
"""The last use is written this often at most, whoever and however many processes see it."""


class Application(Named):
    """An external system: source, destination or both."""

    description = models.TextField(blank=True)
    requests_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_REQUESTS_PER_MINUTE)],
        help_text="How many messages it may push, on all its routes together; what is more is answered with 429. "
        "Empty: any number.",
    )
    spent_until = models.FloatField(default=0, editable=False)
    """Until when its allowance is spent, in Unix seconds: `messages/rates.py` alone moves it. No configuration."""

    objects = ConfiguredManager()


class Credential(Configured):
    """One inbound scheme and its secret. Any credential of an application that is open and fits is enough.

    An API key is stored as a salted hash and the few characters by which people tell keys apart; a password or a
    signing secret has to be readable and is stored encrypted. While a secret is being replaced, the previous one goes
    on until `previous_until`.
    """

    application = models.ForeignKey(Application, models.CASCADE, related_name="credentials")
    name = models.SlugField(max_length=100, default="main", help_text="Tells the credentials of an application apart.")
    scheme = models.CharField(max_length=30, choices=Scheme.choices, default=Scheme.API_KEY)
    username = models.CharField(
        max_length=200, blank=True, help_text="HTTP Basic only. Empty: the application's slug or the credential's name."
    )
    header = models.CharField(max_length=100, blank=True, help_text="Carries the signature. Empty: X-Signature.")
    algorithm = models.CharField(max_length=10, choices=Algorithm.choices, default=Algorithm.SHA256)
    encoding = models.CharField(max_length=10, choices=Encoding.choices, default=Encoding.HEX)
    prefix = models.CharField(
        max_length=50, blank=True, help_text="What stands before the signature in its header, e.g. sha256="
    )
    timestamp_header = models.CharField(
        max_length=100,
        blank=True,
        help_text="Carries the time of sending, in Unix seconds or milliseconds. Empty: none is sent, and whoever "
        "records a request can send it again; an idempotency key makes that harmless.",
    )
    template = models.CharField(
        "signed content",
        max_length=200,
        blank=True,
        help_text="Empty: {body}, with a timestamp header {timestamp}.{body}",
    )
    tolerance_seconds = models.PositiveIntegerField(
        default=TOLERANCE_SECONDS,
        validators=[MinValueValidator(1), MaxValueValidator(86400)],
        help_text="How far the timestamp may be from now, before or after.",
    )
    secret = EncryptedTextField(blank=True, editable=False)
    secret_hash = models.CharField(max_length=200, blank=True, editable=False)
    key_prefix = models.CharField(max_length=20, blank=True, editable=False)
    previous_secret = EncryptedTextField(blank=True, editable=False)
    previous_hash = models.CharField(max_length=200, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    enabled = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Opens nothing from then on. Empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ConfiguredManager()

    class Meta:
        ordering = ["application", "name"]
        constraints = [models.UniqueConstraint(fields=["application", "name"], name="credential_name")]

    def __str__(self) -> str:
        return f"{self.application} / {self.name}"

    def clean(self) -> None:
        if self.username and self.scheme != Scheme.BASIC:
            raise ValidationError({"username": "Only HTTP Basic has a user name."})
        if ":" in self.username:
            raise ValidationError({"username": "A user name has no colon: it ends at the first one (RFC 7617)."})
        if self.scheme != Scheme.HMAC:
            strange = [name for name in HMAC_OPTIONS if getattr(self, name) != self.default_of(name)]
            if strange:
                raise ValidationError(dict.fromkeys(strange, "Only a signature (HMAC) of one's own has it."))
        elif self.tolerance_seconds:
            try:
                SCHEMES[self.scheme]([], self.options)
            except InvalidCredential as error:
                raise ValidationError({error.field: str(error)}) from None

    @classmethod
    def default_of(cls, option: str) -> Any:
        return cls._meta.get_field(option).get_default()  # type: ignore[union-attr]

    @property
    def options(self) -> dict[str, Any]:
        """What the scheme is built with, besides its secrets."""
        if self.scheme == Scheme.HMAC:
            return {name: getattr(self, name) for name in HMAC_OPTIONS}
        return {"username": self.username} if self.scheme == Scheme.BASIC else {}

    @property
    def has_secret(self) -> bool:
        return bool(self.secret or self.secret_hash)

    @property
    def has_previous_secret(self) -> bool:
        return bool(self.previous_secret or self.previous_hash)

    @property
    def secrets(self) -> list[Secret]:
        """The newest first; of API keys their hashes."""
        stored = [Secret(self.secret_hash or self.secret)] if self.has_secret else []
        if self.has_previous_secret and not isinstance(self.previous_secret, Unreadable):
            until = self.previous_until.timestamp() if self.previous_until else None
            stored.append(Secret(self.previous_hash or self.previous_secret, until))
        return stored

    def set_secret(self, plain: str, *, keep_until: datetime | None = None) -> None:
        """Takes a new secret into the row (not saved). With `keep_until` the old one goes on beside it until then.

        Basic without a user name may bring `user:password` at once.
        """
        kept = (self.secret, self.secret_hash, keep_until) if keep_until and self.has_secret else ("", "", None)
        self.previous_secret, self.previous_hash, self.previous_until = kept
        self.secret, self.secret_hash = self._stored(plain)
        # a key too short to spare eight characters shows none of them
        shown = self.scheme == Scheme.API_KEY and len(plain) >= 3 * KEY_PREFIX_LENGTH
        self.key_prefix = plain[:KEY_PREFIX_LENGTH] if shown else ""

    def set_previous_secret(self, plain: str, *, until: datetime | None) -> None:
        """Takes a second secret into the row (not saved), in force until then, or until it is ended."""
        self.previous_secret, self.previous_hash = self._stored(plain) if plain else ("", "")
        self.previous_until = until if plain else None

    def has_this_secret(self, plain: str) -> bool:
        """Whether `plain` is what is stored already, so that applying a file twice changes nothing."""
        return self._is_stored(plain, self.secret, self.secret_hash)

    def has_this_previous_secret(self, plain: str) -> bool:
        return self._is_stored(plain, self.previous_secret, self.previous_hash)

    def _stored(self, plain: str) -> tuple[str, str]:
        return ("", hash_key(plain)) if self.scheme == Scheme.API_KEY else (plain, "")

    def _is_stored(self, plain: str, secret: str, hashed: str) -> bool:
        if self.scheme == Scheme.API_KEY:
            return bool(hashed) and key_matches(plain, hashed)
        return bool(secret) and secret == plain

    @classmethod
    def note_uses(cls, uses: Mapping[int, datetime]) -> None:
        """Writes when credentials were last used, by primary key. It is no change of the configuration."""
        for pk, moment in uses.items():
            stale = Q(last_used_at=None) | Q(last_used_at__lte=moment - timedelta(seconds=LAST_USE_SECONDS))
            models.QuerySet(cls).filter(stale, pk=pk).update(last_used_at=moment)
