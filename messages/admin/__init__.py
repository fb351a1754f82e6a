"""The pages of support staff and operators."""

from messages.admin import evidence, lane, message, rejection

__all__ = ["evidence", "lane", "message", "rejection"]
