"""The pages of support staff and operators."""

from messages.admin import lane, message, rejection

__all__ = ["lane", "message", "rejection"]
