"""How the demo speaks: the same lines on a terminal, in a pipe and in a picture."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from tokenroll.books.words import about_days
from tokenroll.cli.console import credits_text

WIDTH_MAX: Final = 100
"""Lines longer than this are hard to read, however wide the terminal is."""
BARS: Final = " ▁▂▃▄▅▆▇█"
_INDENT: Final = 4


class Shown:
    """Everything that is printed, and how many proofs held."""

    def __init__(self, stream: TextIO, *, draws: bool) -> None:
        plain = Console(file=stream, highlight=False)
        width = min(plain.width, WIDTH_MAX) if plain.is_terminal else WIDTH_MAX
        self.console = Console(file=stream, highlight=False, width=width)
        self._drawn = _drawing_board() if draws else None
        self.held_count = 0
        self.failed: list[str] = []

    def title(self, *lines: str) -> None:
        """What this is, before anything happens."""
        self._print(Text(lines[0], style="bold"))
        for line in lines[1:]:
            self._print(Text(line, style="dim"))

    def scene(self, letter: str, heading: str) -> None:
        """A scene begins."""
        self._print()
        self._print(Text.assemble((f"({letter}) ", "bold cyan"), (heading, "bold")))

    def _print(self, *what: RenderableType) -> None:
        """On the console and, since it tells the story, in the picture."""
        for console in (self.console, self._drawn):
            if console is not None:
                console.print(*what)

    def line(self, text: str, style: str = "") -> None:
        """One sentence of a scene, wrapped under itself."""
        self.console.print(Padding(Text(text, style=style), (0, 0, 0, _INDENT)))

    def command(self, text: str) -> None:
        """A command that is being run, as a person would type it."""
        self.console.print(Padding(Text.assemble(("$ ", "dim"), (text, "cyan")), (0, 0, 0, _INDENT)))

    def block(self, lines: list[str], style: str = "dim") -> None:
        """Lines as they came, cut at the edge and never wrapped."""
        for line in lines:
            self.console.print(Text(" " * (_INDENT + 2) + line, style=style), no_wrap=True, overflow="ellipsis")

    def pairs(self, pairs: Mapping[str, str]) -> None:
        """Names and values in two columns."""
        width = max(map(len, pairs), default=0)
        for name, value in pairs.items():
            self.line(f"{name:<{width}}  {value}")

    def proof(self, text: str, *, holds: bool) -> None:
        """One proof: what the second process read back, and whether it is as it must be."""
        mark, style = ("✓", "green") if holds else ("✗", "bold red")
        if holds:
            self.held_count += 1
        else:
            self.failed.append(text)
        self._print(Padding(Text.assemble((f"{mark} ", style), (text, style)), (0, 0, 0, _INDENT - 2)))

    @contextmanager
    def live(self) -> Iterator["Meter"]:
        """A line that moves on a terminal, and is printed once anywhere else."""
        if not self.console.is_terminal:
            meter = Meter(None)
            yield meter
        else:
            with Live(console=self.console, refresh_per_second=12, transient=True) as live:
                meter = Meter(live)
                yield meter
        for line in meter.lines:
            self._print(Padding(Text(line), (0, 0, 0, _INDENT)))

    def picture(self, path: Path) -> None:
        """Scenes and proofs without their details, as an SVG. Only for one that draws."""
        assert self._drawn is not None
        drawn = self._drawn.export_svg(title="tokenroll demo", code_format=_SVG, unique_id="demo")
        path.write_text("\n".join(line.strip() for line in drawn.splitlines() if line.strip()) + "\n", encoding="utf-8")


def _drawing_board() -> Console:
    """A console that nobody sees, with the colours of a terminal."""
    return Console(
        file=io.StringIO(), highlight=False, record=True, width=WIDTH_MAX, force_terminal=True, color_system="truecolor"
    )


class Meter:
    """The newest state of something that moves."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self.lines: tuple[str, ...] = ()

    def show(self, *lines: str) -> None:
        """From now on these lines, in place of the ones before."""
        self.lines = lines
        if self._live is not None:
            self._live.update(Padding(Text("\n".join(lines)), (0, 0, 0, _INDENT)))


def sparkline(values: list[int]) -> str:
    """One character a value, the highest one full."""
    top = max(values, default=0)
    return "".join(BARS[0] if not value else BARS[max(1, value * (len(BARS) - 1) // top)] for value in values)


def amount(nanos: int) -> str:
    """An exact amount: nine decimals, so that a nano that is missing would be seen."""
    whole, nano = divmod(abs(nanos), 10**9)
    return f"{'-' if nanos < 0 else ''}{whole:,}.{nano:09d}".replace(",", " ")


def lasts(wallet: Mapping[str, Any]) -> str:
    """How long what Ada has left lasts, in the words of her page."""
    days = wallet["usual_work"]["days"]
    return "no usual work yet" if days is None else f"{about_days(days, '≈')} of her usual work"


def short(nanos: int) -> str:
    """An amount for a sentence, exact, without zeros at its end."""
    return credits_text(nanos)


def count(number: int) -> str:
    """A count with its thousands apart."""
    return f"{number:,}".replace(",", " ")


def pretty(body: bytes) -> list[str]:
    """A JSON body as lines; any other as it is."""
    try:
        value: Any = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace").splitlines()
    return json.dumps(value, indent=2, ensure_ascii=False).splitlines()


_SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="Output of tokenroll demo">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
