"""Draws a graph as SVG: layers from left to right, nodes of a layer below each other, near what they read."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Box = tuple[str, str, str]
"""Id, first line, second line."""

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 168, 46, 44, 18, 12
_COLOURS = {"source": "#dbeafe", "model": "#dcfce7", "sink": "#fef3c7", "step": "#f3f4f6"}


def svg(boxes: Sequence[tuple[Box, str]], edges: Sequence[tuple[str, str, str]], title: str) -> str:
    """`boxes` with their kind (source, step, model, sink); `edges` from, to, port."""
    before: dict[str, list[str]] = {box[0]: [] for box, _ in boxes}
    for start, end, _ in edges:
        before[end].append(start)
    layer: dict[str, int] = {}

    def depth(name: str, on_the_way: frozenset[str]) -> int:
        if name not in layer:
            parents = [p for p in before[name] if p not in on_the_way]
            layer[name] = max((depth(p, on_the_way | {name}) + 1 for p in parents), default=0)
        return layer[name]

    for box, _ in boxes:
        depth(box[0], frozenset())
    rows: dict[int, list[str]] = {}
    for name in sorted(layer, key=lambda name: layer[name]):
        rows.setdefault(layer[name], []).append(name)
    place: dict[str, float] = {}
    for level in sorted(rows):
        names = rows[level]
        wanted = {n: sum(place[p] for p in before[n] if p in place) / max(1, len(before[n])) for n in names}
        names.sort(key=lambda n: wanted[n])
        for i, name in enumerate(names):
            place[name] = float(i)
    tallest = max((len(names) for names in rows.values()), default=1)
    width = MARGIN * 2 + len(rows) * WIDTH + max(0, len(rows) - 1) * GAP_X
    height = MARGIN * 2 + tallest * HEIGHT + (tallest - 1) * GAP_Y

    def corner(name: str) -> tuple[float, float]:
        free = (tallest - len(rows[layer[name]])) * (HEIGHT + GAP_Y) / 2
        return MARGIN + layer[name] * (WIDTH + GAP_X), MARGIN + free + place[name] * (HEIGHT + GAP_Y)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="system-ui, sans-serif" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#6b7280"/></marker></defs>',
    ]
    for start, end, port in edges:
        (x1, y1), (x2, y2) = corner(start), corner(end)
        x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2
        middle = (x1 + x2) / 2
        parts.append(
            f'<path d="M{x1:.0f} {y1:.0f}C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}" fill="none" '
            'stroke="#6b7280" marker-end="url(#tip)"/>'
        )
        if port != "in":
            parts.append(
                f'<text x="{x2 - 6:.0f}" y="{y2 - 5:.0f}" font-size="10" text-anchor="end" fill="#6b7280">{escape(port)}</text>'
            )
    for (name, first, second), kind in boxes:
        x, y = corner(name)
        parts.append(
            f'<g><title>{escape(name)}</title><rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
            f'fill="{_COLOURS[kind]}" stroke="#9ca3af"/>'
            f'<text x="{x + 10:.0f}" y="{y + 19:.0f}" font-size="13" fill="#111827">{escape(_short(first, 22))}</text>'
            f'<text x="{x + 10:.0f}" y="{y + 36:.0f}" font-size="11" fill="#4b5563">{escape(_short(second, 28))}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
