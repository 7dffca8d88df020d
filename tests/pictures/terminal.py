"""Frames of the demo's table as one SVG that shows them one after the other."""

import re
from html import escape

HOME = "\x1b[H"
SECONDS = 4
WIDTH, HEIGHT, MARGIN = 8, 18, 14
COLOURS = {"1": "#ffffff", "31": "#ff7b72", "32": "#7ee787", "33": "#e3b341"}


def lines(frame):
    """Text and colour of each line. The demo colours whole lines."""
    for line in frame.split("\x1b[J")[0].split("\r\n"):
        colour = re.search(r"\x1b\[(\d+)m", line)
        yield re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line).rstrip(), COLOURS.get(colour[1] if colour else "", "#c9d1d9")


def draw(frames, columns, rows):
    width, height = columns * WIDTH + 2 * MARGIN, rows * HEIGHT + 2 * MARGIN
    share = 100 / len(frames)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="13" '
        'font-family="ui-monospace,Menlo,Consolas,monospace">',
        "<title>The demo in a terminal</title><style>text{white-space:pre}"
        f"g{{visibility:hidden;animation:show {SECONDS * len(frames)}s step-end infinite}}g:first-of-type{{visibility:visible}}"
        f"@keyframes show{{0%{{visibility:visible}}{share:.3f}%{{visibility:hidden}}}}"
        "@media (prefers-reduced-motion){g{animation:none}}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
    ]
    for i, frame in enumerate(frames):
        drawn.append(f'<g style="animation-delay:{i * SECONDS}s">')
        for row, (text, colour) in enumerate(lines(frame), 1):
            if text:
                # The same width in every font.
                place = f'x="{MARGIN}" y="{MARGIN + row * HEIGHT - 5}" textLength="{len(text) * WIDTH}"'
                drawn.append(f'<text {place} xml:space="preserve" fill="{colour}">{escape(text)}</text>')
        drawn.append("</g>")
    return "\n".join([*drawn, "</svg>", ""])
