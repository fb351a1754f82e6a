"""Entries of the log for people, in templates."""

from typing import Any

from django import template
from django.contrib.admin.models import LogEntry

from connectors import audit

register = template.Library()


@register.filter
def told(entry: LogEntry) -> list[Any]:
    """Sentences, each with (name, old, new) of what it changed."""
    return audit.entries_of(entry)
