"""The configuration's pages."""

from connectors.admin import application, endpoint, mapping, route

__all__ = ["application", "endpoint", "mapping", "route"]
