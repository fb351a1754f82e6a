"""An app that lets each process name itself to destinations, so that a test sees who has sent what."""

import os
from dataclasses import replace
from typing import Any

from django.apps import AppConfig

SENDER = "X-Sender"


class SendersConfig(AppConfig):
    name = "tests.senders"

    def ready(self) -> None:
        from messages import delivery

        original = delivery._request

        def named(*arguments: Any, **options: Any) -> Any:
            request = original(*arguments, **options)
            return replace(request, headers=(*request.headers, (SENDER, str(os.getpid()))))

        delivery._request = named
