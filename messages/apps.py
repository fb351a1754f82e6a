from django.apps import AppConfig


class MessagesConfig(AppConfig):
    """`messages` is also the label of Django's own contrib app, so ours is `messaging`."""

    name = "messages"
    label = "messaging"
    verbose_name = "Traffic"
    default_auto_field = "django.db.models.BigAutoField"
