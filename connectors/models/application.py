"""External systems, and how they prove who they are when they call us."""

from django.core.exceptions import ValidationError
from django.db import models

from connectors.choices import Scheme
from connectors.keys import hash_key, key_matches
from connectors.models.base import Configured, ConfiguredManager, Named
from connectors.models.fields import EncryptedTextField

KEY_PREFIX_LENGTH = 8


class Application(Named):
    """An external system: source, destination or both."""

    description = models.TextField(blank=True)

    objects = ConfiguredManager()


class Credential(Configured):
    """One inbound scheme and its secret. Any enabled credential of an application that fits is enough.

    An API key is stored as a salted hash and the few characters by which people tell keys apart; a password has to
    be readable for some schemes and is stored encrypted.
    """

    application = models.ForeignKey(Application, models.CASCADE, related_name="credentials")
    name = models.SlugField(max_length=100, default="main", help_text="Tells the credentials of an application apart.")
    scheme = models.CharField(max_length=30, choices=Scheme.choices, default=Scheme.API_KEY)
    username = models.CharField(
        max_length=200, blank=True, help_text="HTTP Basic only. Empty: the application's slug or the credential's name."
    )
    secret = EncryptedTextField(blank=True, editable=False)
    secret_hash = models.CharField(max_length=200, blank=True, editable=False)
    key_prefix = models.CharField(max_length=20, blank=True, editable=False)
    enabled = models.BooleanField(default=True)
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

    @property
    def has_secret(self) -> bool:
        return bool(self.secret or self.secret_hash)

    def set_secret(self, plain: str) -> None:
        """Takes a new secret into the row (not saved). Basic without a user name may bring `user:password` at once."""
        self.secret, self.secret_hash, self.key_prefix = "", "", ""
        if self.scheme == Scheme.API_KEY:
            self.secret_hash = hash_key(plain)
            # a key too short to spare eight characters shows none of them
            self.key_prefix = plain[:KEY_PREFIX_LENGTH] if len(plain) >= 3 * KEY_PREFIX_LENGTH else ""
        else:
            self.secret = plain

    def has_this_secret(self, plain: str) -> bool:
        """Whether `plain` is what is stored already, so that applying a file twice changes nothing."""
        if self.scheme == Scheme.API_KEY:
            return bool(self.secret_hash) and key_matches(plain, self.secret_hash)
        return self.secret == plain
