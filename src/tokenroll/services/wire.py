"""How results look outside: money as a decimal string with its unit, times as RFC 3339 (DESIGN §10). One rule, by suffix.

Use cases answer with integers whose names say what they are (`left_nanos`, `recorded_at`); every door shows them through this
one function, so CLI, pages and API cannot differ in a digit.
"""

from collections.abc import Mapping
from typing import Any, Final

from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import text_from_instant

CREDITS: Final = "credits"


def to_wire(value: Any) -> Any:
    """The same structure with `x_nanos: int` as `x: {amount, unit}` and `x_at`/`x_until: int` as text; all else unchanged.

    A `…_cost_nanos` is money in the currency beside it (`currency`, default USD), every other amount is credits.
    """
    if isinstance(value, Mapping):
        currency = value.get("currency", "USD")
        return dict(_pair(key, one, currency) for key, one in value.items())
    if isinstance(value, list | tuple):
        return [to_wire(one) for one in value]
    return value


def _pair(key: str, value: Any, currency: str) -> tuple[str, Any]:
    if key == "nanos" and isinstance(value, int):
        return "amount", {"amount": text_from_nanos(value), "unit": CREDITS}
    if key.endswith("_nanos") and (value is None or isinstance(value, int)):
        unit = currency if key.endswith("_cost_nanos") else CREDITS
        name = key.removesuffix("_nanos")
        return name, None if value is None else {"amount": text_from_nanos(value), "unit": unit}
    if key.endswith(("_at", "_until")) and isinstance(value, int):
        return key, text_from_instant(value)
    return key, to_wire(value)
