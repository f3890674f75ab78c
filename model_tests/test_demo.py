"""The demo: it plays the whole script on real files, and it fails if anything at all is not as it must be."""

from __future__ import annotations

import io
import itertools
import signal
import subprocess
import sys
import sysconfig
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import wasmtime
from click.testing import CliRunner, Result
from rich.console import Console

import hotswap._demo
from hotswap import (
    Cutover,
    HotReloadablePlugin,
    HotReloadManager,
    HotReloadStats,
    HotswapError,
    InitFailed,
    ManifestBuilder,
    ProbeFailed,
)
from hotswap._cli_commands import cli
from hotswap._demo import Settings, _load, read_samples, run_demo
from hotswap._demo._display import PlainDisplay
from hotswap._demo._load import Latency, Load, Sample, Tally, under_load
from hotswap._demo._report import Report
from hotswap._demo._run import PLUGINS
from hotswap._demo._script import ANSWERS, SCRIPT, Act, ActRun, Step, StepRun
from hotswap._errors import DeadlineExceeded, OutOfMemory
from hotswap._locked import locked
from hotswap._protocol import HotReloadProtocol
from hotswap._runtime import CENSUS
from hotswap.monitor import Monitor

STDLIB = Path(sysconfig.get_paths()["stdlib"])
SAMPLES = [Sample.of(f"{size} bytes", bytes(range(256)) * (size // 256)) for size in (256, 4096, 65536)]
WRONG = [replace(SAMPLES[0], name="spoilt", answer=b"\0\0\0\0")]
UP, DOWN = Step("2.0.0"), Step("1.0.0", allow_downgrade=True)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """However a run ended: no thread of its load is alive, and no instance."""
    alive = CENSUS.alive
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("hotswap-demo")] == []
    assert CENSUS.alive <= alive


def console(**options: Any) -> Console:
    return Console(file=io.StringIO(), width=120, **options)


def text(shown: Console) -> str:
    return cast(io.StringIO, shown.file).getvalue()


def settings(*script: Act, plugins: Path = PLUGINS) -> Settings:
    return Settings(steady_s=0.02, threads=2, plugins=plugins, script=script)


def act(*steps: Step, cutover: Cutover = Cutover.OVERLAP) -> Act:
    return Act(cutover, "1.0.0", steps)


def play(*steps: Step, samples: Sequence[Sample] = SAMPLES, plugins: Path = PLUGINS) -> Report:
    return run_demo(console(), samples, settings(act(*steps), plugins=plugins))


def demo(*args: str) -> Result:
    return CliRunner().invoke(cli, ["demo", "--steady", "0.02", *args])


def put_plugin(folder: Path, version: str, *, answer: int, crc32: str) -> None:
    """A plugin for the demo's script whose `crc32` is so in WAT, and whose `version()` answers so."""
    wat = f"""(module (memory (export "memory") 2)
      (func (export "hotswap_alloc") (param i32) (result i32) i32.const 1024)
      (func (export "hotswap_free") (param i32 i32))
      (func (export "crc32") (param i32 i32) (result i64) {crc32})
      (func (export "version") (result i32) i32.const {answer}))"""
    (folder / f"crc32-{version}.wasm").write_bytes(bytes(wasmtime.wat2wasm(wat)))
    builder = ManifestBuilder("crc32", version).export("crc32").export("version")
    manifest = builder.limit("timeout_ms", 20_000).build()
    (folder / f"crc32-{version}.toml").write_text(manifest.to_toml())


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A folder with the shipped 1.0.0, to which a test adds a 2.0.0 of its own, with the deadline of `put_plugin`."""
    (tmp_path / "crc32-1.0.0.wasm").write_bytes((PLUGINS / "crc32-1.0.0.wasm").read_bytes())
    toml = (PLUGINS / "crc32-1.0.0.toml").read_text()
    assert toml.count("timeout_ms = 2000\n") == 1
    (tmp_path / "crc32-1.0.0.toml").write_text(toml.replace("timeout_ms = 2000\n", "timeout_ms = 20000\n"))
    return tmp_path


# A run that goes as it must -----------------------------------------------------------------------------------


def test_the_demo_plays_its_whole_script_without_a_wrong_or_a_dropped_call() -> None:
    shown = console()
    report = run_demo(shown, read_samples(STDLIB, files_max=40), replace(Settings(), steady_s=0.05))
    assert report.problems == ()
    assert (report.wrong, report.dropped, report.upgrades, report.rollbacks) == (0, 0, 4, 2)
    assert report.calls_by_version.keys() == {"1.0.0", "2.0.0"}
    assert 0 < sum(report.calls_by_version.values()) < report.calls < report.bytes
    assert [step.run.serves for step in report.steps] == ["2.0.0", "1.0.0", "2.0.0", "2.0.0", "2.0.0", "1.0.0"]
    assert {step.run.act.cutover for step in report.steps} == set(Cutover)
    for step in report.steps:
        for latency in (step.before, step.during, step.after):
            assert latency.calls > 0
            assert 0 < latency.p50_ms <= latency.p99_ms <= latency.max_ms
    hanging = report.steps[4].run
    assert hanging.step.version == "2.2.0"
    assert 2000 <= hanging.upgrade_ms < 10_000  # stopped by its deadline
    assert f"OK: {report.calls:,} calls, none wrong, none dropped" in text(shown)


def test_the_command_prints_a_plain_line_a_step_and_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in many CI systems
    result = demo()
    assert (result.exit_code, result.stderr) == (0, "")
    assert [character for character in result.stdout if ord(character) < 32 and character != "\n"] == []
    lines = result.stdout.splitlines()
    assert "4 threads compute CRC-32 of 400 files" in lines[0]
    assert [line.split(": ")[:2] for line in lines[1:9]] == [
        ["overlap", "1.0.0 serves 4 threads"],
        ["overlap", "1.0.0 -> 2.0.0"],
        ["overlap", "2.0.0 -> 1.0.0"],
        ["exclusive", "1.0.0 serves 4 threads"],
        ["exclusive", "1.0.0 -> 2.0.0"],
        ["exclusive", "2.0.0 -> 2.1.0"],
        ["exclusive", "2.0.0 -> 2.2.0"],
        ["exclusive", "2.0.0 -> 1.0.0"],
    ]
    assert "ProbeFailed after" in lines[6]
    assert "InitFailed after" in lines[7]
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    totals = {row[0]: row[1] for row in table if len(row) == 2}
    assert totals.keys() >= {"calls", "bytes", "calls on 1.0.0 alone", "calls on 2.0.0 alone"}
    wanted = {"wrong results": "0", "dropped calls": "0", "upgrades": "4", "rollbacks": "2"}
    assert {what: totals[what] for what in wanted} == wanted
    assert [row[2] for row in table if len(row) == 7] == ["before", "during", "after"] * 6
    assert lines[-1].startswith("OK: ")


def test_a_terminal_gets_a_live_picture() -> None:
    shown = console(force_terminal=True)
    assert run_demo(shown, SAMPLES, settings(act(UP, Step("2.2.0", error=InitFailed)))).problems == ()
    assert "\x1b[" in text(shown)
    for words in ("PREPARING_UPGRADE", "on 2.0.0", "calls/s", "✓", "▸", "upgraded in", "2.0.0 serves on"):
        assert words in text(shown)
    assert "✗" not in text(shown)


def test_the_live_picture_shows_what_went_wrong() -> None:
    shown = console(force_terminal=True)
    assert run_demo(shown, SAMPLES, settings(act(Step("2.1.0")))).problems != ()
    assert "✗" in text(shown)


@pytest.mark.parametrize(("encoding", "term"), [("ascii", "xterm"), ("utf-8", "dumb")])
def test_a_terminal_that_cannot_draw_gets_plain_lines(encoding: str, term: str) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding, write_through=True)
    shown = Console(file=stream, force_terminal=True, width=80, _environ={"TERM": term})
    assert run_demo(shown, SAMPLES, settings(act(UP))).problems == ()
    assert b"overlap: 1.0.0 -> 2.0.0: upgraded in" in written.getvalue()
    assert b"\x1b[1A" not in written.getvalue()  # nothing is drawn over


# A run that does not ----------------------------------------------------------------------------------------


def test_a_wrong_result_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    report = play(UP, samples=[*SAMPLES, *WRONG])
    assert 0 < report.wrong < report.calls
    assert any(f"wrong: spoilt: expected 00000000, found {SAMPLES[0].answer.hex()}" in line for line in report.problems)
    assert any(f"found {report.wrong} wrong and 0 dropped" in line for line in report.problems)
    monkeypatch.setattr(hotswap._demo, "read_samples", lambda folder: [*SAMPLES, *WRONG])
    monkeypatch.setattr(hotswap._demo, "Settings", partial(Settings, script=[act(UP)]))
    result = demo()
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "OK" not in result.stdout


@pytest.mark.parametrize("reply", ["i64.const 0", "i64.const 4", "i64.const 5"])
def test_a_plugin_that_computes_something_else_fails_the_demo(plugins: Path, reply: str) -> None:
    """No bytes, four wrong ones, five: as many wrong results as calls on that version."""
    put_plugin(plugins, "2.0.0", answer=2, crc32=reply)
    report = play(UP, DOWN, plugins=plugins)
    assert report.calls_by_version["2.0.0"] <= report.wrong < report.calls
    assert report.dropped == 0
    assert report.problems != ()


def test_a_call_that_traps_is_a_dropped_call_and_fails_the_demo(plugins: Path) -> None:
    put_plugin(plugins, "2.0.0", answer=2, crc32="unreachable")
    report = play(UP, plugins=plugins)
    assert report.dropped > 0
    assert any("dropped: " in line and "CallTrapped: " in line for line in report.problems)
    assert any(f"found 0 wrong and {report.dropped} dropped" in line for line in report.problems)
    assert any("expected calls after the upgrade, found none" in line for line in report.problems)


def test_one_dropped_call_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the only thing that is wrong, and the run goes on to its end."""
    turn = itertools.count()
    real = HotReloadablePlugin.call_bytes

    def drop_the_third(self: HotReloadablePlugin, func: str, data: bytes) -> bytes:
        if next(turn) == 2:
            raise OutOfMemory("injected")
        return real(self, func, data)

    monkeypatch.setattr(HotReloadablePlugin, "call_bytes", drop_the_third)
    report = play(UP)
    assert (report.dropped, report.wrong, report.upgrades) == (1, 0, 1)
    assert len(report.problems) == 2
    assert "OutOfMemory: injected" in report.problems[0]
    assert "expected 0 wrong and 0 dropped, found 0 wrong and 1 dropped" in report.problems[1]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step("2.1.0"), "upgrade to 2.1.0: expected success, found ProbeFailed: "),
        (Step("2.0.0", error=ProbeFailed), "upgrade to 2.0.0: expected ProbeFailed, found success"),
        (Step("2.1.0", error=InitFailed), "upgrade to 2.1.0: expected InitFailed, found ProbeFailed"),
        (Step("2.1.0", error=HotswapError), "upgrade to 2.1.0: expected HotswapError, found ProbeFailed"),
        (
            Step("2.1.0", error=ProbeFailed, cause=DeadlineExceeded),
            "upgrade to 2.1.0: expected ProbeFailed because of DeadlineExceeded, found the cause None",
        ),
        (Step("9.9.9"), "upgrade to 9.9.9: expected success, found ManifestError: "),
    ],
)
def test_a_step_that_ends_otherwise_fails_the_demo(monkeypatch: pytest.MonkeyPatch, step: Step, words: str) -> None:
    monkeypatch.setitem(ANSWERS, "9.9.9", 9)
    report = play(step)
    assert any(words in line for line in report.problems)
    assert report.wrong == report.dropped == 0


def test_a_step_that_is_not_as_specified_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no call notices: a success that is counted twice."""
    commit: Any = HotReloadProtocol.commit.__wrapped__  # type: ignore[attr-defined]

    def twice(self: Any, *args: Any) -> None:
        commit(self, *args)
        self.book.value = replace(self.book.value, attempts=self.book.value.attempts + 1)

    monkeypatch.setattr(HotReloadProtocol, "commit", locked(twice))
    (problem,) = play(UP).problems
    assert "left the specification: commit: attempts: expected 1, found 2" in problem


def test_a_monitor_that_has_not_checked_everything_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Monitor, "flush", lambda *_: False)
    assert play(UP).problems == ("the monitor has not checked everything",)


def test_an_upgrade_that_changes_nothing_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HotReloadablePlugin, "upgrade", lambda self, *files, **options: None)
    problems = "\n".join(play(UP).problems)
    assert "expected 2.0.0 to serve, found 1.0.0" in problems
    assert "version() of 2.0.0: expected 2, found 1" in problems
    assert "expected 1 upgrades and the failures {}, found 0 upgrades and the failures {}" in problems


def test_a_version_that_calls_itself_otherwise_fails_the_demo(plugins: Path) -> None:
    put_plugin(plugins, "2.0.0", answer=7, crc32="i64.const 4")
    assert any("version() of 2.0.0: expected 2, found 7" in line for line in play(UP, plugins=plugins).problems)


def test_a_plugin_that_is_closed_meanwhile_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HotReloadablePlugin, "upgrade", lambda self, *files, **options: self.close())
    problems = "\n".join(play(UP).problems)
    for words in ("dropped: ", "the phase ACTIVE after the upgrade, found CLOSED", "found PluginClosed"):
        assert words in problems


def test_an_act_that_cannot_begin_is_told_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HotswapError, match=r"crc32-1\.0\.0"):
        play(UP, plugins=tmp_path)
    nowhere = Settings(plugins=tmp_path)
    monkeypatch.setattr(hotswap._demo, "Settings", lambda **_: nowhere)
    result = demo()
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_a_folder_without_files_is_a_wrong_use(tmp_path: Path) -> None:
    result = demo("--files", str(tmp_path))
    assert result.exit_code == 2
    assert "expected files of at most 1 MiB, found none" in result.stderr


# Ctrl-C -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["act_begun", "step_begun", "step_ended"])
def test_an_interrupt_ends_the_threads_and_closes_the_plugins(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    def strike(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PlainDisplay, moment, strike)
    with pytest.raises(KeyboardInterrupt):
        play(UP)


def test_ctrl_c_ends_the_command_with_the_status_130() -> None:
    code = "from hotswap._cli import main; main()"
    command = [sys.executable, "-X", "dev", "-c", code, "demo", "--steady", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("serves 4 threads" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=25)  # of the 30 s that it would stay in this step
    assert complaints == "interrupted: the threads have ended and the plugins are closed\n"
    assert process.returncode == 130


# The load -----------------------------------------------------------------------------------------------------


def test_samples_are_the_first_files_by_path_that_are_not_too_large(tmp_path: Path) -> None:
    for name, size in (("b", 3), ("a", 2), ("large", 11), ("empty", 0), ("sub/c", 10), ("__pycache__/d", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "e").write_bytes(b"x")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    samples = read_samples(tmp_path, file_bytes_max=10)
    assert [(sample.name, len(sample.data)) for sample in samples] == [("a", 2), ("b", 3), ("sub/c", 10)]
    assert samples[0].answer == zlib.crc32(b"xx").to_bytes(4, "little")
    assert read_samples(tmp_path, file_bytes_max=10, files_max=2) == samples[:2]


def test_samples_do_not_depend_on_the_order_in_which_a_folder_lists_its_files(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(40)]
    for name in reversed(names):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"x")
        (tmp_path / f"{name}.txt").write_bytes(b"x")
    expected = [*(f"{name}.txt" for name in names), *(f"{name}/{name}" for name in names)]
    assert [sample.name for sample in read_samples(tmp_path)] == expected


def test_the_samples_of_the_demo_are_real_files_and_always_the_same() -> None:
    samples = read_samples(STDLIB)
    assert len(samples) == 400
    assert samples == read_samples(STDLIB)
    assert all((STDLIB / sample.name).is_file() for sample in samples)


class Slow:
    """A plugin whose calls end when the test says so."""

    def __init__(self) -> None:
        self.may_end = threading.Semaphore(0)

    def call_bytes(self, func: str, data: bytes) -> bytes:
        assert self.may_end.acquire(timeout=20)
        return zlib.crc32(data).to_bytes(4, "little")


def test_a_steady_phase_lasts_until_a_call_has_begun_and_ended_in_it() -> None:
    plugin = Slow()
    with under_load(cast(HotReloadablePlugin, plugin), SAMPLES, 2) as load:
        steady = threading.Thread(target=load.steady, args=(0.0,))
        steady.start()
        plugin.may_end.release(2)  # both calls may have begun before the phase
        steady.join(0.2)
        assert steady.is_alive()
        plugin.may_end.release()
        steady.join(20)
        assert not steady.is_alive()
        plugin.may_end.release(1000)
    assert Tally.sum(load.tallies).wrong == 0


def test_a_steady_phase_naps_so_that_ctrl_c_is_seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython sees a signal that lands just before a sleep only after it, and then the command ends that much later."""
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        clock[0] += seconds

    clock = [0.0]
    plugin = Slow()
    plugin.may_end.release(1000)
    with under_load(cast(HotReloadablePlugin, plugin), SAMPLES, 2) as load:
        monkeypatch.setattr(_load, "now", lambda: clock[0])
        monkeypatch.setattr("hotswap._demo._load.time.sleep", nap)
        load.steady(30.0)
    assert max(naps) <= 0.5
    assert sum(naps) == pytest.approx(30.0)


def test_threads_that_could_not_all_start_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    def start_one(self: Load) -> None:
        self._threads[0].start()
        raise KeyboardInterrupt

    plugin = Slow()
    plugin.may_end.release(1000)
    monkeypatch.setattr(Load, "start", start_one)
    with pytest.raises(KeyboardInterrupt), under_load(cast(HotReloadablePlugin, plugin), SAMPLES, 2):
        raise AssertionError("the block must not run")


# The measurements -------------------------------------------------------------------------------------------


def test_latencies_are_percentiles_by_nearest_rank() -> None:
    calls = [(10.0, 10.0 + ms / 1000) for ms in range(1, 201)]
    latency = Latency.of(calls)
    assert latency.calls == 200
    assert (latency.p50_ms, latency.p99_ms, latency.max_ms) == pytest.approx((100, 198, 200))
    assert Latency.of([(1.0, 1.5)]) == Latency(1, 500, 500, 500)
    assert Latency.of([]) == Latency(0, 0, 0, 0)


def report_of(*calls: tuple[float, float], steps: int = 1) -> Report:
    """A report of one act; its upgrade lasts from 20 to 30, with steady calls from 10 on and until 40."""
    this = act(UP)
    run = StepRun(this, UP, "1.0.0", "2.0.0", 0, begun=10, upgrade_begun=20, upgrade_ended=30, ended=40, problems=())
    stats = HotReloadStats(successful_upgrades=steps)
    return Report.of([ActRun((run,) * steps, Tally(calls=list(calls)), stats)])


def test_a_call_belongs_to_the_upgrade_that_it_overlaps() -> None:
    """Seconds are chosen so that each window can be told from its longest call."""
    before, during, after = [(10, 11), (15, 20)], [(19, 21), (22, 25), (29, 36), (18, 31)], [(30, 32), (37, 40)]
    outside = [(5, 9), (9, 12), (39, 41), (50, 51)]
    (step,) = report_of(*before, *during, *after, *outside).steps
    assert (step.before.calls, step.before.max_ms) == (2, 5000)
    assert (step.during.calls, step.during.max_ms) == (4, 13000)
    assert (step.after.calls, step.after.max_ms) == (2, 3000)


@pytest.mark.parametrize(("missing", "when"), [(0, "before"), (1, "during"), (2, "after")])
def test_a_window_without_calls_fails_the_demo(missing: int, when: str) -> None:
    calls = [(11.0, 12.0), (21.0, 22.0), (31.0, 32.0)]
    assert report_of(*calls).problems == ()
    del calls[missing]
    (problem,) = report_of(*calls).problems
    assert problem == f"overlap, 1.0.0 to 2.0.0: expected calls {when} the upgrade, found none"


def test_calls_are_counted_by_the_version_that_alone_can_have_answered() -> None:
    report = report_of((11, 12), (12, 13), (13, 14), (19, 21), (31, 32))
    assert report.calls_by_version == {"1.0.0": 3, "2.0.0": 1}
    assert report.calls == 5


def test_the_script_tries_what_it_promises() -> None:
    promised = {
        Cutover.OVERLAP: [("1.0.0", UP, "2.0.0"), ("2.0.0", DOWN, "1.0.0")],
        Cutover.EXCLUSIVE: [
            ("1.0.0", UP, "2.0.0"),
            ("2.0.0", Step("2.1.0", error=ProbeFailed), "2.0.0"),
            ("2.0.0", Step("2.2.0", error=InitFailed, cause=DeadlineExceeded), "2.0.0"),
            ("2.0.0", DOWN, "1.0.0"),
        ],
    }
    assert {this.cutover: list(this.course()) for this in SCRIPT} == promised


@pytest.mark.parametrize("cutover", Cutover)
def test_an_act_is_played_under_its_cutover(monkeypatch: pytest.MonkeyPatch, cutover: Cutover) -> None:
    options: list[dict[str, Any]] = []
    real = HotReloadManager.register

    def register(self: HotReloadManager, name: str, *files: Path, **given: Any) -> HotReloadablePlugin:
        options.append(given)
        return real(self, name, *files, **given)

    monkeypatch.setattr(HotReloadManager, "register", register)
    report = run_demo(console(), SAMPLES, settings(act(UP, cutover=cutover)))
    assert report.problems == ()
    assert options == [{"cutover": cutover}]
