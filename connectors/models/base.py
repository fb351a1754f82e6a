"""What all configuration has in common: a slug, times, and a revision that tells every process to look again."""

from typing import Any, TypeVar

from django.db import connection, models, transaction
from django.db.models import F


class Revision(models.Model):
    """One row whose number grows with every change of the configuration.

    Each process keeps the configuration compiled (`connectors/catalogue.py`) and trusts it as long as this number
    stands still: one read by primary key instead of six joins for each request, and nobody ever works with an old
    configuration for longer than the transaction that changed it.
    """

    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)

    @classmethod
    def bump(cls) -> None:
        """Part of the transaction that changes the configuration; concurrent changes queue up here."""
        if not cls.objects.filter(pk=1).update(number=F("number") + 1):
            cls.objects.get_or_create(pk=1, defaults={"number": 1})

    @classmethod
    def current(cls) -> int:
        """Asked at every request, so it is written out: the ORM takes five times as long to put it together."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT number FROM connectors_revision WHERE id = 1")
            row = cursor.fetchone()
        return int(row[0]) if row else 0


Row = TypeVar("Row", bound=models.Model, covariant=True)


class ConfiguredQuerySet(models.QuerySet[Row]):
    """Bulk changes count as changes, too."""

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic():
            changed = super().update(**kwargs)
            Revision.bump()
        return changed

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            deleted = super().delete()
            Revision.bump()
        return deleted

    def bulk_create(self, *args: Any, **kwargs: Any) -> list[Any]:
        with transaction.atomic():
            created = super().bulk_create(*args, **kwargs)
            Revision.bump()
        return created


class ConfiguredManager(models.Manager[Row]):
    """Written out, since the type checker loses sight of managers that are made from a queryset."""

    def get_queryset(self) -> ConfiguredQuerySet[Row]:
        return ConfiguredQuerySet(self.model, using=self._db)


class Configured(models.Model):
    """Base of every configuration table: each save and delete moves the revision in the same transaction.

    Each table names `objects = ConfiguredManager()` itself; the type checker does not see an inherited one.
    """

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            Revision.bump()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            deleted = super().delete(*args, **kwargs)
            Revision.bump()
        return deleted


class Named(Configured):
    """A configured object that people and the configuration file find by its slug."""

    slug = models.SlugField(max_length=100, unique=True, help_text="Short name in addresses and files, e.g. web-shop.")
    name = models.CharField(max_length=200, blank=True, help_text="The name people see. Empty: the slug.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name or self.slug
