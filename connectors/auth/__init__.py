"""How we prove who we are when we call an application: one small class a scheme, and the call that carries it.

The mirror of `signatures/`. A scheme's `parameters` are what the configuration file, the export and the admin's form
are made of: a new scheme is a class, a line in SCHEMES and a choice.
"""

from collections.abc import Mapping
from typing import Any

from connectors.auth.base import Auth, InvalidAuth, Parameter, Unusable
from connectors.auth.calling import Exchange, call
from connectors.auth.oauth2 import OAuth2Auth
from connectors.auth.plain import ApiKeyAuth, BasicAuth, BearerAuth, NoAuth
from connectors.auth.signing import HmacAuth, StandardWebhooksAuth
from connectors.choices import EndpointAuth

SCHEMES: Mapping[str, type[Auth]] = {
    EndpointAuth.NONE: NoAuth,
    EndpointAuth.API_KEY: ApiKeyAuth,
    EndpointAuth.BEARER: BearerAuth,
    EndpointAuth.BASIC: BasicAuth,
    EndpointAuth.OAUTH2: OAuth2Auth,
    EndpointAuth.HMAC: HmacAuth,
    EndpointAuth.STANDARD_WEBHOOKS: StandardWebhooksAuth,
}


def build(scheme: str, given: Mapping[str, Any]) -> Auth:
    """Raises InvalidAuth, also for a required parameter that is missing."""
    for parameter in SCHEMES[scheme].parameters:
        if parameter.required and not given.get(parameter.name):
            raise InvalidAuth(parameter.name, "This authentication needs it.")
        if parameter.pairs and not _is_pairs(given.get(parameter.name)):
            raise InvalidAuth(parameter.name, "It is an object of names and texts.")
        known = [value for value, _ in parameter.choices]
        if known and given.get(parameter.name, parameter.default) not in known:
            raise InvalidAuth(parameter.name, f"It is one of {', '.join(known)}.")
    return SCHEMES[scheme](given)


def _is_pairs(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(text, str) for text in value.values()))


__all__ = ["SCHEMES", "Auth", "Exchange", "InvalidAuth", "Parameter", "Unusable", "build", "call"]
