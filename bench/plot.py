"""A small SVG plot of lines, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 40, 50  # Margins; the names of the lines stand in the right one.

# Okabe and Ito's colours, which the colour-blind can tell apart; the dashes do so in print.
STYLES = (("#0072b2", ""), ("#e69f00", ""), ("#56b4e9", "7 3"), ("#d55e00", "7 3"), ("#888888", "2 3"))

STYLE = """
text { font: 12px sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: bold }
.grid { stroke: #8884; fill: none }
.axis { stroke: #888; fill: none }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de } }
"""


@dataclass(frozen=True)
class Line:
    name: str
    points: Sequence[tuple[float, float]]


def plot(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> str:
    """Both axes are linear, and begin at 0."""
    x_ticks = ticks(max(x for line in lines for x, _ in line.points), binary=True)
    y_ticks = ticks(max(y for line in lines for _, y in line.points))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x_of(value: float) -> float:
        return LEFT + (right - LEFT) * value / x_ticks[-1]

    def y_of(value: float) -> float:
        return bottom - (bottom - TOP) * value / y_ticks[-1]

    def text(x: float, y: float, content: str, *attributes: str) -> str:
        return f'<text x="{x:.0f}" y="{y:.0f}" {" ".join(attributes)}>{escape(content)}</text>'

    middle, end = 'text-anchor="middle"', 'text-anchor="end"'
    parts = [text(LEFT, 20, title, 'class="title"')]
    for value in y_ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y_of(value):.1f}H{right}"/>')
        parts.append(text(LEFT - 8, y_of(value) + 4, f"{value:g}", end))
    for value in x_ticks:
        parts.append(f'<path class="grid" d="M{x_of(value):.1f} {TOP}V{bottom}"/>')
        parts.append(text(x_of(value), bottom + 18, f"{value:g}", middle))
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    parts.append(text((LEFT + right) / 2, HEIGHT - 12, x_label, middle))
    parts.append(text(0, 0, y_label, middle, f'transform="translate(16 {(TOP + bottom) / 2:.0f}) rotate(-90)"'))

    for row, (line, (colour, dashes)) in enumerate(zip(lines, STYLES, strict=True)):
        stroke = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
        path = "L".join(f"{x_of(x):.1f} {y_of(y):.1f}" for x, y in line.points)
        parts.append(f'<path {stroke} d="M{path}"/>')
        y = TOP + 12 + 22 * row
        parts.append(f'<path {stroke} d="M{right + 16} {y}h28"/>')
        parts.append(text(right + 52, y + 4, line.name))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def ticks(largest: float, *, binary: bool = False) -> list[float]:
    """Some round numbers from 0 up, the last of which is not below `largest`."""
    step = 1.0
    for factor in [2.0] * 64 if binary else [2.0, 2.5, 2.0] * 20:
        if step * 6 >= largest:
            break
        step *= factor
    count = int(-(-largest // step))
    return [step * number for number in range(count + 1)]
