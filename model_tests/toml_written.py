"""TOML for tables, in one of the many ways that say the same: by chance, and the same by the same chance."""

from __future__ import annotations

import json
import random
from typing import Any

Tables = dict[str, dict[str, Any]]


class Raw(str):
    """TOML as it is to be written."""

    __slots__ = ()


class Writer:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def text(self, tables: Tables) -> str:
        top, rest = [], []
        for section, table in tables.items():
            way = self.chance.random()
            if way < 0.1:
                top.append(f"{self.key(section)} = {self.value(table)}")
            elif way < 0.25 and table:
                top += [f"{self.key(section)}{self.dot()}{self.key(key)} = {self.value(table[key])}" for key in table]
            else:
                rest.append(self.section(section, table))
        self.chance.shuffle(rest)
        return self.chance.choice(("\n", "\n", "\r\n", " # a.b 'c\n", "\n\n")).join([*top, *rest, ""])

    def section(self, name: str, table: dict[str, Any]) -> str:
        fields: Any = table.get("fields")
        tables = fields and isinstance(fields, list) and all(isinstance(field, dict) for field in fields)
        if tables and len(table) == 1 and self.chance.random() < 0.7:
            return "\n".join(self.section(f"[{name}.fields]", field) for field in fields)
        head = name if name.startswith("[") else self.key(name)
        return "\n".join([f"[{head}]", *(f"{self.key(key)} = {self.value(table[key])}" for key in table)])

    def dot(self) -> str:
        return self.chance.choice((".", ".", " . ", "\t."))

    def key(self, name: str) -> str:
        if (
            name
            and name.isascii()
            and name.replace("_", "a").replace("-", "a").isalnum()
            and self.chance.random() < 0.9
        ):
            return name
        return self.line(name)

    def line(self, text: str) -> str:
        """A text on one line."""
        if "'" not in text and text.isprintable() and self.chance.random() < 0.3:
            return f"'{text}'"
        return json.dumps(text, ensure_ascii=self.chance.random() < 0.5 and max(text, default="") < "\U00010000")

    def value(self, value: Any) -> str:
        match value:
            case Raw():
                return str(value)
            case bool():
                return "true" if value else "false"
            case int():
                return self.integer(value)
            case float():
                return repr(value)
            case str():
                return self.line(value)
            case list():
                between = self.chance.choice((", ", ",", ",\n\t", ", # '\n"))
                return (
                    f"[{between.join(map(self.value, value))}{between if value and self.chance.random() < 0.3 else ''}]"
                )
        return "{" + ", ".join(f"{self.key(key)} = {self.value(each)}" for key, each in value.items()) + "}"

    def integer(self, value: int) -> str:
        way = self.chance.random()
        if value >= 0 and way < 0.2:
            return self.chance.choice(
                (f"0x{value:X}", f"0o{value:o}", f"0b{value:b}", f"+{value:_}" if value < 1e99 else f"0x{value:x}")
            )
        return str(value)
