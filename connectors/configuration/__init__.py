"""Configuration by file (contract, section 3): `apply_configuration` reads one, `export_configuration` writes one."""

from connectors.configuration.applying import apply_configuration
from connectors.configuration.exporting import export_configuration
from connectors.configuration.reading import MAX_BYTES, InvalidConfiguration
from connectors.configuration.saving import Change

__all__ = ["MAX_BYTES", "Change", "InvalidConfiguration", "apply_configuration", "export_configuration"]
