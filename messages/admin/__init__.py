"""The pages of support staff and operators."""

from messages.admin import bulk, circuit, evidence, interface, lane, message, rejection, saved_views

__all__ = ["bulk", "circuit", "evidence", "interface", "lane", "message", "rejection", "saved_views"]
