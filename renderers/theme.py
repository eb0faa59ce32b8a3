"""One theme: colours, fonts, margins, axes and event markers shared by all views.

Colours are computed in OKLCH (B. Ottosson, "A perceptual color space for image processing", 2020), so that
equal steps look equal; contrast is WCAG 2's relative-luminance ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

FONT = (
    "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
)
Colorscale = list[list[Any]]


@dataclass(frozen=True)
class Theme:
    """Colours of one appearance."""

    name: str
    background: str
    text: str
    muted: str
    grid: str
    line: str
    faint: str
    event: str
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]
    time: tuple[str, ...]
    series: tuple[str, ...]

    def split(self, name: str) -> str:
        """The colour of a set of inputs, the same in every view: train, test, or all of them."""
        return {"train": self.series[0], "test": self.series[1]}.get(name, self.muted)

    def scale(self, kind: str = "sequential") -> Colorscale:
        """A plotly colorscale: sequential (little to much), diverging (about zero), time or cyclic."""
        stops: tuple[str, ...] = {
            "sequential": self.sequential,
            "diverging": self.diverging,
            "time": self.time,
            "cyclic": _cycle(),
        }[kind]
        return [[index / (len(stops) - 1), colour] for index, colour in enumerate(stops)]


LIGHT = Theme(
    name="light",
    background="#ffffff",
    text="#1f2429",
    muted="#5c646d",
    grid="#eceef1",
    line="#c3c8ce",
    faint="#b9bfc6",
    event="#7a5a00",
    sequential=("#fbfcfd", "#dbe9f3", "#a9cfe3", "#66a9cf", "#2f7fb6", "#155a92", "#0b3a66", "#061f3d"),
    diverging=("#0b3a66", "#2f7fb6", "#a9cfe3", "#fbfcfd", "#f3c6a0", "#d1752f", "#7c3506"),
    time=("#c9b8e0", "#9a8fd0", "#5f74bd", "#2f5f93", "#16435a", "#0c2a30"),
    series=("#0069a8", "#b85300", "#007a55", "#a3478a", "#6f6f00", "#5364c4", "#b8432f", "#33788c"),
)
DARK = Theme(
    name="dark",
    background="#16191d",
    text="#e6e8eb",
    muted="#a3abb4",
    grid="#262b31",
    line="#48505a",
    faint="#525a64",
    event="#e0b64a",
    sequential=("#181b20", "#17304a", "#175074", "#1f7597", "#3d9cab", "#74c2b0", "#b6e2b1", "#f4fbc4"),
    diverging=("#9cd3f5", "#3f94cc", "#1b4f78", "#181b20", "#7a4316", "#d1843f", "#ffd2a6"),
    time=("#4b4170", "#5b5fa3", "#5b86c2", "#67b0cd", "#95d5cf", "#e3f7dd"),
    series=("#4aa3df", "#e08a3c", "#35b58a", "#d485b8", "#b5b04a", "#8f9cf0", "#e5705c", "#67b3c6"),
)


def theme(name: str) -> Theme:
    """The theme called "light" or "dark"."""
    themes = {"light": LIGHT, "dark": DARK}
    if name not in themes:
        raise ValueError(f"There is no theme {name!r}; use light or dark.")
    return themes[name]


_HUE_START, _HUE_STEP = 40.0, 68.0
_LUMINANCE = (0.135, 0.200, 0.292)
_CHROMA = (0.17, 0.10)


@lru_cache(maxsize=1)
def _cycle() -> tuple[str, ...]:
    """Hues around the circle, the first again at the end: for angles and residues."""
    return tuple(_hex(_in_gamut(0.66, 0.13, hue)) for hue in np.linspace(0.0, 360.0, 25))


@lru_cache(maxsize=4096)
def frequency_colour(k: int) -> str:
    """The colour of frequency k (1-based), the same in every view, variant and theme.

    Hue advances by a fixed angle while three luminances and two chromas alternate, so that frequencies of
    similar hue differ in one of those. The angles come from a search for colours that tell neighbours and the
    frequencies learned in published runs well apart, and no two of k = 1..56 alike. Luminance is met exactly,
    which keeps the contrast with both backgrounds at 3:1 or more. k = 0 (no frequency) is grey.
    """
    target, hue = _LUMINANCE[k % 3], _HUE_START + k * _HUE_STEP
    chroma = _CHROMA[k % 2] if k else 0.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if _luminance(_in_gamut(middle, chroma, hue)) < target:
            low = middle
        else:
            high = middle
    return _hex(_in_gamut(high, chroma, hue))


def evenly(count: int, theme: Theme) -> tuple[str, ...]:
    """`count` colours of evenly spread hues, light enough or dark enough for the theme's background."""
    lightness = 0.52 if theme.name == "light" else 0.74
    hues = np.linspace(0.0, 360.0, count, endpoint=False) + _HUE_START
    return tuple(_hex(_in_gamut(lightness, 0.12, hue)) for hue in hues)


def contrast(first: str, second: str) -> float:
    """WCAG contrast ratio of two hex colours, from 1 to 21."""
    brighter, darker = sorted((_luminance(_linear(first)), _luminance(_linear(second))), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def translucent(colour: str, opacity: float) -> str:
    """A hex colour with an opacity, as CSS text."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def oklab(colour: str) -> np.ndarray:
    """OKLab coordinates (L, a, b) of a hex colour; Euclidean distance is roughly perceptual."""
    to_cone = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return to_lab @ np.cbrt(to_cone @ _linear(colour))


def _in_gamut(lightness: float, chroma: float, hue: float) -> np.ndarray:
    """Linear sRGB of an OKLCH colour, with less chroma if sRGB has no such colour."""
    angle = np.deg2rad(hue)
    for reduced in np.linspace(chroma, 0.0, 18):
        a, b = reduced * np.cos(angle), reduced * np.sin(angle)
        cone = (
            np.array(
                [
                    lightness + 0.3963377774 * a + 0.2158037573 * b,
                    lightness - 0.1055613458 * a - 0.0638541728 * b,
                    lightness - 0.0894841775 * a - 1.2914855480 * b,
                ]
            )
            ** 3
        )
        rgb = (
            np.array(
                [
                    [4.0767416621, -3.3077115913, 0.2309699292],
                    [-1.2684380046, 2.6097574011, -0.3413193965],
                    [-0.0041960863, -0.7034186147, 1.7076147010],
                ]
            )
            @ cone
        )
        if rgb.min() >= -1e-4 and rgb.max() <= 1 + 1e-4:
            break
    return np.clip(rgb, 0.0, 1.0)


def _luminance(linear: np.ndarray) -> float:
    return float(np.array([0.2126, 0.7152, 0.0722]) @ linear)


def _linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def _hex(linear: np.ndarray) -> str:
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(channel) * 255):02x}" for channel in gamma)
