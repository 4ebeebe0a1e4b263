"""A small drawing surface: matplotlib's Agg renderer draws smooth shapes, Pillow draws words.

A matplotlib figure takes 80 ms, its renderer 1 ms. Coordinates are pixels from the top left. Words are above all
shapes but those of ``overlay_ellipse``. Only fonts bundled with matplotlib are used, with Pillow's own layout engine,
so that a picture does not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageColor, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.random import Generator

Point = tuple[float, float]

FONTS: tuple[str, ...] = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
)


@lru_cache(maxsize=256)
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Return one of matplotlib's fonts by its file name, ``size`` pixels high."""
    from matplotlib import get_data_path

    file = Path(get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


class Canvas:
    """A canvas: call its drawing methods, then ``image()``."""

    def __init__(self, width: int, height: int, background: str = "#ffffff") -> None:
        from matplotlib.backends import backend_agg

        self.width, self.height = width, height
        # At 72 dots per inch a point, the renderer's unit of line width, is a pixel.
        agg: Any = backend_agg
        self._renderer = agg.RendererAgg(width, height, 72)
        self._words: list[tuple[Point, str, ImageFont.FreeTypeFont, str, str]] = []
        self._rings: list[tuple[Point, float, float, str, float]] = []
        self.polygon([(0, 0), (width, 0), (width, height), (0, height)], fill=background)

    def line(self, points: Sequence[Point], colour: str, width: float, *, cap: str = "butt") -> None:
        self._draw(points, False, None, colour, width, cap)

    def polygon(self, points: Sequence[Point], *, fill: str = "", edge: str = "", width: float = 0) -> None:
        self._draw(points, True, fill, edge, width, "butt")

    def ellipse(self, centre: Point, rx: float, ry: float, *, fill: str = "", edge: str = "", width: float = 0) -> None:
        from matplotlib.path import Path as Outline
        from matplotlib.transforms import Affine2D

        place = Affine2D().scale(rx, ry).translate(centre[0], self.height - centre[1])
        self._stroke(Outline.unit_circle(), place, fill, edge, width, "butt")

    def text(self, at: Point, text: str, name: str, size: int, colour: str = "#000000", anchor: str = "mm") -> None:
        """Draw ``text`` with its ``anchor`` (as Pillow names it; ``mm`` is the middle) at the point."""
        self._words.append((at, text, font(name, size), colour, anchor))

    def overlay_ellipse(self, centre: Point, rx: float, ry: float, edge: str, width: float) -> None:
        """Draw the outline of an ellipse above the words."""
        self._rings.append((centre, rx, ry, edge, width))

    def image(self) -> Image.Image:
        import numpy

        pixels = numpy.asarray(self._renderer.buffer_rgba())[:, :, :3]
        image = Image.fromarray(numpy.ascontiguousarray(pixels))
        pen = ImageDraw.Draw(image)
        for at, text, face, colour, anchor in self._words:
            pen.text(at, text, font=face, fill=colour, anchor=anchor)
        for (x, y), rx, ry, edge, width in self._rings:
            # Drawn four times too large and shrunk, since Pillow's own outlines are jagged.
            mask = Image.new("L", (4 * self.width, 4 * self.height))
            box = [
                4 * (x - rx - width / 2),
                4 * (y - ry - width / 2),
                4 * (x + rx + width / 2),
                4 * (y + ry + width / 2),
            ]
            ImageDraw.Draw(mask).ellipse(box, outline=255, width=round(4 * width))
            image.paste(Image.new("RGB", image.size, edge), mask=mask.resize(image.size, Image.Resampling.BOX))
        return image

    def _draw(self, points: Sequence[Point], closed: bool, fill: str | None, edge: str, width: float, cap: str) -> None:
        from matplotlib.path import Path as Outline
        from matplotlib.transforms import IdentityTransform

        upward = [(x, self.height - y) for x, y in points]
        outline = Outline([*upward, upward[0]], closed=True) if closed else Outline(upward)
        self._stroke(outline, IdentityTransform(), fill, edge, width, cap)

    def _stroke(self, outline: Any, place: Any, fill: str | None, edge: str, width: float, cap: str) -> None:
        pen = self._renderer.new_gc()
        pen.set_linewidth(width if edge else 0)
        pen.set_foreground(edge or fill or "#000000")
        pen.set_capstyle(cap)
        pen.set_joinstyle("miter")
        face = tuple(channel / 255 for channel in ImageColor.getrgb(fill)[:3]) if fill else None
        self._renderer.draw_path(pen, outline, place, face)
        pen.restore()


def with_noise(image: Image.Image, rng: Generator, strength: float) -> Image.Image:
    """Return ``image`` with Gaussian noise of ``strength`` grey levels, the same on all channels."""
    import numpy

    if strength <= 0:
        return image
    pixels = numpy.asarray(image, dtype=numpy.float32)
    grain = rng.standard_normal(pixels.shape[:2], dtype=numpy.float32)[:, :, None] * strength
    return Image.fromarray(numpy.clip(pixels + grain, 0, 255).astype(numpy.uint8))
