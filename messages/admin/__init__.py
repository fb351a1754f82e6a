"""The pages of support staff and operators."""

from messages.admin import bulk, evidence, lane, message, rejection

__all__ = ["bulk", "evidence", "lane", "message", "rejection"]
