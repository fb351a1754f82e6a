"""Asks for pages of the admin as an administrator does and prints what each cost.

Queries, rows of tables, milliseconds, kilobytes.

python -m bench.pages
"""

import json
import statistics
import sys
import time

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from connectors.models import Application  # noqa: E402
from messages.models import Lane, Message, SearchKey  # noqa: E402

TIMES = 9


def pages() -> dict[str, str]:
    messages, lanes = "/admin/messaging/message/", "/admin/messaging/lane/"
    newest = Message.objects.order_by("-pk").values_list("pk", flat=True)[0]
    failed = Message.objects.filter(status="failed").order_by("-pk").values("pk", "route", "correlation_id")[0]
    key = SearchKey.objects.filter(message=newest, name="order").values_list("value", flat=True)[0]
    source = Application.objects.order_by("pk").values_list("pk", flat=True)[0]
    return {
        "home": "/admin/",
        "messages": messages,
        "messages, failed": f"{messages}?status__exact=failed",
        "messages, failed, 24 h": f"{messages}?status__exact=failed&received=day",
        "messages, an application": f"{messages}?application={source}",
        "messages, an error": f"{messages}?error=destination-failed",
        "messages, one route": f"{messages}?route__id__exact={failed['route']}",
        "search, an order": f"{messages}?q={key}",
        "search, an id": f"{messages}?q={str(failed['correlation_id'])[:13]}",
        "a message": f"{messages}{newest}/change/",
        "a failed message": f"{messages}{failed['pk']}/change/",
        "lanes": lanes,
        "lanes, all": f"{lanes}?work=all",
        "a lane": f"{lanes}{Lane.objects.held().order_by('pk').values_list('pk', flat=True)[0]}/change/",
    }


def cost(client: Client, address: str) -> dict[str, float]:
    client.get(address)
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address)
    queries = len(asked)  # the next request forgets them
    if answer.status_code != 200:
        raise SystemExit(f"{address} answered {answer.status_code}.")
    spent = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        client.get(address)
        spent.append((time.perf_counter() - begin) * 1000)
    rows = answer.content.count(b"<tr")
    return {"queries": queries, "rows": rows, "ms": statistics.median(spent), "kb": len(answer.content) / 1024}


if __name__ == "__main__":
    user, _ = get_user_model().objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    sys.stdout.write(json.dumps({name: cost(client, address) for name, address in pages().items()}))
