"""The journal in Beancount's language: every transaction balances, every account is opened, assertions stand at a day's start.

Written from the published description of the language; Beancount itself is only ever a judge in tests.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from tokenroll.books.journal_text import COMMODITY, Assertion, JournalText, Movement, OpenAccount
from tokenroll.model.amount import text_from_nanos

_DAY: Final = timedelta(days=1)


def beancount_text(journal: JournalText) -> str:
    """The whole journal. A day's assertions come before the next day's movements, as Beancount reads them."""
    first = min((one.on for one in journal.accounts), default=date(1970, 1, 1))
    dated = [
        *((one.on, 0, _open(one)) for one in journal.accounts),
        *((one.on + _DAY, 1, _balance(one)) for one in journal.assertions),
        *((one.on, 2, _transaction(one)) for one in journal.movements),
    ]
    dated.sort(key=lambda one: (one[0], one[1]))
    head = [
        f'option "title" "{_quoted(journal.title)}"',
        f'option "operating_currency" "{COMMODITY}"',
        "",
        f"{first} commodity {COMMODITY}",
        "",
    ]
    return "\n".join([*head, *(text for _, _, text in dated)]) + "\n"


def _open(one: OpenAccount) -> str:
    name = f'\n  name: "{_quoted(one.name)}"' if one.name else ""
    return f"{one.on} open {one.account} {COMMODITY}{name}\n"


def _balance(one: Assertion) -> str:
    return f"{one.on + _DAY} balance {one.account}  {text_from_nanos(one.nanos)} {COMMODITY}\n"


def _transaction(one: Movement) -> str:
    return "\n".join(_lines(one)) + "\n"


def _lines(one: Movement) -> Iterator[str]:
    link = f" ^{one.reference}" if one.reference else ""
    yield f'{one.on} * "{_quoted(one.text)}"{link}'
    width = max(len(leg.account) for leg in one.legs)
    for leg in one.legs:
        yield f"  {leg.account:<{width}}  {text_from_nanos(leg.nanos):>24} {COMMODITY}"


def _quoted(text: str) -> str:
    """Printable text without what would end a string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
