"""What support staff search messages by."""

from django.db import models

from messages.models.message import Message


class SearchKey(models.Model):
    """An indexed name and value from the payload, e.g. order = 4711."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="search_keys")
    name = models.CharField(max_length=50)
    value = models.CharField(max_length=200)

    class Meta:
        ordering = ["message", "name"]
        indexes = [
            # "4711": any name, newest first
            models.Index(fields=["value", "-message"], name="search_key_value"),
            # "order:4711": this name only
            models.Index(fields=["name", "value", "-message"], name="search_key_name_value"),
        ]

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"
