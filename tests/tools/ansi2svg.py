#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a terminal's screen with its colours into an SVG picture.

    tmux capture-pane -e -p -N | ansi2svg.py [--columns N] [--rows N] [--title TEXT] > screen.svg

Knows what tmux writes: SGR sequences (bold, dim, italic, underline, reverse, 8, 16, 256 and direct
colours) and nothing else; other escapes are dropped. Each run of equal cells is one <text>, stretched
to its place on the grid, so the columns stand whatever font the reader has.
"""

import argparse
import re
import sys
import unicodedata
from xml.sax.saxutils import escape, quoteattr

CELL_W, CELL_H, BASELINE, MARGIN = 8.4, 18, 13.5, 12
FONT = "ui-monospace,'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace"
BACKGROUND, FOREGROUND = "#14171c", "#d3d7cf"
BASIC = ["#3b4048", "#e05561", "#8cc265", "#d5a44c", "#4aa5f0", "#c162de", "#42b3c2", "#d7dae0",
         "#7f848e", "#ff616e", "#a5e075", "#f0c674", "#6cbcff", "#de73ff", "#4cd1e0", "#ffffff"]


class Style:
    """The attributes of a cell; a value, compared by its fields."""

    NAMES = ("fg", "bg", "bold", "dim", "italic", "underline", "reverse")

    def __init__(self, **values):
        for name in self.NAMES:
            setattr(self, name, values.get(name))

    def key(self):
        return tuple(getattr(self, name) for name in self.NAMES)

    def but(self, **values):
        return Style(**{**{n: getattr(self, n) for n in self.NAMES}, **values})

    def colours(self):
        fg, bg = self.fg, self.bg
        if self.reverse:
            fg, bg = bg or BACKGROUND, fg or FOREGROUND
        return fg or FOREGROUND, bg


def palette(number):
    if number < 16:
        return BASIC[number]
    if number < 232:
        number -= 16
        steps = (0, 95, 135, 175, 215, 255)
        return "#%02x%02x%02x" % (steps[number // 36], steps[number // 6 % 6], steps[number % 6])
    return "#%02x%02x%02x" % ((8 + 10 * (number - 232),) * 3)


def extended(codes):
    """The colour after 38 or 48; takes its numbers off the list."""
    kind = codes.pop(0) if codes else None
    if kind == 5 and codes:
        return palette(codes.pop(0))
    if kind == 2 and len(codes) >= 3:
        return "#%02x%02x%02x" % (codes.pop(0), codes.pop(0), codes.pop(0))
    return None


SWITCHES = {1: {"bold": True}, 2: {"dim": True}, 3: {"italic": True}, 4: {"underline": True},
            7: {"reverse": True}, 22: {"bold": None, "dim": None}, 23: {"italic": None},
            24: {"underline": None}, 27: {"reverse": None}, 39: {"fg": None}, 49: {"bg": None}}


def apply(style, parameters):
    codes = [int(c or 0) for c in re.split("[;:]", parameters)]
    while codes:
        code = codes.pop(0)
        if code == 0:
            style = Style()
        elif code in SWITCHES:
            style = style.but(**SWITCHES[code])
        elif code in (38, 48):
            style = style.but(**{"fg" if code == 38 else "bg": extended(codes)})
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = style.but(fg=BASIC[code - 30 if code < 90 else code - 82])
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style = style.but(bg=BASIC[code - 40 if code < 100 else code - 92])
    return style


def width(char):
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def parse(text):
    """Rows of runs (column, columns, string, style)."""
    rows, style = [], Style()
    # SO and SI switch to the line-drawing set, which tmux uses where it may not write UTF-8.
    drawing = dict(zip("jklmnqtuvwx", "┘┐┌└┼─├┤┴┬│"))
    for line in text.rstrip("\n").split("\n"):
        runs, column, graphic = [], 0, False
        for part in re.findall(r"\x1b\[[0-9;:?]*[A-Za-z]|\x1b.|[\x0e\x0f]|[^\x1b]", line):
            if part.startswith("\x1b["):
                style = apply(style, part[2:-1]) if part.endswith("m") else style
                continue
            if part in ("\x0e", "\x0f") or part[0] == "\x1b":
                graphic = part == "\x0e" or (graphic and part != "\x0f")
                continue
            char = drawing.get(part, part) if graphic else part
            cells = width(char)
            if runs and runs[-1][3].key() == style.key():
                start, count, string, _ = runs[-1]
                runs[-1] = (start, count + cells, string + char, style)
            else:
                runs.append((column, cells, char, style))
            column += cells
        rows.append(runs)
    return rows


def draw(rows, columns, count, title):
    w, h = columns * CELL_W + 2 * MARGIN, count * CELL_H + 2 * MARGIN
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:g} {h:g}" width="{w:g}" '
           f'height="{h:g}" role="img" aria-label={quoteattr(title)}>',
           f"<title>{escape(title)}</title>",
           f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
           f'<g font-family="{FONT}" font-size="14" xml:space="preserve" '
           f'lengthAdjust="spacingAndGlyphs">']
    for number, runs in enumerate(rows[:count]):
        y = MARGIN + number * CELL_H
        for start, cells, string, style in runs:
            out += draw_run(MARGIN + start * CELL_W, y, cells, string, style)
    out += ["</g>", "</svg>", ""]
    return "\n".join(out)


def draw_run(x, y, cells, string, style):
    fg, bg = style.colours()
    out = []
    if bg:
        out.append(f'<rect x="{x:g}" y="{y}" width="{cells * CELL_W + 0.3:g}" '
                   f'height="{CELL_H}" fill="{bg}"/>')
    if string.strip():
        # Blanks at the ends need no glyphs, and some renderers drop them.
        lead = len(string) - len(string.lstrip(" "))
        shown = string.strip(" ")
        span = sum(map(width, shown)) * CELL_W
        attributes = f'x="{x + lead * CELL_W:g}" y="{y + BASELINE:g}" textLength="{span:g}"'
        attributes += f' fill="{fg}"'
        attributes += ' font-weight="bold"' if style.bold else ""
        attributes += ' font-style="italic"' if style.italic else ""
        attributes += ' text-decoration="underline"' if style.underline else ""
        attributes += ' opacity="0.65"' if style.dim else ""
        # A no-break space keeps runs of blanks as wide as they are.
        out.append(f"<text {attributes}>{escape(shown.replace(' ', chr(0xa0)))}</text>")
    return out


def convert(text, columns=None, count=None, title="muster"):
    rows = parse(text)
    columns = columns or max((r[-1][0] + r[-1][1] for r in rows if r), default=80)
    return draw(rows, columns, count or len(rows), title)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--columns", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--title", default="muster")
    args = parser.parse_args()
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    sys.stdout.write(convert(text, args.columns, args.rows, args.title))


if __name__ == "__main__":
    main()
