"""What stands behind costs, as programs are told it and as pictures: the same from the command line, pages and HTTP."""

from collections.abc import Sequence
from typing import Any

from tokenroll.insight.anomalies import UnusualDay
from tokenroll.insight.pictures import Picture, document, sized, waterfall
from tokenroll.model.amount import text_from_nanos
from tokenroll.services.cost_answers import Explained, Metered
from tokenroll.services.meter_quarantine import Judged, LeftOut

_WIDTH, _HEIGHT = 560, 260


def change_json(found: Explained, money: str) -> dict[str, Any]:
    """A change between two months, its steps and who moved."""
    return {
        "before": _amount(found.change.before_nanos),
        "after": _amount(found.change.after_nanos),
        "steps": {name: _amount(nanos) for name, nanos in found.change.steps},
        "unit": unit_of_cost(found.currency, money),
        "movers": [
            {"name": one.name, "before": _amount(one.before_nanos), "after": _amount(one.after_nanos), "change": _amount(one.change_nanos)}
            for one in found.movers
        ],
    }  # fmt: skip


def change_picture(found: Explained, before: str, after: str) -> Picture:
    """The steps from one month to the other."""
    view = waterfall((before, found.change.before_nanos), found.change.steps, after, unit=found.currency or "credits")
    return document(sized(view, _WIDTH, _HEIGHT), f"Why {after} was not as {before}")


def anomalies_json(
    days: Sequence[UnusualDay], left_out: LeftOut, unit: str, meters: Sequence[Judged]
) -> dict[str, Any]:
    """Days that do not fit and what they do without; calls whose meter cannot be right, and what was decided of each."""
    return {
        "days": [{"on": one.on.isoformat(), "cost": _amount(one.nanos), "usual": _amount(one.usual_nanos), "widths": one.widths} for one in days],
        "unit": unit,
        "left_out": left_out.json(),
        "meters": [_call_json(one) for one in meters],
    }  # fmt: skip


def _call_json(one: Judged) -> dict[str, Any]:
    call = one.call
    return {
        "source": call.source, "event_id": call.event_id, "member": call.member, "model": call.model, "admitted_at": call.admitted_at,
        "currency": call.currency, "cost": _amount(call.cost_nanos), "usual": _amount(call.usual_nanos),
        "list_cost": _amount(call.list_cost_nanos), "state": one.state,
    }  # fmt: skip


def share_json(found: Metered) -> dict[str, Any]:
    """What of each provider's invoice went through the gateway, by which report, and whose keys its reports name."""
    return {
        "providers": [
            {
                "provider": one.provider, "through_gateway": _amount(one.through_nanos), "billed": _amount(one.billed_nanos),
                "share_permille": one.permille, "billed_by": one.report or None,
                "other_reports": [{"source": other.report, "billed": _amount(other.nanos)} for other in one.others],
            }
            for one in found.providers
        ],
        "keys": [{"provider": one.provider, "key": one.key, "model_tokens": one.model_tokens, "is_ours": one.is_ours} for one in found.keys],
        "unit": unit_of_cost(found.currency, "net"),
    }  # fmt: skip


def unit_of_cost(currency: str, money: str) -> str:
    """What a cost is in."""
    return "credits" if money == "charge" else currency or "USD"


def _amount(nanos: int | None) -> str | None:
    return None if nanos is None else text_from_nanos(nanos, 2)
