"""What a module is made of, read from its bytes by our own hand before wasmtime sees them.

The engine and its Python bindings trust a module more than we do: some types abort the process when they are merely
looked at, and some sizes cost seconds. So the sections are read here first. This is no validation: whether the code is
well typed is the compiler's question. What is read here is what a module declares, and that is held to limits.

A count is compared with the bytes that are left, and with a limit, before anything is done that many times; code and
data are skipped. It needs the standard library only.
"""

from hotswap._wasm._cursor import HINT, ModuleLimits
from hotswap._wasm._reader import read_module, too_large
from hotswap._wasm._shape import Export, Global, Import, ModuleShape, Pages, Table

__all__ = [
    "HINT",
    "Export",
    "Global",
    "Import",
    "ModuleLimits",
    "ModuleShape",
    "Pages",
    "Table",
    "read_module",
    "too_large",
]
