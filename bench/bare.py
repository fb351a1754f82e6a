"""The least that a door can do: Django REST framework views under the same server, with the same database."""

from functools import lru_cache
from typing import Any

import requests
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connectors.formats import JSON
from integration_platform.settings import *  # noqa: F403
from messages.database import write

ROOT_URLCONF = "bench.bare"
CREATE = {
    "sqlite": "CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, body BLOB, answer BLOB)",
    "postgresql": "CREATE TABLE IF NOT EXISTS bare (id BIGSERIAL PRIMARY KEY, body BYTEA, answer BYTEA)",
}


@lru_cache(maxsize=1)
def session() -> requests.Session:
    one = requests.Session()
    one.trust_env = False
    one.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=512))
    return one


def insert(body: bytes) -> int:
    with write(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO bare (body) VALUES (%s) RETURNING id", [body])
        return int(cursor.fetchone()[0])


class Accept(APIView):
    def post(self, request: Request) -> Any:
        return Response({"id": insert(request._request.body)}, status=202)


class Answer(APIView):
    def post(self, request: Request, port: int, delay: int) -> Any:
        body = request._request.body
        pk = insert(body)
        response = session().post(
            f"http://127.0.0.1:{port}/{delay}", data=body, headers={"Content-Type": JSON}, timeout=(5, 10)
        )
        with write(), connection.cursor() as cursor:
            cursor.execute("UPDATE bare SET answer = %s WHERE id = %s", [response.content, pk])
        return Response(response.json())


def ready(request: HttpRequest) -> HttpResponse:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(CREATE[connection.vendor])
    return HttpResponse()


urlpatterns = [
    path("ready", ready),
    path("accept", Accept.as_view()),
    path("answer/<int:port>/<int:delay>", Answer.as_view()),
]
