"""The tables of a manifest: how TOML becomes checked, frozen structs, and which tables there are.

One rule holds for every way to make a `Table` (TOML, the builder, plain Python, `msgspec.structs.replace`):
its `__post_init__` converts each field to its declared type, or raises a `ManifestError` that names the
place. So a struct that exists is valid. A list becomes a tuple, and a whole number a float where a float is
declared; nothing else is coerced: a bool is no int, a text is no number. Rules that join two keys stand
beside the keys.

The errors are `ManifestError` where they arise: msgspec would rewrap a `ValueError` of `__post_init__`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

import msgspec
from msgspec.structs import fields, force_setattr
from semver import Version

from hotswap._errors import ManifestError
from hotswap._manifest_text import shown
from hotswap._signature import Signature

_INT_MAX = 2**63 - 1
_MEMORY_MB_MAX, _MODULE_KB_MAX, _FUNCTIONS_MAX = 1024, 65_536, 200_000
_FLOAT_MAX = 1.7976931348623157e308

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
Names = tuple[Annotated[str, msgspec.Meta(min_length=1)], ...]  # each given once
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]  # as sha256sum prints it
Integer = Annotated[int, msgspec.Meta(ge=-_INT_MAX - 1, le=_INT_MAX)]  # what every TOML reader can hold
Finite = Annotated[float, msgspec.Meta(ge=-_FLOAT_MAX, le=_FLOAT_MAX)]  # a NaN equals no copy of itself
Scalar = str | bool | Integer | Finite

ConfigType = Literal["string", "integer", "float", "boolean", "list"]
_CONFIG_TYPES: Mapping[ConfigType, Any] = {
    "string": str,
    "integer": Integer,
    "float": Finite,
    "boolean": bool,
    "list": tuple[Scalar, ...],
}


fields_of = cache(fields)
"""msgspec works the fields out anew each time, which takes longer than all the rest of a manifest."""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of a manifest; a subclass declares its keys as fields."""

    place: ClassVar[str]
    """Where a key stands, for messages: a format with one slot for the key."""

    def __post_init__(self) -> None:
        for field in fields_of(type(self)):
            value = self.checked(field.name, getattr(self, field.name), field.type)
            if field.type == Names:
                self.require_distinct(field.name, value)
            force_setattr(self, field.name, value)

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Self:
        """Build from parsed TOML. Raises `ManifestError` for an unknown, a missing or a wrong key."""
        for key in table:
            cls.require_known(key)
        for field in fields_of(cls):
            if field.required and field.name not in table:
                raise cls.problem(field.name, "expected a value, found none; write one, it has no default")
        if table:
            return cls(**table)
        untouched: Self = _untouched(cls)
        return untouched

    @classmethod
    def require_known(cls, key: str) -> None:
        """Raise a `ManifestError` that lists the known keys, unless `key` is one."""
        known = cls.__struct_fields__
        if key not in known:
            raise cls.problem(key, f"unknown key; expected one of {', '.join(known)}")

    @classmethod
    def problem(cls, key: str, what: str) -> ManifestError:
        """The error that says `what` about `key`; the caller raises it."""
        return ManifestError(f"{cls.place.format(key)}: {what}")

    def require_distinct(self, key: str, names: Iterable[str]) -> None:
        """Raise a `ManifestError` that lists the repeated names, if there are any."""
        repeated = [repr(name) for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise self.problem(key, f"expected each name once, found several of {', '.join(repeated)}")

    def checked(self, key: str, value: object, kind: Any) -> Any:
        """Return `value` as a `kind`, or raise a `ManifestError` about `key`."""
        try:
            return msgspec.convert(_with_structs(value, kind), kind)
        except msgspec.ValidationError as error:
            words = str(error).replace("`", "").replace("Expected", "expected").replace(", got", ", found")
            words = words.replace("object", "table")  # msgspec speaks JSON, the reader writes TOML
            raise self.problem(key, f"{words}; the value is {shown(value)}") from error


@cache
def _untouched(kind: type[Table]) -> Any:
    """A table that has nothing but defaults: one for all manifests."""
    return kind()


def _with_structs(value: Any, kind: Any) -> Any:
    """Make each table inside `value` a struct by our own hand, so that its errors name its own keys."""
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, Table):
        return kind.from_table(value)
    if isinstance(value, list) and get_origin(kind) is tuple:
        return [_with_structs(item, get_args(kind)[0]) for item in value]
    return value


class FrozenTexts(Mapping[str, str]):
    """An immutable, hashable mapping of texts; unlike `MappingProxyType` it can be pickled and copied."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    def __getitem__(self, key: str) -> str:
        return self._texts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __hash__(self) -> int:
        return hash(frozenset(self._texts.items()))

    def __repr__(self) -> str:
        return repr(self._texts)


class PluginMetadata(Table, frozen=True, kw_only=True):
    """`[plugin]`: who it is. `version` is a semantic version, prerelease and build included.

    With `module_sha256` the manifest is for the module of that digest and no other.
    """

    place: ClassVar[str] = "[plugin] {}"

    name: Name
    version: str
    description: str = ""
    author: str = ""
    license: str = ""
    module_sha256: Sha256 | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            Version.parse(self.version)
        except ValueError as error:
            what = f"expected a semantic version such as 1.4.0, found {self.version!r}"
            raise self.problem("version", what) from error

    @property
    def semver(self) -> Version:
        """The version, parsed; its `compare` is SemVer precedence."""
        return Version.parse(self.version)


class Capabilities(Table, frozen=True, kw_only=True):
    """`[capabilities]`: what the plugin asks its host for. The host grants; this package only carries."""

    place: ClassVar[str] = "[capabilities] {}"

    can_read_table: Names = ()
    can_write_table: Names = ()
    can_vector_search: bool = False
    can_index_search: bool = False
    can_call_plugin: Names = ()


class ResourceLimits(Table, frozen=True, kw_only=True):
    """`[resources]`: bounds of one instance (megabytes), of one call (fuel, milliseconds), on how many, of the module.

    A `fuel_limit` of 0 means unmetered. A module's bytes and functions are counted before it is compiled.
    """

    place: ClassVar[str] = "[resources] {}"

    memory_limit_mb: Annotated[int, msgspec.Meta(ge=1, le=_MEMORY_MB_MAX)] = 16
    fuel_limit: Annotated[int, msgspec.Meta(ge=0, le=_INT_MAX)] = 1_000_000
    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 100
    max_instances: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 4
    max_module_kb: Annotated[int, msgspec.Meta(ge=1, le=_MODULE_KB_MAX)] = 4_096
    max_functions: Annotated[int, msgspec.Meta(ge=1, le=_FUNCTIONS_MAX)] = 10_000


LARGEST = ResourceLimits(memory_limit_mb=_MEMORY_MB_MAX, max_module_kb=_MODULE_KB_MAX, max_functions=_FUNCTIONS_MAX)
"""The most that a manifest can allow a module to have."""


class Exports(Table, frozen=True, kw_only=True):
    """`[exports]`: the functions that the module must export, and the signatures that they must have.

    WebAssembly lets any text name a function, so these are not held to the rule for the plugin's name.
    """

    place: ClassVar[str] = "[exports] {}"

    functions: Names = ()
    signatures: Mapping[str, str] = FrozenTexts({})

    def __post_init__(self) -> None:
        super().__post_init__()
        force_setattr(self, "signatures", FrozenTexts(self.signatures))
        listed = set(self.functions)
        for function, text in self.signatures.items():
            key = f"signatures.{function}"
            if function not in listed:
                raise self.problem(key, f"expected a listed function, found {function!r}; add it to functions")
            try:
                Signature.parse(text)
            except ValueError as error:
                raise self.problem(key, str(error)) from error


class Hooks(Table, frozen=True, kw_only=True):
    """`[hooks]`: which exported functions the host is to call on which occasion, in this order."""

    place: ClassVar[str] = "[hooks] {}"

    before_insert: Names = ()
    after_insert: Names = ()
    before_update: Names = ()
    after_update: Names = ()
    before_delete: Names = ()
    after_delete: Names = ()


# Defaults are left out of the TOML of this table alone: TOML has no word for a default of None.
class ConfigField(Table, frozen=True, kw_only=True, omit_defaults=True):
    """`[[config_schema.fields]]`: one setting. Its `default`, unless None, is of its `type`."""

    place: ClassVar[str] = "[config_schema.fields] {}"

    name: Name
    type: ConfigType
    required: bool = False
    default: Scalar | tuple[Scalar, ...] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if self.type not in get_args(ConfigType):  # first, because msgspec's own words do not list them
            raise self.problem("type", f"expected one of {', '.join(_CONFIG_TYPES)}, found {shown(self.type)}")
        super().__post_init__()
        if self.default is not None:
            default = self.checked(f"default of {self.name!r}", self.default, _CONFIG_TYPES[self.type])
            force_setattr(self, "default", default)


class ConfigSchema(Table, frozen=True, kw_only=True):
    """`[config_schema]`: the settings that the plugin understands."""

    place: ClassVar[str] = "[config_schema] {}"

    fields: tuple[ConfigField, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_distinct("fields", (field.name for field in self.fields))
