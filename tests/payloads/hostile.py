"""Bodies that are made to be slow to read, of about a given size in bytes."""

from collections.abc import Callable

HOSTILE: dict[str, Callable[[int], bytes]] = {
    "lists without end": lambda size: b"[" * size,
    "lists in lists": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "objects without end": lambda size: b'{"a":' * (size // 5),
    "a wide floor at the greatest depth": lambda size: b"[" * 63 + b"[]," * (size // 3) + b"1" + b"]" * 63,
    "many keys": lambda size: b'{":":0' + b"".join(b',"%x":1' % n for n in range(size // 10)) + b"}",
    "many keys, the last one twice": lambda size: (
        b"{" + b"".join(b'"%x":1,' % n for n in range(size // 10)) + b'"a":1}'
    ),
    "every key twice": lambda size: b"[" + b'{"":1,"":1},' * (size // 12) + b"1]",
    "small objects": lambda size: b"[" + b'{"":":"},' * (size // 9) + b"1]",
    "empty texts": lambda size: b"[" + b'"",' * (size // 3) + b'":"]',
    "colons": lambda size: b'"' + b":" * size + b'"',
    "escapes": lambda size: b'":' + b"\\n" * (size // 2) + b'"',
    "escaped quotes": lambda size: b'":' + b'\\"' * (size // 2) + b'"',
    "escaped backslashes": lambda size: b'":' + b"\\\\" * (size // 2) + b'"',
    "open texts": lambda size: b'"\\' * (size // 2),
    "unicode escapes": lambda size: b'"' + b"\\u00e9" * (size // 6) + b'"',
    "an unpaired surrogate at the end": lambda size: b'["' + b"a" * size + b'\\ud800"]',
    "wrong bytes": lambda size: b'"' + b"\xff" * size,
    "one long integer": lambda size: b"1" * size,
    "many long integers": lambda size: b"[" + (b"9" * 1000 + b",") * (size // 1001) + b"1]",
    "many longer integers": lambda size: b"[" + (b"9" * 4300 + b",") * (size // 4301) + b"1]",
    "one long fraction": lambda size: b"0." + b"1" * size,
    "many digits before a point": lambda size: b"1" * size + b".5",
    "zeros, and an exponent that takes them back": lambda size: b"0." + b"0" * size + b"1e%d" % size,
    "exponents at the end of the range": lambda size: b"[" + b"1e308," * (size // 6) + b"1]",
    "white space": lambda size: b" " * size + b"1",
}

VALUES, KEYS, OBJECTS = 799_999, 599_998, 499_998  # as many as are read
LARGEST: dict[str, Callable[[], bytes]] = {
    **{
        f"{name}, 32 MiB": lambda name=name: HOSTILE[name](32 * 1024 * 1024 - 200)  # type: ignore[misc]
        for name in ("small objects", "empty texts", "every key twice", "many long integers", "many longer integers")
    },
    "different keys": lambda: b"{" + b"".join(b'"%x":1,' % n for n in range(KEYS)) + b'"z":1}',
    "different keys, the last one twice": lambda: b"{" + b"".join(b'"%x":1,' % n for n in range(KEYS)) + b'"a":1}',
    "long keys": lambda: b"{" + b"".join(b'"%025x":1,' % n for n in range(KEYS)) + b'"z":1}',
    "fractions": lambda: b"[" + b"0.12345678901234567890," * VALUES + b"1]",
    "objects with a fraction": lambda: b"[" + b'{"a":0.123456789},' * OBJECTS + b"1]",
    "texts": lambda: b"[" + b'"\\u00e4\\n",' * VALUES + b"1]",
}
