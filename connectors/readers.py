"""What reads one value from a payload: a path, or an expression behind `=`."""

from collections.abc import Callable
from typing import Any

from connectors.expressions import compile_expression
from connectors.paths import compile_path

Reader = Callable[[Any], Any]
"""From a payload to the value or MISSING; raises ExpressionFailed where it is an expression that fails."""


def compile_reader(text: str) -> Reader:
    """Raises PathError or InvalidExpression (section 7 of the contract: a leading `=` makes it an expression)."""
    if text.startswith("="):
        return compile_expression(text[1:]).evaluate
    return compile_path(text).read
