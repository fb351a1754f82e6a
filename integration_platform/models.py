"""What the platform remembers of those who log in."""

from django.db import models


class LoginTally(models.Model):
    """Wrong passwords from an address, or for an account; or where an account has logged in before. See `logins`."""

    class Kind(models.TextChoices):
        ADDRESS = "address", "From an address"  # logins.charge
        ACCOUNT = "account", "For an account"  # logins.charge; forgotten with the next right password
        KNOWN = "known", "Has logged in"  # logins.succeeded: the account from this address

    kind = models.CharField(max_length=7, choices=Kind.choices)
    key = models.CharField(max_length=200)
    """A network; a username, or a hash of what was typed where there is no such account: it may be a password."""
    failures = models.PositiveIntegerField(default=0)
    blocked_until = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["-seen_at"]
        verbose_name_plural = "login tallies"
        constraints = [
            # each attempt to log in finds its own by this
            models.UniqueConstraint(fields=["kind", "key"], name="logintally_once"),
        ]
        indexes = [
            # those that are over
            models.Index(fields=["seen_at"], name="logintally_seen"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.key}"
