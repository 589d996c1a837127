"""The journal in hledger's language: the same movements, assertions as postings of nothing at a day's end."""

from collections.abc import Iterator

from tokenroll.books.journal_text import COMMODITY, Assertion, JournalText, Movement
from tokenroll.model.amount import text_from_nanos


def hledger_text(journal: JournalText) -> str:
    """The whole journal. A day's assertions come after its movements, because hledger checks in order of date and file."""
    dated = [
        *((one.on, 0, "\n".join(_transaction(one))) for one in journal.movements),
        *((one.on, 1, _assertion(one)) for one in journal.assertions),
    ]
    dated.sort(key=lambda one: (one[0], one[1]))
    head = [
        f"; {journal.title}",
        "decimal-mark .",
        f"commodity 1.000000000 {COMMODITY}",
        *(f"account {one.account}{f'  ; name: {_plain(one.name)}' if one.name else ''}" for one in journal.accounts),
    ]
    return "\n".join([*head, "", *(text + "\n" for _, _, text in dated)])


def _transaction(one: Movement) -> Iterator[str]:
    reference = f"  ; ref: {one.reference}" if one.reference else ""
    yield f"{one.on} * {_plain(one.text)}{reference}"
    width = max(len(leg.account) for leg in one.legs)
    for leg in one.legs:
        yield f"    {leg.account:<{width}}  {text_from_nanos(leg.nanos):>24} {COMMODITY}"


def _assertion(one: Assertion) -> str:
    return f"{one.on} * balance\n    {one.account}  0 {COMMODITY} =* {text_from_nanos(one.nanos)} {COMMODITY}"


def _plain(text: str) -> str:
    """Without what would begin a comment or a tag."""
    return text.replace(";", ",").replace("|", "/")
