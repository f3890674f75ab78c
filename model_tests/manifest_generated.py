"""Manifests made by chance, as text: whole ones, ones with a mistake, and ones that were damaged.

The same number gives the same text. It comes with what it says, so the reader is
compared with what was meant, and not with another parser.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from damage import damaged
from toml_written import Raw, Tables, Writer

TEXTS: Final = (
    "",
    "Rates",
    "größe\u2028",
    "a.b.c",
    'with "quotes"',
    "it's",
    "two\nlines",
    "\\",
    "# no comment",
    "\0",
    "🦀",
)
NAMES: Final = ("f", "rate", "pkg:tax/rates#of", "größe", "a b", "1.5", "'", '"', "x" * 200, "\n", "[f]")
WHEN: Final = [f"{when}_{what}" for when in ("before", "after") for what in ("insert", "update", "delete")]
LIMITS: Final = {
    "memory_limit_mb": (1, 1024),
    "fuel_limit": (0, 2**63 - 1),
    "timeout_ms": (1, 60_000),
    "max_instances": (1, 1024),
    "max_module_kb": (1, 65_536),
    "max_functions": (1, 200_000),
}
LETTERS: Final = "abcXYZ019_-"
VERSIONS: Final = ("1.0.0", "0.0.0", "1.10.2-rc.1+7", "1.0.0--", "10.20.30-0a.x-y+001", f"1.0.{9**500}")
BAD_VERSIONS: Final = (
    "",
    "1",
    "1.0",
    "01.0.0",
    "1.0.0-",
    "1.0.0-01",
    "v1.0.0",
    "1.0.0\n",
    "1\u0663.0.0",
    f"1.0.{'9' * 5_000}",
)
SIGNATURES: Final = ("() -> ()", "(i32) -> i32", " ( i64,f32 )->( f64 , i32 ) ", "()->i32", "(f64, f64) ->\n() ")
BLANKS: Final = " " * 20_000
BAD_SIGNATURES: Final = (
    *("", "i32", "(i32)", "() -> v128", "(i32 i32) -> ()", "() -> (i32", "(,) -> ()", "() -> i32 i32"),
    *(f"() -> {BLANKS}(", f"({BLANKS}", f"(){BLANKS}", f"() -> i32{BLANKS})"),
)


HUGE: Final = Raw("0x" + "f" * 5_000)
ODD: Final[tuple[object, ...]] = (
    *(True, 1, 1.5, "text", [], [1], [""], ["a", "a"], [["a"]], {}, {"a": 1}, HUGE, Raw("nan"), Raw("-inf")),
    *(Raw("1979-05-27"), Raw("07:32:00"), Raw("1979-05-27T07:32:00Z"), Raw("0b1"), Raw("1e400"), Raw(f"[{HUGE}]")),
)


PIECES: Final = (
    *(
        b'"',
        b"'",
        b'"""',
        b"'''",
        b"[",
        b"]",
        b"[[",
        b"{",
        b"}",
        b"=",
        b".",
        b",",
        b"#",
        b"\\",
        b"\n",
        b"\r",
        b"\0",
        b" ",
    ),
    *(b"\\u0000", b"\\UFFFFFFFF", b"\\uD800", b"0x", b"1e9", b"nan", b"true", b"1979-13-01", b"99", b"-", b"_", b"a"),
    *(
        b"\n[plugin]\n",
        b"\n[[plugin]]\n",
        b"\n[hooks]\n",
        b'\nname = "p"\n',
        b"exports.functions = []\n",
        b"\xff",
        b"a.a.a",
    ),
    *("é".encode(), b"[" * 500, b"a." * 70, b"9" * 5_000, b"0x" + b"f" * 5_000),
)


class Example(NamedTuple):
    text: str
    tables: Tables | None
    """What it says, if it is a manifest."""
    damaged: bool = False
    """Nobody knows whether it still is one."""


def example(number: int) -> Example:
    chance = random.Random(number)
    made = _Maker(chance)
    tables = made.tables()
    kind = chance.random()
    if kind < 0.35:
        return Example(Writer(chance).text(tables), tables)
    if kind < 0.7:
        made.spoil(tables)
        return Example(made.before + Writer(chance).text(tables) + made.after, None)
    if chance.random() < 0.3:
        made.spoil(tables)
    text = damaged(Writer(chance).text(tables).encode(), chance, PIECES)
    return Example(text.decode(errors=chance.choice(("replace", "surrogateescape"))), None, damaged=True)


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.before = self.after = ""

    def some(self, items: Sequence[str]) -> list[str]:
        return self.chance.sample(items, self.chance.randint(0, min(3, len(items))))

    def maybe(self, makers: dict[str, Callable[[], Any]], often: float = 0.4) -> dict[str, Any]:
        """Some of these keys."""
        return {key: make() for key, make in makers.items() if self.chance.random() < often}

    def tables(self) -> Tables:
        pick, text = self.chance.choice, lambda: self.chance.choice(TEXTS)
        functions = self.some(NAMES)
        return {
            "plugin": {
                "name": "".join(self.chance.choices(LETTERS, k=pick((1, 5, 128)))),
                "version": pick(VERSIONS),
                **self.maybe({"description": text, "author": text, "license": text}),
                **self.maybe({"module_sha256": lambda: f"{self.chance.getrandbits(256):064x}"}, 0.2),
            },
            **self.maybe(
                {
                    "capabilities": lambda: self.maybe(
                        {
                            f"can_{what}": lambda: self.some(NAMES)
                            for what in ("read_table", "write_table", "call_plugin")
                        }
                        | {f"can_{what}_search": lambda: pick((True, False)) for what in ("vector", "index")}
                    ),
                    "resources": lambda: self.maybe({key: partial(self.within, *LIMITS[key]) for key in LIMITS}),
                    "config_schema": lambda: {"fields": [self.field(name) for name in self.some(("a", "B-2", "_"))]},
                }
            ),
            "exports": {
                "functions": functions,
                "signatures": {name: pick(SIGNATURES) for name in self.some(functions)},
            },
            "hooks": self.maybe(dict.fromkeys(WHEN, lambda: self.some(functions)), 0.2),
        }

    def within(self, least: int, most: int) -> int:
        return self.chance.choice((least, most, self.chance.randint(least, most)))

    def scalar(self, kind: str) -> Any:
        match kind:
            case "string":
                return self.chance.choice(TEXTS)
            case "integer":
                return self.within(-(2**63), 2**63 - 1)
            case "float":
                return self.chance.choice((0.5, -1e300, 2.0, 1e-9))
            case "boolean":
                return self.chance.random() < 0.5
        return [self.scalar(self.chance.choice(("string", "integer", "float", "boolean"))) for _ in range(3)]

    def field(self, name: str) -> dict[str, Any]:
        kind = self.chance.choice(("string", "integer", "float", "boolean", "list"))
        more = {"default": lambda: self.scalar(kind), "required": lambda: True, "description": lambda: "why"}
        return {"name": name, "type": kind, **self.maybe(more)}

    def spoil(self, tables: Tables) -> None:
        """Make one mistake that no other setting could make right."""
        mistakes = [getattr(self, name) for name in dir(self) if name.startswith("wrong_")]
        self.chance.choice(mistakes)(tables)

    def wrong_section(self, tables: Tables) -> None:
        tables[self.chance.choice(("resurces", "", "a.b", "Plugin"))] = {"a": 1}

    def wrong_key(self, tables: Tables) -> None:
        tables[self.chance.choice([*tables])][self.chance.choice(("nmae", "", "a.b", "functions "))] = "text"

    def wrong_by_absence(self, tables: Tables) -> None:
        del tables["plugin"][self.chance.choice(("name", "version"))]

    def wrong_kind(self, tables: Tables) -> None:
        """A value that no key of that section could have."""
        section, key, fits = self.chance.choice(
            (
                *(("plugin", key, str) for key in ("name", "version", "description", "module_sha256")),
                *(("resources", key, int) for key in LIMITS),
                *(("capabilities", key, bool) for key in ("can_vector_search", "can_index_search")),
                *(("hooks", key, None) for key in WHEN),
                *(("exports", "signatures", None), ("config_schema", "fields", None)),
            )
        )
        value = self.chance.choice([one for one in ODD if type(one) is not fits and one not in ([], {})])
        tables.setdefault(section, {})[key] = value if fits is not int or value != "0b1" else HUGE

    def wrong_limit(self, tables: Tables) -> None:
        key = self.chance.choice([*LIMITS])
        least, most = LIMITS[key]
        wrong = self.chance.choice((least - 1, most + 1, -(2**63), 2**64, 10**4_000, HUGE))
        tables.setdefault("resources", {})[key] = wrong

    def wrong_name(self, tables: Tables) -> None:
        tables["plugin"]["name"] = self.chance.choice(("", "a b", "é", "a\n", "x" * 129, "a.b", BLANKS))

    def wrong_version(self, tables: Tables) -> None:
        tables["plugin"]["version"] = self.chance.choice(BAD_VERSIONS)

    def wrong_digest(self, tables: Tables) -> None:
        tables["plugin"]["module_sha256"] = self.chance.choice(("", "0" * 63, "A" * 64, "0" * 64 + "\n", BLANKS))

    def wrong_signature(self, tables: Tables) -> None:
        tables["exports"] = {"functions": ["f"], "signatures": {"f": self.chance.choice(BAD_SIGNATURES)}}

    def wrong_function(self, tables: Tables) -> None:
        """That nobody exports, twice the same, or without a name."""
        match self.chance.randint(0, 3):
            case 0:
                tables["exports"]["signatures"] = {"nobody": "() -> ()"}
            case 1:
                tables["hooks"][self.chance.choice(WHEN)] = ["nobody"]
            case 2:
                tables["exports"]["functions"] = ["f", "f"]
            case _:
                tables["exports"]["functions"] = [""]

    def wrong_field(self, tables: Tables) -> None:
        field: dict[str, Any] = {"name": "a", "type": "integer"}
        whole = dict(field)
        match self.chance.randint(0, 4):
            case 0:
                del field[self.chance.choice(("name", "type"))]
            case 1:
                field["default"] = self.chance.choice((True, "1", 1.5, 2**63, HUGE, [1], Raw("nan")))
            case 2:
                field["type"] = self.chance.choice(("int", "", 1, HUGE, []))
            case 3:
                field["nmae"] = 1
            case _:
                whole["name"], field["name"] = "b", "b"
        tables["config_schema"] = {"fields": [whole, field] if whole["name"] == "b" else [field]}

    def wrong_toml(self, tables: Tables) -> None:
        """No TOML at all, or keys that are too long for one."""
        long_key = ".".join(self.chance.choice(("a", '"."', "'é'")) for _ in range(self.chance.choice((65, 3_000))))
        self.before = self.chance.choice(
            (f"{long_key} = 1\n", f"a = {{{long_key} = 1}}\n", f"a = {'[' * 3_000}\n", "= 1\n")
        )
        self.after = self.chance.choice(("", '"', "\n[plugin]\n", '\n[a]\nb = """', "\n[", "\n" + "[a]\n" * 50))
