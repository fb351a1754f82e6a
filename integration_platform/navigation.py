"""The admin's sidebar: who may see what decides what is listed."""

from collections.abc import Callable
from typing import Any

from django.urls import reverse_lazy


def _item(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_view(app, model),
    }


def _may_view(app: str, model: str) -> Callable[[Any], bool]:
    return lambda request: request.user.has_perm(f"{app}.view_{model}")


SIDEBAR = {
    "show_search": True,
    "navigation": [
        {
            "title": "Traffic",
            "items": [
                _item("Messages", "mail", "messaging", "message"),
                _item("Lanes", "format_list_numbered", "messaging", "lane"),
                _item("Bulk actions", "library_add_check", "messaging", "bulk"),
                _item("Rejections", "block", "messaging", "rejection"),
                {
                    "title": "API",
                    "icon": "api",
                    "link": reverse_lazy("api"),
                    "permission": _may_view("connectors", "route"),
                },
                _item("Circuits", "electrical_services", "messaging", "circuit"),
            ],
        },
        {
            "title": "Configuration",
            "items": [
                _item("Routes", "alt_route", "connectors", "route"),
                _item("Applications", "apps", "connectors", "application"),
                _item("Endpoints", "call_made", "connectors", "endpoint"),
                _item("Mappings", "transform", "connectors", "mapping"),
                _item("Lookup tables", "table_rows", "connectors", "lookuptable"),
            ],
        },
        {
            "title": "Platform",
            "items": [
                _item("Workers", "memory", "messaging", "worker"),
                _item("Schedules", "schedule", "django_q", "schedule"),
                _item("Failed tasks", "error", "django_q", "failure"),
                _item("History", "history", "admin", "logentry"),
                _item("Users", "person", "auth", "user"),
                _item("Groups", "group", "auth", "group"),
                _item("Logins", "login", "integration_platform", "logintally"),
            ],
        },
    ],
}
