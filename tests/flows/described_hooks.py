"""What schemathesis is told when `test_described.py` runs it: hooks are found by name, in a process of their own."""

import itertools
import os
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st

SOUND = re.compile(r'"(?:[ !#-\[\]-~]|\\["\\]){1,255}"|[^\s",;]{1,255}', re.ASCII)
numbers = itertools.count(1)

# an XML or CSV document is described as a text that holds one; these are such texts
schemathesis.openapi.media_type("application/xml", st.sampled_from([b"<a/>", b"<a b='c'>d<e/></a>"]))
schemathesis.openapi.media_type("text/csv", st.sampled_from([b"a;b\n1;2\n", b"a\n1\n"]))


@schemathesis.auth()
class OwnKey:
    def get(self, case: Any, context: Any) -> str:
        return os.environ["OWN_KEY"]

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["X-API-Key"] = data


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Each case is a message of its own: a key that came with another body before is a 422, as is described."""
    if case.method != "POST":
        return
    sent = case.headers.get("Idempotency-Key")
    if sent is None or (isinstance(sent, str) and SOUND.fullmatch(sent)):
        case.headers["Idempotency-Key"] = f"case-{next(numbers)}"
