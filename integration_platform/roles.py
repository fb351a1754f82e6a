"""The four roles, as groups: each `migrate` makes them what they are here, and leaves every other group alone.

A role is made after `migrate` and not inside a migration, since Django makes the permissions themselves only then.
"""

from typing import Any

from django.apps import apps
from django.db.models import Q

OWN = Q(content_type__app_label__in=("connectors", "messaging"))
LOOKING = OWN & Q(codename__startswith="view_") & ~Q(codename="view_payload")
OPERATING = Q(
    content_type__app_label="messaging", codename__in=("view_payload", "operate_message", "operate_lane")
) | Q(content_type__app_label="admin", codename="view_logentry")
CONFIGURING = Q(content_type__app_label="connectors")
RUNNING = Q(content_type__app_label="django_q", codename__startswith="view_")
"""Looking only: a schedule names the function that it calls, any function."""
EVERYTHING = OWN | Q(content_type__app_label__in=("admin", "auth", "integration_platform")) | RUNNING

ROLES = {
    "viewer": LOOKING,
    "support": LOOKING | OPERATING,
    "integrator": LOOKING | CONFIGURING,
    "administrator": EVERYTHING,
}
"""A person of two groups may do what either may; payloads are for support staff and administrators."""


def keep_roles(using: str = "default", **signal: Any) -> None:
    """Gives each role's group exactly its permissions; makes the group if it is missing."""
    group, permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, allowed in ROLES.items():
        role, _ = group._default_manager.using(using).get_or_create(name=name)
        role.permissions.set(permission._default_manager.using(using).filter(allowed))
