"""`/openapi.json` is true: schemathesis sends what it describes to the real server, and what it forbids, too."""

import json
import re
import subprocess
import sys

import pytest
import requests

from tests.destination import Destination
from tests.flows.conftest import KEY, ON_SQLITE, ROOT, Platform

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180), ON_SQLITE]
CONFIGURATION = """
version: 1
applications:
  - slug: shop
    credentials:
      - {name: main, scheme: api_key, secret: "${SHOP_KEY}"}
  - slug: erp
    endpoints:
      - {slug: plain, url: DESTINATION/plain, timeout_seconds: 5}
mappings:
  - slug: described-order
    fields:
      - {target: number, source: id, required: true}
      - {target: 'lines[].price', source: 'lines[].price', type: decimal}
routes:
  - slug: anything
    source: shop
    endpoint: plain
    patterns: [async]
    ordering: none
  - slug: described
    source: shop
    endpoint: plain
    sync_deadline_seconds: 60
    patterns: [sync, async]
    ordering: key
    ordering_key: customer.id
    idempotency_key: id
    mapping: described-order
    schema:
      type: object
      required: [id, lines]
      properties:
        id: {type: integer}
        customer: {type: object, properties: {name: {type: string}}}
        lines: {type: array, maxItems: 3, items: {$ref: "#/$defs/line"}}
      $defs:
        line: {type: object, required: [price], properties: {price: {type: number, multipleOf: 0.01}}}
  - slug: events
    source: shop
    endpoint: plain
    patterns: [async]
    ordering_key: subject
    schema: {type: object, properties: {id: {type: string}, data: {type: object}}}
  - slug: rows
    source: shop
    endpoint: plain
    sync_deadline_seconds: 60
    patterns: [sync]
    ordering: none
    reply: body
    schema: {type: array, items: {type: object, additionalProperties: {type: string}}}
"""
JSON_TYPES = ("application/json", "application/cloudevents+json")


@pytest.fixture(scope="module")
def description(own_platform: Platform, destination: Destination) -> str:
    """What the server says of itself, in a file; XML, forms and CSV only where any value fits, since their schema is
    that of the value and not of the text."""
    destination.answers("/plain")  # as it answers if no other module told it how
    own_platform.apply(CONFIGURATION.replace("DESTINATION", destination.url("").rstrip("/")))
    document = requests.get(f"{own_platform.base}/openapi.json", timeout=10).json()
    others = re.compile(r"/webhooks/(?!anything|described|events|rows)")  # the stories' routes, whose destinations fail
    document["paths"] = {path: item for path, item in document["paths"].items() if not others.match(path)}
    for path in document["paths"]:
        if re.match("/webhooks/(?!anything)", path):
            body = document["paths"][path]["post"]["requestBody"]
            body["content"] = {name: told for name, told in body["content"].items() if name in JSON_TYPES}
    file = own_platform.folder / "openapi.json"
    file.write_text(json.dumps(document))
    return str(file)


def test_server_does_what_it_says_of_itself(own_platform: Platform, description: str) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", description, "--url", own_platform.base]
    command += ["--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--no-color"]
    command += ["--request-timeout", "60", "--generation-deterministic"]  # however busy the machine is
    environment = {
        **own_platform.environment,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.flows.described_hooks",
        "OWN_KEY": KEY,
    }

    done = subprocess.run(
        command, cwd=own_platform.folder, env=environment, capture_output=True, text=True, timeout=150, check=False
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
