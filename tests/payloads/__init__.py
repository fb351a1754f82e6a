"""Webhook bodies in the shapes that well-known kinds of senders use, as exact bytes: spaces and key order count.

The files hold bodies as they come over the wire; what is larger than a screen is made here instead.
"""

import json
from collections.abc import Callable
from pathlib import Path

MEBIBYTE = 1 << 20

_HERE = Path(__file__).parent


def all_payloads() -> dict[str, bytes]:
    """Every body by its name: the files by theirs, in order, then `large_payloads`."""
    files = {path.stem: path.read_bytes() for path in sorted(_HERE.glob("*.json"))}
    return files | large_payloads()


def large_payloads(size: int = MEBIBYTE) -> dict[str, bytes]:
    """Bodies of at most `size` bytes, and of nearly that; `size` is at least 1,000."""
    return {
        "made_export": _repeated(b'{"rows":[', _row, b"]}", size),
        "made_numbers": _repeated(b"[", lambda number: b"%d.%02d" % (number, number % 100), b"]", size),
        "made_keys": _repeated(b"{", lambda number: b'"k%d":%d' % (number, number), b"}", size),
        "made_document": b'{"document":"' + b"JVBERi0xLjcKJeLjz9MK" * ((size - 15) // 20) + b'"}',
    }


def order(lines: int) -> bytes:
    """One shop order, compact; about 330 bytes a line, so that 30 lines are 10 KB."""
    items = [json.loads(_row(number)) for number in range(lines)]
    head = {"id": 820982911946154508, "email": "ada@example.com", "created_at": "2026-11-23T08:16:54+01:00"}
    return json.dumps({**head, "line_items": items}, ensure_ascii=False, separators=(",", ":")).encode()


def _row(number: int) -> bytes:
    """One line of an order: a colon inside texts, trailing zeros, an escape."""
    return (
        b'{"id":%d,"sku":"AB-%d","title":"Kaffeebohnen \\"1 kg\\": dunkel","quantity":2,"price":"19.90","net":16.72,'
        b'"taxable":true,"tax_lines":[{"title":"MwSt","rate":0.19,"price":3.18}],"properties":[],"discount":null,'
        b'"url":"https:\\/\\/shop.example.com\\/p\\/ab-%d","updated_at":"2026-11-23T08:16:54+01:00"}'
    ) % (4660000 + number, number, number)


def _repeated(start: bytes, item: Callable[[int], bytes], end: bytes, size: int) -> bytes:
    items: list[bytes] = []
    length = len(start) + len(end)
    while length + len(made := item(len(items))) + 1 <= size:
        items.append(made)
        length += len(made) + 1
    return start + b",".join(items) + end
