"""The configuration's pages."""

from connectors.admin import application, credential, endpoint, mapping, route

__all__ = ["application", "credential", "endpoint", "mapping", "route"]
