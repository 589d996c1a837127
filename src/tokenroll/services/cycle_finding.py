"""Finding a pay cycle by what people call it."""

import re
from datetime import date
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from tokenroll.engine import cycling
from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.limits import ENTERED_AT_MAX, ENTERED_AT_MIN
from tokenroll.model.pay_cycle import CycleDays, PayCycle
from tokenroll.services.people import company_zone
from tokenroll.services.refusal import Refused
from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook


def find_cycle(book: CycleBook, text: str) -> CycleDays:
    """The cycle of that name, such as `2026-01` or `2026-W07`, or the one that a day such as `2026-02-16` is in. Raises Refused."""
    first, last = (datetime_from_instant(at).year for at in (ENTERED_AT_MIN, ENTERED_AT_MAX))
    found = cycling.cycle_named(book.calendars, text) or _of_day(book, text)
    if (
        found is None
        and re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])(-[0-9]{2})?", text)
        and not first <= int(text[:4]) <= last
    ):
        raise Refused("argument", f"a cycle lies in the years from {first} to {last}, so {text} is none")
    if found is None:
        raise Refused("argument", f"a cycle is {_examples(book)}, not {text!r}")
    if not first <= found.starts_on.year <= last:
        raise Refused("argument", f"a cycle lies in the years from {first} to {last}, so {text} is none")
    return found


def cycle_now(book: CycleBook, zone: str, now: Instant) -> CycleDays:
    """The cycle that runs in a zone."""
    return cycling.cycle_at(book.calendars, now, ZoneInfo(zone))


def cycle_in_zone(days: CycleDays, zone: str) -> PayCycle:
    """The instants of a cycle in a zone."""
    return cycling.cycle_span(days, zone, ZoneInfo(zone))


def zones_in_use(connection: Connection) -> set[str]:
    """The zones in which cycles begin and end: those of wallets, and the company's own."""
    return {*connection.scalars(select(schema.wallets.c.zone).distinct()), company_zone(connection)}


def _of_day(book: CycleBook, text: str) -> CycleDays | None:
    if not re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text
    ):  # dates know more spellings, and `2026-W07` is a name here
        return None
    try:
        return cycling.cycle_on(book.calendars, date.fromisoformat(text))
    except ValueError:
        return None


def _examples(book: CycleBook) -> str:
    if not book.calendars:
        return "a month such as 2026-01"
    newest = book.calendars[-1]
    name = cycling.cycle_on(book.calendars, newest.effective_on).name
    return f"named such as {name} (`tokenroll payrun dates` lists them), or a day in it such as {newest.effective_on}"
