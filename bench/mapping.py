"""What a mapping costs beside the same mapping written by hand in Python.

    python -m bench.mapping

A shop order of about 10 KB with 20 line items, 25 field rows, and the same as one expression. Processor time is that of
this process and of the sandbox's processes together, best of several repeats, so that other load on the machine counts
little. The promise: rows cost at most 5 times the hand-written form.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from connectors import formats, sandbox
from connectors.mapping import FieldRow, compile_expression_mapping, compile_rows

LINES: Final = 20
REPEATS: Final = 30
CALLS: Final = 100
COUNTRIES: Final = {"Germany": "DE", "France": "FR", "Austria": "AT"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the table: microseconds for one payload. `ratio`: processor time, in times the hand-written form.

    `cpu_microseconds` holds `sandbox_microseconds`, the part that was spent in the sandbox's processes.
    """

    name: str
    cpu_microseconds: float
    sandbox_microseconds: float
    wall_microseconds: float
    ratio: float


ROWS: Final = (
    FieldRow("orderNo", "id", "string", required=True),
    FieldRow("channel", constant="web"),
    FieldRow("placedAt", "created_at", "datetime"),
    FieldRow("currency", "currency", default="EUR"),
    FieldRow("customer.number", "customer.id", "string", required=True),
    FieldRow("customer.name", "customer.name"),
    FieldRow("customer.email", "customer.email"),
    FieldRow("shipTo.street", "shipping_address.address1"),
    FieldRow("shipTo.city", "shipping_address.city"),
    FieldRow("shipTo.zip", "shipping_address.zip", "string"),
    FieldRow("shipTo.country", "shipping_address.country", lookup="countries", default="XX"),
    FieldRow("total", "total_price", "decimal", required=True),
    FieldRow("paid", "paid", "boolean"),
    FieldRow("lines[].sku", "line_items[].sku", "string", required=True),
    FieldRow("lines[].title", "line_items[].title"),
    FieldRow("lines[].quantity", "line_items[].quantity", "integer"),
    FieldRow("lines[].price", "line_items[].price", "decimal"),
    FieldRow("lines[].discount", "line_items[].discount", "decimal", default=0),
    FieldRow("lines[].weight", "line_items[].grams", "number"),
    FieldRow("lines[].gift", "line_items[].gift_card", "boolean"),
    FieldRow("lines[].vendor", "line_items[].vendor"),
    FieldRow("lines[].currency", "currency"),
    FieldRow("lines[].taxes[].title", "line_items[].tax_lines[].title"),
    FieldRow("lines[].taxes[].rate", "line_items[].tax_lines[].rate", "decimal"),
    FieldRow("lines[].taxes[].amount", "line_items[].tax_lines[].price", "decimal"),
)

EXPRESSION: Final = """{
  "orderNo": $string(id), "channel": "web", "placedAt": created_at, "currency": currency,
  "customer": {"number": $string(customer.id), "name": customer.name, "email": customer.email},
  "shipTo": {"street": shipping_address.address1, "city": shipping_address.city, "zip": shipping_address.zip,
             "country": $lookup({"Germany": "DE", "France": "FR", "Austria": "AT"}, shipping_address.country)},
  "total": total_price, "paid": paid,
  "lines": [line_items.{"sku": sku, "title": title, "quantity": quantity, "price": price, "discount": discount,
      "weight": grams, "gift": gift_card, "vendor": vendor, "currency": $$.currency,
      "taxes": [tax_lines.{"title": title, "rate": rate, "amount": price}]}]
}"""


def order() -> dict[str, Any]:
    """A payload as it comes out of the parser: numbers with a fraction are Decimal."""
    lines = [
        {
            "id": 4_800_000_000_000 + number,
            "sku": f"SKU-{number:05d}",
            "title": f"A product with quite a long descriptive title, number {number}",
            "quantity": number % 5 + 1,
            "price": Decimal(f"{19 + number}.90"),
            "discount": Decimal("0.00") if number % 3 else None,
            "grams": 250 * number,
            "gift_card": False,
            "vendor": "Miller & Sons",
            "fulfillment_status": None,
            "properties": [{"name": "engraving", "value": "For Ada, with love " * 5}],
            "tax_lines": [{"title": "VAT", "rate": Decimal("0.19"), "price": Decimal("3.78")}],
        }
        for number in range(LINES)
    ]
    return {
        "id": 820_982_911_946_154_508,
        "created_at": "2026-11-23T08:16:54+01:00",
        "currency": "EUR",
        "customer": {"id": 115_310_627_314_723_954, "name": "Ada Lovelace", "email": "ada@example.com"},
        "shipping_address": {"address1": "Main Street 1", "city": "Berlin", "zip": "10115", "country": "Germany"},
        "total_price": Decimal("598.00"),
        "paid": True,
        "note": "Please ring twice. " * 20,
        "line_items": lines,
    }


def by_hand(payload: dict[str, Any]) -> dict[str, Any]:
    """The mapping of ROWS as a programmer would write it for this one source, trusting the types that it sends."""
    customer = payload["customer"]
    address = payload["shipping_address"]
    currency = payload.get("currency") or "EUR"
    return {
        "orderNo": str(payload["id"]),
        "channel": "web",
        "placedAt": payload["created_at"],
        "currency": currency,
        "customer": {"number": str(customer["id"]), "name": customer.get("name"), "email": customer.get("email")},
        "shipTo": {
            "street": address.get("address1"),
            "city": address.get("city"),
            "zip": str(address["zip"]),
            "country": COUNTRIES.get(address.get("country"), "XX"),
        },
        "total": Decimal(payload["total_price"]),
        "paid": bool(payload["paid"]),
        "lines": [
            {
                "sku": str(line["sku"]),
                "title": line.get("title"),
                "quantity": int(line["quantity"]),
                "price": Decimal(line["price"]),
                "discount": Decimal(0 if line.get("discount") is None else line["discount"]),
                "weight": line.get("grams"),
                "gift": bool(line.get("gift_card")),
                "vendor": line.get("vendor"),
                "currency": currency,
                "taxes": [
                    {"title": tax.get("title"), "rate": Decimal(tax["rate"]), "amount": Decimal(tax["price"])}
                    for tax in line["tax_lines"]
                ],
            }
            for line in payload["line_items"]
        ],
    }


def run() -> list[Measurement]:
    """Measures the three forms; raises AssertionError when their results differ."""
    payload = order()
    rows = compile_rows(ROWS, {"countries": COUNTRIES})
    expression = compile_expression_mapping(EXPRESSION)
    expected = by_hand(payload)
    if rows(payload) != expected:
        raise AssertionError("The rows and the hand-written mapping differ.")
    if len(expression(payload)["lines"]) != len(expected["lines"]):
        raise AssertionError("The expression and the hand-written mapping differ.")
    forms: list[tuple[str, Callable[[Any], Any]]] = [
        ("by hand", by_hand),
        ("25 field rows", rows),
        ("one expression", expression),
    ]
    # in turns, so that a slow spell of the machine meets all forms alike
    rounds = [[_once(form, payload) for _, form in forms] for _ in range(REPEATS)]
    times = [(name, *min(turn)) for (name, _), turn in zip(forms, zip(*rounds, strict=True), strict=True)]
    base = times[0][1]
    return [Measurement(name, cpu, boxed, wall, cpu / base) for name, cpu, boxed, wall in times]


def _once(form: Callable[[Any], Any], payload: Any) -> tuple[float, float, float]:
    """Microseconds for one call: processor time, the sandbox's part of it, wall time."""
    started, started_cpu, started_boxed = time.perf_counter(), time.process_time(), _sandbox_seconds()
    for _ in range(CALLS):
        form(payload)
    wall = time.perf_counter() - started
    boxed = _sandbox_seconds() - started_boxed
    cpu = time.process_time() - started_cpu + boxed
    return cpu / CALLS * 1e6, boxed / CALLS * 1e6, wall / CALLS * 1e6


def _sandbox_seconds() -> float:
    """Processor time of the sandbox's processes so far; children count in no clock of ours until they have ended."""
    # the number of another process's clock, as clock_getcpuclockid(3) makes it on Linux
    return sum(time.clock_gettime((~process.popen.pid << 3) | 2) for process in sandbox._pool.processes)


def main() -> None:
    size = len(formats.dump(order()))
    sys.stdout.write(f"One order of {size:,} bytes with {LINES} line items, best of {REPEATS} x {CALLS}\n\n")
    sys.stdout.write(f"{'':16}{'CPU µs':>10}{'in sandbox':>12}{'wall µs':>10}{'CPU x by hand':>15}\n")
    for line in run():
        sys.stdout.write(
            f"{line.name:16}{line.cpu_microseconds:>10.1f}{line.sandbox_microseconds:>12.1f}"
            f"{line.wall_microseconds:>10.1f}{line.ratio:>15.2f}\n"
        )


if __name__ == "__main__":
    main()
