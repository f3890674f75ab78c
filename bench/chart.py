"""The chart of the report, as SVG: times on a log scale, readable on light and on dark ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from contenders import LADDER
from goals import CUTOVERS
from measuring import quartiles
from runs import Run, seconds

WIDTH, LEFT, RIGHT, ROW, HEAD, FOOT = 760, 190, 90, 20, 34, 34
STYLE = """text { font: 12px system-ui, sans-serif; fill: #6e7781 } .head { font-weight: 600; font-size: 13px }
.grid { stroke: #8b949e; stroke-opacity: .35 } .ours { fill: #2f81f7 } .other { fill: #8b949e }
.spread { stroke: #d29922; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #adbac7 } }"""


@dataclass(frozen=True)
class Bar:
    name: str
    low: float
    middle: float
    high: float


def bars(run: Run, workload: str) -> list[Bar]:
    found = ((name, run.of("ladder", name=name, workload=workload)) for name in LADDER)
    return [Bar(name, *quartiles(one[0].seconds)) for name, one in found if one]


def stalls(run: Run) -> list[Bar]:
    """The longest call of each turn, with no upgrade and during one."""
    shown = []
    for name in ("lock and replace", "extism", *CUTOVERS):
        for one in run.of("upgrade_under_load", name=name):
            for phase in ("steady", "during"):
                longest = [turn[phase]["max"] for turn in one.facts["turns"]]
                shown.append(Bar(f"{name}, {phase}", *quartiles(longest)))
    return shown


def panel(title: str, shown: Sequence[Bar], top: float) -> tuple[str, float]:
    """Its elements, and where it ends."""
    first = math.floor(math.log10(min(bar.low for bar in shown)))
    last = math.ceil(math.log10(max(bar.high for bar in shown)))
    scale = (WIDTH - LEFT - RIGHT) / max(1, last - first)

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - first) * scale

    bottom = top + HEAD + ROW * len(shown)
    parts = [f'<text class="head" x="12" y="{top + 18}">{escape(title)}</text>']
    for power in range(first, last + 1):
        at = x(10.0**power)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top + HEAD - 6}" y2="{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 15}" text-anchor="middle">{seconds(10.0**power)}</text>')
    for number, bar in enumerate(shown):
        y = top + HEAD + ROW * number
        kind = "ours" if bar.name.startswith("hotswap") else "other"
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{x(bar.middle) - LEFT:.1f}" height="{ROW - 7}"/>',
            f'<line class="spread" x1="{x(bar.low):.1f}" x2="{x(bar.high):.1f}" y1="{y + 8.5}" y2="{y + 8.5}"/>',
            f'<text x="{x(bar.high) + 6:.1f}" y="{y + 12}">{seconds(bar.middle)}</text>',
        ]
    return "\n".join(parts), bottom + FOOT


def chart(run: Run) -> str:
    wanted = [(f"A call: {each} (log scale, median and quartiles)", bars(run, each)) for each in SHOWN]
    wanted.append(("The longest call of a turn, steady and during an upgrade (log scale)", stalls(run)))
    parts, end = [], 6.0
    for title, shown in wanted:
        if shown:
            drawn, end = panel(title, shown, end)
            parts.append(drawn)
    short = "" if run.facts.get("size", "usual") == "usual" else "; a short run, whose figures mean nothing"
    parts.append(f'<text x="12" y="{end + 8:.0f}">Python {run.python}{short}</text>')
    end += 20
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {end:.0f}" width="{WIDTH}" '
        f'role="img" aria-label="Python {run.python}: calls and upgrades">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


SHOWN = ("i32 add", "1 KiB upper-case")
