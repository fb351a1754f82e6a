from django.apps import AppConfig
from django.db.models.signals import post_migrate

from integration_platform.roles import keep_roles


class IntegrationPlatformConfig(AppConfig):
    name = "integration_platform"

    def ready(self) -> None:
        """This is the last app: the permissions of all others exist by then."""
        post_migrate.connect(keep_roles, sender=self, dispatch_uid="roles")
