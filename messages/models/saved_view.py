"""A list as somebody wants to find it again."""

from django.conf import settings
from django.db import models


class SavedView(models.Model):
    """Search and filters of a list, by name: a link above it, for its owner or for everybody."""

    class List(models.TextChoices):
        MESSAGES = "message", "Messages"
        LANES = "lane", "Lanes"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    list = models.CharField(max_length=7, choices=List.choices)
    name = models.CharField(max_length=50)
    query = models.CharField(max_length=1000, blank=True)
    """What stands behind the list's address."""
    shared = models.BooleanField(default=False)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["owner", "list", "name"], name="savedview_name")]

    def __str__(self) -> str:
        return self.name
