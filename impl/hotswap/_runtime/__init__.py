"""Everything that touches wasmtime. Outside this package the product knows the ports of `_ports.py` only."""

from hotswap._runtime._census import CENSUS, Census
from hotswap._runtime._child import ChildCompiler, CompileProgress
from hotswap._runtime._code import WasmRuntime
from hotswap._runtime._compiled import InProcess, use_compile_cache, use_compiler

__all__ = [
    "CENSUS",
    "Census",
    "ChildCompiler",
    "CompileProgress",
    "InProcess",
    "WasmRuntime",
    "use_compile_cache",
    "use_compiler",
]
