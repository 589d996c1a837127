"""Attributing: what was true of a member on a day, from what is true now and the dated changes that led there."""

from collections.abc import Iterable
from datetime import date

from tokenroll.model.member import MemberChange, MemberField


def value_on(changes: Iterable[MemberChange], field: MemberField, on: date, now: str | None) -> str | None:
    """The field's value on a day; `changes` are one member's, in the order in which they were written; `now` is today's value.

    Of two changes of one day the one that was written later holds. Before the first change the field was what that change found;
    without any change it never was anything else than now.
    """
    holding: MemberChange | None = None
    first: MemberChange | None = None
    for change in changes:
        if change.field is not field:
            continue
        if first is None or change.effective_on < first.effective_on:
            first = change
        if change.effective_on <= on and (holding is None or change.effective_on >= holding.effective_on):
            holding = change
    if holding is not None:
        return holding.becomes
    return now if first is None else first.was
