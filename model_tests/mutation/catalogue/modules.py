"""The reader of modules, and its place before wasmtime."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import (
    CACHE_FILE,
    CHILD,
    CHILD_MAIN,
    CODE,
    COMPILED,
    WASM_CONTENTS,
    WASM_CURSOR,
    WASM_DECLARATIONS,
    WASM_TYPES,
)

MODULES: Final = (
    mutant(
        "vectors-are-admitted",
        "A v128 counts as a type that hotswap has",
        swap(WASM_TYPES, 'VALUE_TYPES: Final = {0x7F: "i32"', 'VALUE_TYPES: Final = {0x7B: "v128", 0x7F: "i32"'),
        tries="wasm off",
    ),
    mutant(
        "locals-are-limited-in-each-group",
        "The limit of a function's locals is held by each group of them, and not by all",
        swap(WASM_CONTENTS, 'sum_ += cursor.u32("a number of locals")', 'sum_ = cursor.u32("a number of locals")'),
        tries="wasm limits: locals | wasm reader",
    ),
    mutant(
        "an-export-may-be-there-twice",
        "Of two exports of one name, the later is taken",
        swap(WASM_DECLARATIONS, "if name in self._exports:", "if name in self._exports and not name:"),
        tries="wasm malformed",
    ),
    mutant(
        "sizes-are-numbers-of-32-bits",
        "A size that is written as those of 64-bit memories is called damaged, and not switched off",
        swap(WASM_CURSOR, "return self._u32(what, 64), self.at", "return self._u32(what, 32), self.at"),
        tries="wasm off: padded | wasm fuzz",
    ),
    mutant(
        "a-count-is-not-held-against-the-bytes",
        "A function may say that it has more groups of locals than it has bytes for",
        diff(
            WASM_CONTENTS,
            """
                     for _ in range(groups):
            +            if cursor.at >= cursor.end:
            +                continue
                         sum_ += cursor.u32("a number of locals")
            """,
        ),
        tries="wasm malformed | wasm limits: huge",
    ),
    mutant(
        "compiled-and-then-admitted",
        "The module is compiled before its sections are read",
        swap(CODE, "import MIN_THREAD_STACK", "import MIN_THREAD_STACK, engine"),
        diff(
            CODE,
            """
        -        admitted = admit(read_wasm(wasm, limits.max_module_kb), limits)
        +        source = read_wasm(wasm, limits.max_module_kb)
        +        wasmtime.Module(engine(metered=True), source.wasm)
        +        admitted = admit(source, limits)
            """,
        ),
        tries="wasm limits: reaches_wasmtime",
    ),
)
CACHE: Final = (
    mutant(
        "an-entry-is-not-authenticated",
        "What lies in the folder of the compile cache is deserialized as it is",
        swap(CACHE_FILE, "if hmac.compare_digest(mac, self._mac(name, contents)):", "if len(mac) == _MAC_BYTES:"),
        tries="cache: deserialized",
    ),
    mutant(
        "an-entry-is-good-under-any-name",
        "An entry of the compile cache does not say whose code it is",
        swap(CACHE_FILE, 'hmac.new(self._key, name.encode() + b"\\0", "sha256")', 'hmac.new(self._key, b"", "sha256")'),
        tries="cache: another_name",
    ),
    mutant(
        "a-folder-may-be-anybodys",
        "The compile cache uses a folder that others can write",
        swap(CACHE_FILE, "if facts.st_mode & forbidden:", "if facts.st_mode & forbidden & 0:"),
        tries="cache: others_can",
    ),
    mutant(
        "entries-of-all-engines-are-one",
        "Code that was compiled with other settings is taken from the compile cache",
        swap(COMPILED, "repr((*_machine(), settings(metered), digest))", "repr((*_machine(), digest))"),
        tries="cache: engine_have",
    ),
    mutant(
        "a-full-disk-fails-the-plugin",
        "A plugin cannot be registered when its compiled code cannot be kept",
        swap(CACHE_FILE, "except (OSError, UnsafeCache):", "except UnsafeCache:"),
        tries="cache: full_disk",
    ),
    mutant(
        "half-an-entry-stays",
        "An entry that could not be written leaves its half in the folder of the compile cache",
        diff(
            CACHE_FILE,
            """
                                 with suppress(OSError):
            -                        os.unlink(half, dir_fd=folder)
            +                        pass
                                 raise
            """,
        ),
        tries="faults of the cache: one_fault and put",
    ),
    mutant(
        "opened-and-then-noted",
        "A Ctrl-C right after the compile cache has opened a file leaves it open",
        swap(
            CACHE_FILE,
            "held.extend(map(partial(os.open, flags=flags | _NO_FOLLOW, mode=0o600, dir_fd=folder), [path]))",
            "held.append(os.open(path, flags | _NO_FOLLOW, 0o600, dir_fd=folder))",
        ),
        tries="faults of the cache: ctrl_c",
    ),
    mutant(
        "a-shared-module-forgets-the-engine",
        "A metered plugin gets the module of an unmetered one with the same bytes",
        swap(COMPILED, "key = metered, admitted.digest", "key = False, admitted.digest"),
        tries="runtime load: each_engine",
    ),
    mutant(
        "who-serves-compiles-too",
        "A module is compiled in the process that serves, though nobody has told it to",
        swap(COMPILED, "else _by_default)", "else InProcess())"),
        tries="compile child: unless_told",
    ),
    mutant(
        "a-child-has-all-the-time",
        "The child that compiles is not limited in its CPU time",
        diff(
            CHILD_MAIN,
            """
            -    _limit(resource.RLIMIT_CPU, head["cpu_s"], grace=1)
            """,
        ),
        tries="compile child: before_it_is_given",
    ),
    mutant(
        "limits-come-after-the-module",
        "The child that compiles says that it is ready before it has limited its memory",
        diff(
            CHILD_MAIN,
            """
            -    _limit(resource.RLIMIT_AS, head["address_space_mb"] << 20)
                 _limit(resource.RLIMIT_NOFILE, FILES_MAX)
                 _limit(resource.RLIMIT_FSIZE, 0)
                 _answer(answers, READY, b"")
                 wasm = _read(source)
            +    _limit(resource.RLIMIT_AS, head["address_space_mb"] << 20)
            """,
        ),
        tries="compile child: before_it_is_given",
    ),
    mutant(
        "who-gives-up-leaves-the-child",
        "Whoever is struck by Ctrl-C while a child compiles goes on, and the child too",
        diff(
            CHILD,
            """
                     while not self._over:
            -            self._hang_up()
                         try:
                             self._news.get(timeout=REAP_S)
            """,
        ),
        tries="compile child: ctrl_c",
    ),
    mutant(
        "a-turn-is-lost-with-its-child",
        "A child that fails does not give its turn to the next",
        diff(
            CHILD,
            """
            -        finally:
            +        else:
                         turns.leave()
            """,
        ),
        tries="compile child: ctrl_c | compile child: turn",
    ),
)
