from connectors.models.application import Application, Credential
from connectors.models.base import Revision
from connectors.models.endpoint import Endpoint
from connectors.models.mapping import FieldRow, LookupTable, Mapping, MappingVersion
from connectors.models.route import Route

__all__ = [
    "Application",
    "Credential",
    "Endpoint",
    "FieldRow",
    "LookupTable",
    "Mapping",
    "MappingVersion",
    "Revision",
    "Route",
]
