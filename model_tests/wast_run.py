"""Runs scripts of the WebAssembly specification's tests as a plugin goes: the product reads, compiles and calls.

What our product does not take on purpose is counted as outside, with the reason: imports, proposals that are switched
off, values that are no numbers, sizes beyond any manifest's. Everything else has to be as the script says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import wasmtime

from hotswap import BadArgument, CallTrapped, InitFailed, ModuleRejected, UnsupportedModule
from hotswap._manifest import LARGEST
from hotswap._runtime import WasmRuntime
from hotswap._runtime._instance import WasmInstance
from runtime_modules import resources
from wasm_fuzz import OLD_THINGS_IN_NEW_FORMS, check, compiles, everything_on, is_valid
from wast import WIDTHS, Form, bits, bits_of, is_as, is_signalling_f32, read, value_of

MANIFEST: Final = resources(
    memory_limit_mb=LARGEST.memory_limit_mb,
    max_module_kb=LARGEST.max_module_kb,
    max_functions=LARGEST.max_functions,
)
COMMANDS: Final = ("module", "register", "invoke", "get", "assert_", "thread", "wait")


SIGNALLING: Final = "a signalling NaN of f32, which no float of Python can be"
SWITCHED_OFF: Final = "a proposal that is switched off"
VALUES: Final = "other values than numbers"
WHICH_GLOBAL: Final = "constant expression required: global.get of"
"""Which globals a constant may name is wasmtime's part, and no module made by chance gets that far."""
OTHERS: Final = {"proposals", "legacy"}
"""Folders of the suite for other versions of the language, some of which contradict this one."""


class Outside(Exception):
    """The product does not take this, on purpose; the text is why."""


class Skipped(Outside):
    """A call that would have changed its instance, maybe: what comes then cannot be compared."""


class Wrong(Exception):
    """It is not as the script says."""


class Action(NamedTuple):
    instance: WasmInstance
    name: str
    args: tuple[int | float, ...]

    def call(self) -> object:
        try:
            return self.instance.call(self.name, self.args)
        except BadArgument as error:
            raise Wrong(f"{self.name}{self.args}: expected a call, found {error}") from error


class Script:
    """One script; `became` counts what came of its commands, `wrong` says what is not as it should be."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._slots: dict[str, WasmInstance | Outside] = {}
        """By name; the last module is under the empty one."""
        self._registered: list[WasmInstance] = []
        self._made: list[WasmInstance] = []
        self.became: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        forms = list(read(self._text))
        if forms and not forms[0].head.startswith(COMMANDS):  # a module without its parentheses
            forms = [Form(0, len(self._text), ["module"])]
        try:
            for form in forms:
                self._command(form)
        finally:
            for instance in self._made:
                instance.close()

    def _command(self, form: Form) -> None:
        commands: dict[str, Callable[[Form], str]] = {
            "module": self._module,
            "register": self._register,
            "invoke": self._invoke,
            "assert_return": self._return,
            "assert_trap": self._trap,
            "assert_exhaustion": self._trap,
            "assert_invalid": self._refused,
            "assert_malformed": self._refused,
        }
        try:
            if form.head not in commands:
                raise Outside(form.head)
            self.became[commands[form.head](form)] += 1
        except Outside as reason:
            self.became[f"outside: {reason}"] += 1
            self._leave_behind(form, reason)
        except (Wrong, AssertionError) as error:
            line = self._text.count("\n", 0, form.start) + 1
            self.wrong.append(f"line {line}: {form.head}: {error}")

    def _leave_behind(self, form: Form, reason: Outside) -> None:
        """Instances that would have been changed by what is outside are outside from now on."""
        if isinstance(reason, Skipped):
            called = form if form.head == "invoke" else form.forms()[0]
            left = [self._slots[called.name]]
        elif form.head == "module" or (form.forms() and form.forms()[0].head == "module"):
            left = [*self._registered]  # which it may import from
        else:
            return
        for name, slot in self._slots.items():
            if slot in left and isinstance(slot, WasmInstance):
                self._slots[name] = Outside("changed by what is outside")

    # -- modules ------------------------------------------------------------------------------------------------

    def _bytes(self, form: Form) -> bytes:
        """The binary of a module. Raises `WasmtimeError` for a text that is none, `Outside`."""
        words = [word for word in form.items[1:3] if isinstance(word, str) and not word.startswith('"')]
        if {"definition", "instance"} & {*words}:
            raise Outside("definitions apart from instances")
        if "binary" in words:
            return b"".join(form.texts())
        text = b"".join(form.texts()) if "quote" in words else self._text[form.start : form.end].encode()
        return bytes(wasmtime.wat2wasm(text))

    def _module(self, form: Form) -> str:
        try:
            self._slots[""] = self._slots[form.name] = self._instance(form)
        except Outside as reason:
            self._slots[""] = self._slots[form.name] = reason
            raise
        return "loaded"

    def _register(self, form: Form) -> str:
        slot = self._slots.get(form.word(2))
        if isinstance(slot, WasmInstance):
            self._registered.append(slot)
        return "registered"

    def _instance(self, form: Form) -> WasmInstance:
        try:
            wasm = self._bytes(form)
        except wasmtime.WasmtimeError as error:
            raise Outside("a text that wasmtime does not assemble") from error
        readers_agree(wasm)
        try:
            self._made.append(WasmRuntime().load(wasm, MANIFEST).instantiate(probe=False))
        except UnsupportedModule as error:
            if compiles(wasm) and not any(form in str(error) for form in OLD_THINGS_IN_NEW_FORMS):
                raise Wrong(f"called switched off, and our engine takes it: {error}") from error
            raise Outside(SWITCHED_OFF) from error
        except InitFailed as error:
            raise Wrong(f"expected a module that starts, found {error}") from error
        except ModuleRejected as error:
            raise self._why(wasm, str(error)) from error
        return self._made[-1]

    def _why(self, wasm: bytes, said: str) -> Exception:
        if "imports what it cannot have" in said:
            return Outside("imports")
        if "within its manifest's resources" in said:
            return Outside("more than any manifest allows")
        if not compiles(wasm) and is_valid(wasm, everything_on()):
            return Outside(SWITCHED_OFF)
        return Wrong(f"expected a valid module, found {said}")

    def _refused(self, form: Form) -> str:
        (module,) = form.forms()
        try:
            wasm = self._bytes(module)
        except (wasmtime.WasmtimeError, UnicodeDecodeError):
            return f"{form.head}: wasmtime does not assemble it"
        readers_agree(wasm)
        try:
            WasmRuntime().load(wasm, MANIFEST)
        except ModuleRejected as error:
            return f"{form.head}: {type(error).__name__}"
        raise Wrong(f"expected a module that is refused ({form.texts()}), and it is admitted: {wasm.hex(' ')[:300]}")

    # -- calls --------------------------------------------------------------------------------------------------

    def _action(self, form: Form) -> Action:
        if form.head != "invoke":
            raise Outside("what is no call")
        slot = self._slots.get(form.name)
        if isinstance(slot, Outside):
            raise Outside(f"calls of such modules ({slot})")
        if slot is None:
            raise Wrong(f"expected a module {form.name!r}")
        name = form.texts()[0].decode()
        export = slot._table.get(name)
        if export is None:
            raise Wrong(f"expected a function {name!r}")
        if export.converters is None:
            raise Skipped(VALUES)
        return Action(slot, name, tuple(value_of(*number(each)) for each in form.forms()))

    def _invoke(self, form: Form) -> str:
        try:
            self._action(form).call()
        except CallTrapped as error:
            raise Wrong(f"expected a return, found {error}") from error
        except Outside as error:
            raise Skipped(*error.args) from error
        return "returned"

    def _return(self, form: Form) -> str:
        action, *patterns = form.forms()
        ready = self._action(action)
        expected = [(kind_of(pattern), pattern.word(1)) for pattern in patterns]
        try:
            found = ready.call()
        except CallTrapped as error:
            raise Wrong(f"{ready.name}{ready.args}: expected a return, found {error}") from error
        values = () if found is None else found if isinstance(found, tuple) else (found,)
        if any(is_signalling_f32(*each) for each in expected):
            raise Outside(SIGNALLING)
        right = len(values) == len(expected) and all(
            is_as(kind, text, bits_of(kind, value)) for (kind, text), value in zip(expected, values, strict=True)
        )
        if not right:
            raise Wrong(f"{ready.name}{ready.args}: expected {expected}, found {found}")
        return "returned as expected"

    def _trap(self, form: Form) -> str:
        (what,) = form.forms()
        try:
            if what.head == "module":
                self._expect_failed_start(what)
                return "did not start, as expected"
            action = self._action(what)
            found = action.call()
        except CallTrapped as error:
            if type(error) is not CallTrapped or not isinstance(error.__cause__, wasmtime.Trap):
                raise Wrong(f"expected a trap, found {error!r}") from error
            return "trapped as expected"
        raise Wrong(f"{action.name}{action.args}: expected a trap, found {found}")

    def _expect_failed_start(self, form: Form) -> None:
        try:
            self._instance(form)
        except Wrong as error:
            if isinstance(error.__cause__, InitFailed):
                return
            raise
        raise Wrong("expected a module that does not start, and it does")


def readers_agree(wasm: bytes) -> None:
    """What holds for every module (`wasm_fuzz.py`). Raises AssertionError."""
    try:
        check(wasm)
    except AssertionError as error:
        if WHICH_GLOBAL not in str(error):
            raise


def number(form: Form) -> tuple[str, int]:
    """Type and bits of an argument. Raises `Outside`."""
    kind, text = kind_of(form), form.word(1)
    if is_signalling_f32(kind, text):
        raise Outside(SIGNALLING)
    return kind, bits(kind, text)


def kind_of(form: Form) -> str:
    kind, _, const = form.head.partition(".")
    if const != "const" or kind not in WIDTHS:
        raise Skipped(VALUES)
    return kind


def ran(text: str) -> Script:
    script = Script(text)
    script.run()
    return script


def suite(folder: str, current: str) -> str:
    """What came of each script below a folder; the one at work is in the file `current`."""
    results = {}
    for path in sorted(Path(folder).rglob("*.wast")):
        name = str(path.relative_to(folder))
        if OTHERS & {*path.relative_to(folder).parts}:
            continue
        Path(current).write_text(name)
        script = ran(path.read_bytes().decode())
        results[name] = {"became": script.became, "wrong": script.wrong}
    return json.dumps(results)
