"""Pictures drawn: a Vega-Lite document as SVG, PNG or PDF, in this process, without a browser and without the network."""

import re
from html import escape
from pathlib import Path
from typing import Final

import vl_convert

from tokenroll.insight.pictures import SHEET, UNDER_COLOURS, Picture, narrowed

_PARTS_TOLD: Final = re.compile(r' (?:role="graphics-[a-z]+"|aria-roledescription="[^"]*")')
"""What would have each mark of a picture read out by itself, without a name."""
FORMATS: Final = ("svg", "png", "pdf")
PNG_SCALE: Final = 2.0
"""Pixels per unit of the picture: sharp where screens have two."""


class PictureError(ValueError):
    """A picture that cannot be drawn; the message says why."""


def svg_for_page(picture: Picture) -> str:
    """The picture as an SVG element that follows the light or dark ground of the page around it."""
    svg = drawn(picture, "svg").decode()
    for colour, variable in UNDER_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg


def svgs_for_page(picture: Picture, name: str, title: str) -> str:
    """Two SVG elements of one picture, a wide and a narrow one, of which the page's style shows one.

    Each is one picture to whoever hears the page, with a title; the numbers are in the table beside it.
    """
    untitled = {key: value for key, value in picture.items() if key != "title"}
    return "".join(
        _named(svg_for_page(one), f"{name}-{size}", size, title)
        for size, one in (("wide", untitled), ("narrow", narrowed(picture)))
    )


def _named(svg: str, identity: str, size: str, title: str) -> str:
    head, rest = _PARTS_TOLD.sub("", svg).split(">", 1)
    head = head.replace('class="marks"', f'class="picture {size}" role="img" aria-labelledby="{identity}"')
    return f'{head}><title id="{identity}">{escape(title)}</title>{rest}'


def drawn(picture: Picture, form: str) -> bytes:
    """The picture's bytes in one of FORMATS; files get a white ground. Raises PictureError."""
    if form == "svg":
        return vl_convert.vegalite_to_svg(picture, allowed_base_urls=[]).encode()
    on_white = {**picture, "background": SHEET}
    if form == "png":
        return bytes(vl_convert.vegalite_to_png(on_white, scale=PNG_SCALE, allowed_base_urls=[]))
    if form == "pdf":
        return bytes(vl_convert.vegalite_to_pdf(on_white, allowed_base_urls=[]))
    raise PictureError(f"a picture is written as {', '.join(FORMATS)}, not as {form!r}")


def drawn_for(path: Path, picture: Picture) -> bytes:
    """The picture in the format that a file's name asks for. Raises PictureError."""
    form = path.suffix.removeprefix(".").lower()
    if form == "svg":
        picture = {**picture, "background": SHEET}
    return drawn(picture, form)
