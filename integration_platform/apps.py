from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate

from integration_platform.roles import keep_roles


class IntegrationPlatformConfig(AppConfig):
    name = "integration_platform"

    def ready(self) -> None:
        """After `messaging`, the last app that has tables: the permissions of all others exist by then."""
        post_migrate.connect(keep_roles, sender=apps.get_app_config("messaging"), dispatch_uid="roles")
