"""Pictures drawn: a Vega-Lite document as SVG, PNG or PDF, in this process, without a browser and without the network."""

from pathlib import Path
from typing import Final

import vl_convert

from tokenroll.insight.pictures import SHEET, UNDER_COLOURS, Picture

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
