"""The page of an analysis: one HTML file with its style and its pictures inside, which asks no network for anything."""

from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tokenroll import __version__
from tokenroll.insight.usage_shares import Share
from tokenroll.services.analysing import Analysed
from tokenroll.services.analysis_texts import (
    ahead_text,
    analysis_parts,
    grouped,
    headline,
    notes,
    tokens,
    usd,
    usd_parts,
    waste_costs,
)
from tokenroll.services.drawing import svg_for_page


def analysis_page(found: Analysed) -> str:
    """The whole page as text."""
    folder = resources.files("tokenroll.web")
    with resources.as_file(folder / "templates") as templates:
        environment = Environment(
            loader=FileSystemLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(usd=usd, grouped=grouped, tokens=tokens, costs=_costs)
        return environment.get_template("analysis.html").render(
            found=found,
            analysis=found.analysis,
            headline=headline(found),
            notes=notes(found),
            avoidable=list(zip(found.analysis.waste.findings, waste_costs(found.analysis.waste), strict=True)),
            ahead=ahead_text(found),
            pictures={name: _inline(svg_for_page(picture)) for name, picture in analysis_parts(found).items()},
            style=_inline((folder / "static/style.css").read_text()),
            version=__version__,
        )


def _costs(rows: Sequence[Share]) -> list[tuple[Share, str]]:
    """Rows with what they cost: what is printed adds up to the printed total."""
    return list(zip(rows, usd_parts([row.list_cost_nanos for row in rows]), strict=True))


def _inline(made_here: str) -> Markup:
    """Text that this program made itself and that is to stand in the page as it is."""
    return Markup(made_here)  # noqa: S704 - a drawing or a style of ours: what a log says is escaped by who draws it
