"""Everything that touches wasmtime. Outside this package the product knows the ports of `_ports.py` only."""

from hotswap._runtime._census import CENSUS, Census
from hotswap._runtime._code import WasmRuntime
from hotswap._runtime._compiled import use_compile_cache

__all__ = ["CENSUS", "Census", "WasmRuntime", "use_compile_cache"]
