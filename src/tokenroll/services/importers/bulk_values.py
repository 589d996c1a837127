"""Columns of cells as columns of figures, instants and names: the same values as cell by cell, and which rows have to be asked about.

Common spellings are converted as columns. A cell that is none of them is converted by what reads single cells, each distinct one once;
what that refuses is marked, and the row's own reader says why.
"""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np

from tokenroll.model.instant import MICROS_PER_SECOND, datetime_from_instant, instant_from_datetime
from tokenroll.model.limits import NAME_CHARACTERS_MAX, UNIT_COUNT_MAX
from tokenroll.services.importers.figures import count_of, decimal_of, instant_of_number, instant_of_text, nanos_of
from tokenroll.store.lake_libraries import arrow, arrow_compute

_DIGITS_MAX: Final = 18
"""Every number of so many digits fits into int64."""
_MICROS_DIGITS: Final = {"seconds": 6, "milliseconds": 3, "microseconds": 0}
_WHOLE_DIGITS_MAX: Final = 9
_MINUTE_MICROS: Final = 60 * MICROS_PER_SECOND
_DAY_SECONDS: Final = 86_400
_ZERO: Final = np.uint8(ord("0"))
_Z: Final = np.uint8(ord("Z"))
_ENDED_BY_Z: Final = frozenset({20, 24, 27})
"""Lengths of times to the second, the millisecond and the microsecond."""
_SPANS: Final = {"Z": 1, "offset": 6, "UTC": 4, "": 0}


class Figures(NamedTuple):
    """Integers, which of them somebody told, and which rows could be read."""

    values: Any
    is_told: Any
    is_read: Any

    def column(self) -> Any:
        """As an Arrow column, null where nobody told."""
        return arrow().array(self.values, mask=~self.is_told)


def text_of(column: Any) -> Any:
    """A column's cells as a table in text would have them: empty for null."""
    pa, pc = arrow(), arrow_compute()
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    text = column if column.type == pa.string() else column.cast(pa.string())
    return pc.fill_null(text, "") if text.null_count else text


def mask_of(column: Any) -> Any:
    """An Arrow column of truths as numpy has them."""
    return column.to_numpy(zero_copy_only=False)


def integers_of(column: Any) -> Any:
    """An Arrow column of integers as numpy has them, 0 for null."""
    pc = arrow_compute()
    return (pc.fill_null(column, 0) if column.null_count else column).to_numpy(zero_copy_only=False)


def _one_by_one(text: Any, figures: Figures, waiting: Any, convert: Callable[[str], int | None]) -> Figures:
    """The rows that wait, each distinct cell of them converted once; a cell that is refused leaves its rows unread."""
    pa, pc = arrow(), arrow_compute()
    places = np.flatnonzero(waiting)
    if not len(places):
        return figures
    coded = pc.dictionary_encode(text.take(pa.array(places)))
    found = np.zeros(len(coded.dictionary), np.int64)
    told, read = np.zeros(len(found), bool), np.zeros(len(found), bool)
    for number, cell in enumerate(coded.dictionary.to_pylist()):
        try:
            value = convert(cell)
            found[number] = value or 0
        except (ValueError, OverflowError):
            continue
        told[number], read[number] = value is not None, True
    codes = coded.indices.to_numpy()
    figures.values[places], figures.is_told[places], figures.is_read[places] = found[codes], told[codes], read[codes]
    return figures


def counts(column: Any) -> Figures:
    """Counts as `count_of` reads them. One that no usage may have is left to the row's own reader."""
    pa, pc = arrow(), arrow_compute()
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        values = integers_of(column).astype(np.int64)
        is_told = mask_of(pc.is_valid(column))
        return Figures(values, is_told, (values >= 0) & (values <= UNIT_COUNT_MAX))
    if pa.types.is_floating(column.type):
        whole = mask_of(pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**53)).fill_null(True))
        if whole.all():
            return counts(column.cast(pa.int64()))
    text = text_of(column)
    is_plain = pc.and_(pc.ascii_is_decimal(text), pc.less_equal(pc.binary_length(text), _DIGITS_MAX))
    plain = mask_of(is_plain)
    empty = mask_of(pc.equal(text, ""))
    values = _cast(text, is_plain, all_plain=bool(plain.all()))
    figures = Figures(values, plain.copy(), plain | empty)
    figures = _one_by_one(text, figures, ~figures.is_read, count_of)
    figures.is_read[figures.values > UNIT_COUNT_MAX] = False
    return figures


def _cast(text: Any, is_plain: Any, *, all_plain: bool) -> Any:
    pa, pc = arrow(), arrow_compute()
    digits = text if all_plain else pc.if_else(is_plain, text, "0")
    return digits.cast(pa.int64()).to_numpy(zero_copy_only=False).copy()


class _Fixed(NamedTuple):
    """Decimals as `digits / 10**scale`; only those that are plain are true."""

    digits: Any
    scale: Any
    whole_digits: Any
    is_plain: Any


def _fixed(text: Any) -> _Fixed:
    """Unsigned decimals with at most one point and 18 digits that count; Arrow counts, Python's own reader decides on the others."""
    pa, pc = arrow(), arrow_compute()
    shorter = pc.ascii_ltrim(text, "0")
    point = pc.find_substring(shorter, ".").to_numpy(zero_copy_only=False).astype(np.int64)
    joined = pc.replace_substring(shorter, ".", "", max_replacements=1)
    length = pc.binary_length(joined).to_numpy(zero_copy_only=False).astype(np.int64)
    scale = np.where(point < 0, 0, length - point)
    number = pc.ascii_ltrim(joined, "0")
    is_said = pc.ascii_is_decimal(joined)
    number = pc.if_else(pc.equal(number, ""), "0", number)
    is_plain = pc.and_(
        pc.and_(is_said, pc.ascii_is_decimal(number)), pc.less_equal(pc.binary_length(number), _DIGITS_MAX)
    )
    is_zero = mask_of(pc.and_(pc.equal(joined, ""), pc.starts_with(text, "0")))
    plain = mask_of(is_plain) | is_zero
    digits = pc.if_else(pa.array(plain), number, "0").cast(pa.int64()).to_numpy(zero_copy_only=False)
    return _Fixed(digits, scale, np.where(point < 0, length, point), plain)


def _powers(exponents: Any) -> Any:
    return np.power(np.int64(10), exponents.astype(np.int64))


def half_even(numerators: Any, denominators: Any) -> Any:
    """Integers of at least 0 divided, exact halves to the even one."""
    quotient, remainder = np.divmod(numerators, denominators)
    rest = denominators - remainder
    return quotient + ((remainder > rest) | ((remainder == rest) & (quotient % 2 == 1)))


def nanos(column: Any, cost_unit: int) -> Figures:
    """Amounts as `nanos_of(decimal_of(…))` reads them; nothing told where a cell is blank."""
    pc = arrow_compute()
    text = text_of(column)
    shift = len(str(cost_unit)) - 1
    rows = len(text)
    values, read = np.zeros(rows, np.int64), np.zeros(rows, bool)
    empty = mask_of(pc.equal(text, ""))
    if 10**shift == cost_unit:
        fixed = _fixed(text)
        scale = fixed.scale + shift
        read = fixed.is_plain & (fixed.whole_digits <= _WHOLE_DIGITS_MAX) & (scale <= _DIGITS_MAX + _WHOLE_DIGITS_MAX)
        finer = read & (scale > _WHOLE_DIGITS_MAX)
        values = np.where(read & ~finer, fixed.digits, 0) * _powers(np.where(read & ~finer, 9 - scale, 0))
        if finer.any():
            values[finer] = half_even(fixed.digits[finer], _powers(scale[finer] - 9))
    figures = Figures(values, read & ~empty, read | empty)
    return _one_by_one(text, figures, ~figures.is_read, lambda cell: _nanos(cell, cost_unit))


def _nanos(text: str, cost_unit: int) -> int | None:
    return nanos_of(decimal_of(text), cost_unit) if text.strip() else None


def instants(column: Any, unit: str, zone: tzinfo | None, starts_at: int) -> Figures:
    """Times as a row's reader has them, and those that Parquet itself knows as times."""
    pa = arrow()
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _known_instants(column, unit, zone)
    text = text_of(column)
    if unit in {"rfc3339", "date"}:
        zone = zone or (UTC if unit == "date" else None)
        figures = _written_instants(text, zone)
        return _one_by_one(text, figures, ~figures.is_read, lambda cell: instant_of_text(cell, zone))
    fixed = _fixed(text)
    shift = fixed.scale - _MICROS_DIGITS[unit]
    read = fixed.is_plain & (fixed.whole_digits + _MICROS_DIGITS[unit] <= 17) & (shift <= _DIGITS_MAX)
    digits = np.where(read, fixed.digits, 0)
    values = (
        digits * _powers(np.where(read & (shift < 0), -shift, 0)) // _powers(np.where(read & (shift > 0), shift, 0))
    )
    figures = Figures(values + starts_at, read.copy(), read)
    return _one_by_one(text, figures, ~read, lambda cell: instant_of_number(cell, unit, starts_at))


def _known_instants(column: Any, unit: str, zone: tzinfo | None) -> Figures:
    pa, pc = arrow(), arrow_compute()
    told = mask_of(pc.is_valid(column))
    if pa.types.is_date(column.type):
        days = column.cast(pa.date32()).cast(pa.int32())
        values = integers_of(days).astype(np.int64) * (_DAY_SECONDS * MICROS_PER_SECOND)
        is_local = True
    else:
        of_unit = {"s": 1_000_000, "ms": 1_000, "us": 1}
        values = integers_of(column.cast(pa.int64())).astype(np.int64)
        values = values // 1_000 if column.type.unit == "ns" else values * of_unit[column.type.unit]
        is_local = column.type.tz is None
    figures = Figures(values, told, told.copy())
    if is_local:
        return _shifted(figures, zone or (UTC if unit == "date" else None), told.copy())
    return figures


def instant_text(instant: int, unit: str, starts_at: int) -> str:
    """The cell that a row's reader takes for this instant."""
    if unit in {"rfc3339", "date"}:
        return datetime_from_instant(instant).isoformat()
    return str(Decimal(instant - starts_at).scaleb(-_MICROS_DIGITS[unit]))


def _shifted(figures: Figures, zone: tzinfo | None, is_local: Any) -> Figures:
    """Local times as instants, by the zone's offset of each distinct minute; a minute that has two is left unread."""
    places = np.flatnonzero(is_local)
    if zone is UTC or not len(places):
        return figures
    if zone is None:
        figures.is_read[places] = False
        return figures
    minutes, codes = np.unique(figures.values[places] // _MINUTE_MICROS, return_inverse=True)
    offsets, known = np.zeros(len(minutes), np.int64), np.zeros(len(minutes), bool)
    for number, minute in enumerate(minutes.tolist()):
        try:
            begin = datetime_from_instant(minute * _MINUTE_MICROS).replace(tzinfo=None)
            first, last = (_offset(begin + timedelta(seconds=seconds), zone) for seconds in (0, 59))
        except (ValueError, OverflowError):
            continue
        offsets[number], known[number] = first, first == last
    figures.values[places] -= offsets[codes]
    figures.is_read[places] &= known[codes]
    return figures


def _offset(moment: datetime, zone: tzinfo) -> int:
    return instant_from_datetime(moment.replace(tzinfo=UTC)) - instant_from_datetime(moment.replace(tzinfo=zone))


def _written_instants(text: Any, zone: tzinfo | None) -> Figures:
    """`2026-02-03T08:00:00`, with or without three or six digits behind the second and a zone, and `2026-02-03`."""
    rows = len(text)
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + rows + 1].astype(np.int64)
    data = np.frombuffer(text.buffers()[2] or b"", np.uint8)
    lengths = np.diff(offsets)
    if rows and lengths[0] in _ENDED_BY_Z and (lengths == lengths[0]).all() and (data[offsets[1:] - 1] == _Z).all():
        with contextlib.suppress(arrow().ArrowInvalid):
            return _universal_instants(text)
    figures = Figures(np.zeros(rows, np.int64), np.zeros(rows, bool), np.zeros(rows, bool))
    is_local = np.zeros(rows, bool)
    for length in np.unique(lengths).tolist():
        if not (length == 10 or 19 <= length <= 32):
            continue
        places = np.flatnonzero(lengths == length)
        if len(places) == rows:
            grid = data[offsets[0] : offsets[-1]].reshape(rows, length)
        else:
            grid = data[offsets[places][:, None] + np.arange(length)]
        columns = np.ascontiguousarray(grid.T)
        values, read, local = _instants_of_grid(columns)
        figures.values[places], figures.is_read[places], is_local[places] = values, read, local
    figures.is_told[:] = figures.is_read
    return _shifted(figures, zone, is_local & figures.is_read)


def _universal_instants(text: Any) -> Figures:
    """Times that all have the same length and end with Z, as Arrow reads them: of these lengths it knows one spelling each, which is ours."""
    pa = arrow()
    values = text.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(zero_copy_only=False).copy()
    is_read = values >= 0
    return Figures(values, is_read, is_read.copy())


def _instants_of_grid(grid: Any) -> tuple[Any, Any, Any]:
    """Of texts of one length, by the characters at each place: instants, which can be read, which have no zone of their own."""
    length, rows = grid.shape
    read = np.ones(rows, bool)
    number = _numbers(grid, read)
    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    read &= (grid[4] == ord("-")) & (grid[7] == ord("-")) & (year >= 1970) & (month >= 1) & (month <= 12) & (day >= 1)
    months = ((np.where(read, year, 1970) - 1970) * 12 + np.where(read, month, 1) - 1).astype("M8[M]")
    days = months.astype("M8[D]").astype(np.int64)
    read &= day <= (months + 1).astype("M8[D]").astype(np.int64) - days
    seconds = (days + day - 1) * _DAY_SECONDS
    if length == 10:
        return seconds * MICROS_PER_SECOND, read, np.ones(rows, bool)
    hour, minute, second = number(11, 2), number(14, 2), number(17, 2)
    read &= ((grid[10] == ord("T")) | (grid[10] == ord(" "))) & (grid[13] == ord(":")) & (grid[16] == ord(":"))
    read &= (hour <= 23) & (minute <= 59) & (second <= 59)
    micros = (seconds + hour * 3_600 + minute * 60 + second) * MICROS_PER_SECOND
    left = length - 19
    found = np.zeros(rows, bool)
    values, local = micros.copy(), np.zeros(rows, bool)
    for kind, size in _SPANS.items():
        fraction = left - size
        if fraction not in {0, 4, 7}:
            continue
        fits = np.ones(rows, bool)
        inside = _numbers(grid, fits)
        whole = micros
        if fraction:
            fits &= grid[19] == ord(".")
            whole = micros + inside(20, fraction - 1) * (1_000 if fraction == 4 else 1)
        start = 19 + fraction
        less = 0
        if kind == "offset":
            hours, minutes = inside(start + 1, 2), inside(start + 4, 2)
            fits &= ((grid[start] == ord("+")) | (grid[start] == ord("-"))) & (grid[start + 3] == ord(":"))
            fits &= (hours <= 23) & (minutes <= 59)
            less = np.where(grid[start] == ord("-"), -1, 1) * (hours * 60 + minutes) * _MINUTE_MICROS
        else:
            for place, letter in enumerate({"Z": "Z", "UTC": " UTC", "": ""}[kind], start):
                fits &= grid[place] == ord(letter)
        new = fits & ~found
        values = np.where(new, whole - less, values)
        local |= new & (not kind)
        found |= fits
    return values, read & found, local


def _numbers(grid: Any, is_read: Any) -> Callable[[int, int], Any]:
    """Reads so many digits from a place on. Whatever else stands there is taken off the rows that are read: bytes wrap around."""

    def number(start: int, size: int) -> Any:
        value = np.zeros(grid.shape[1], np.int32)
        for place in range(start, start + size):
            digit = grid[place] - _ZERO
            np.logical_and(is_read, digit <= 9, out=is_read)
            value *= 10
            value += digit
        return value.astype(np.int64)

    return number


def names(column: Any, spelt: Callable[[str], str]) -> Any:
    """Names as `spelt` has them, which is asked of each distinct one only."""
    pa, pc = arrow(), arrow_compute()
    text = text_of(column)
    coded = pc.dictionary_encode(text)
    told = coded.dictionary.to_pylist()
    made = [spelt(one) for one in told]
    if made == told:
        return text
    return pa.array(made, pa.string()).take(coded.indices)


def is_plain_text(column: Any) -> bool:
    """Whether every text of a column is a name as it stands: short, and of characters that all can be printed."""
    pc = arrow_compute()
    if not len(column):
        return True
    return bool(
        pc.all(pc.or_(pc.ascii_is_printable(column), pc.equal(column, ""))).as_py()
        and pc.max(pc.binary_length(column)).as_py() <= NAME_CHARACTERS_MAX
    )
