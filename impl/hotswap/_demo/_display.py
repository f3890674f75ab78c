"""What the demo shows: one plain line a step, or a live picture if stdout is a terminal; at the end, tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hotswap._demo._load import Load, now
from hotswap._demo._report import Report
from hotswap._demo._script import Act, Audience, Step, StepRun

_FRAMES_PER_S = 8


@contextmanager
def display_for(console: Console, script: Sequence[Act]) -> Iterator[Audience]:
    """The display that fits where the output goes, for as long as the block runs."""
    if not console.is_terminal or console.is_dumb_terminal or console.options.ascii_only:
        yield PlainDisplay(console)
    else:
        display = LiveDisplay(script)
        with Live(get_renderable=display.draw, console=console, refresh_per_second=_FRAMES_PER_S):
            yield display


def say(console: Console, text: str, style: str = "") -> None:
    """One line, as it is: not wrapped, and nothing in it taken for markup."""
    console.print(Text(text, style), soft_wrap=True)


def _outcome(run: StepRun) -> str:
    if run.problems:
        return "; ".join(run.problems)
    if run.step.error is None:
        return f"upgraded in {run.upgrade_ms:.0f} ms"
    return f"{run.step.error.__name__} after {run.upgrade_ms:.0f} ms, {run.serves} serves on"


class PlainDisplay(Audience):
    """One line a step, for logs: no control characters."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def act_begun(self, act: Act, load: Load) -> None:
        say(self._console, f"{act.cutover.value}: {act.first} serves {len(load.tallies)} threads")

    def step_begun(self, step: Step) -> None:
        pass

    def step_ended(self, run: StepRun) -> None:
        upgrade = f"{run.act.cutover.value}: {run.old} -> {run.step.version}"
        say(self._console, f"{upgrade}: {_outcome(run)}; {run.calls:,} calls meanwhile")


class _Scene:
    """The act that is played, as the picture samples it."""

    def __init__(self, act: Act, load: Load) -> None:
        self._load = load
        self._versions: dict[int, str] = {}
        self._newest = act.first
        self._then, self._ended_then = now(), load.ended

    def step_begun(self, step: Step) -> None:
        self._in_flight()  # the versions there are by now belong to earlier steps
        self._newest = step.version

    def draw(self) -> Text:
        moment, ended = now(), self._load.ended
        rate = (ended - self._ended_then) / max(moment - self._then, 1e-3)
        self._then, self._ended_then = moment, ended
        wrong = sum(tally.wrong for tally in self._load.tallies)
        dropped = sum(tally.dropped for tally in self._load.tallies)
        return Text(
            f"phase {self._load.plugin.state.name}\n"
            f"in flight: {self._in_flight() or 'none'}\n"
            f"{rate:,.0f} calls/s; in this act {ended:,} calls, {wrong} wrong, {dropped} dropped"
        )

    def _in_flight(self) -> str:
        """Calls by version. An id that is new is that of the version which was tried last."""
        counts = self._load.plugin.stats().in_flight.items()
        return ", ".join(f"{count} on {self._versions.setdefault(id_, self._newest)}" for id_, count in counts)


class LiveDisplay(Audience):
    """The script's steps and, below them, the plugin at this moment.

    A thread of rich's draws it, so the plugin is seen while the main thread is inside `upgrade`.
    """

    def __init__(self, script: Sequence[Act]) -> None:
        self._steps = [(act, old, step) for act in script for old, step, _ in act.course()]
        self._runs: list[StepRun] = []
        self._scene: _Scene | None = None

    def act_begun(self, act: Act, load: Load) -> None:
        self._scene = _Scene(act, load)

    def step_begun(self, step: Step) -> None:
        if self._scene is not None:
            self._scene.step_begun(step)

    def step_ended(self, run: StepRun) -> None:
        self._runs.append(run)

    def draw(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        for title in ("", "cutover", "upgrade", "result"):
            table.add_column(title)
        for place, (act, old, step) in enumerate(self._steps):
            table.add_row(self._mark(place), act.cutover.value, f"{old} -> {step.version}", self._result(place))
        scene = self._scene
        return Group(table, Text(), Text("starting") if scene is None else scene.draw())

    def _mark(self, place: int) -> str:
        done = len(self._runs)
        return "·" if place > done else "▸" if place == done else "✗" if self._runs[place].problems else "✓"

    def _result(self, place: int) -> Text:
        if place >= len(self._runs):
            return Text()
        run = self._runs[place]
        return Text(_outcome(run), "red" if run.problems else "green")


def show(console: Console, report: Report) -> None:
    """The tables at the end, and the verdict."""
    console.print(_latencies(report), _totals(report))
    for problem in report.problems:
        say(console, problem, "red")
    if not report.checked.problems:
        say(console, f"monitor: {report.checked.steps:,} steps checked against the specification, no divergence")
    if report.problems:
        say(console, f"FAILED: {len(report.problems)} things are not as they must be", "bold red")
    else:
        say(console, f"OK: {report.calls:,} calls, none wrong, none dropped", "bold green")


def _latencies(report: Report) -> Table:
    table = Table(title="Latency of the calls around each upgrade, in ms", title_justify="left")
    for title in ("cutover", "upgrade", "when"):
        table.add_column(title, no_wrap=True)
    for title in ("calls", "p50", "p99", "max"):
        table.add_column(title, justify="right", no_wrap=True)
    for step in report.steps:
        run = step.run
        for names, latency in (
            ((run.act.cutover.value, f"{run.old} -> {run.step.version}", "before"), step.before),
            (("", f"in {run.upgrade_ms:,.0f} ms", "during"), step.during),
            (("", "", "after"), step.after),
        ):
            figures = (f"{value:,.2f}" for value in (latency.p50_ms, latency.p99_ms, latency.max_ms))
            table.add_row(*names, f"{latency.calls:,}", *figures)
        table.add_section()
    return table


def _totals(report: Report) -> Table:
    table = Table(title="All together", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    totals: dict[str, int] = {
        "calls": report.calls,
        "bytes": report.bytes,
        "wrong results": report.wrong,
        "dropped calls": report.dropped,
        "upgrades": report.upgrades,
        "rollbacks": report.rollbacks,
        **{f"calls on {version} alone": calls for version, calls in report.calls_by_version.items()},
    }
    for what, count in totals.items():
        table.add_row(what, f"{count:,}")
    return table
