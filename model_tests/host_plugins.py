"""A plugin that asks the host, for the tests of host functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotswap import HostFunction, HotReloadablePlugin, ManifestBuilder, PluginManifest
from runtime_modules import resources

PLUGIN: Final = """(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (func (export "ask") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "twice") (param i32) (result i32)
    (drop (call $ask (local.get 0))) (call $ask (i32.add (local.get 0) (i32.const 1))))
  (func (export "ask_and_loop") (param i32) (result i32) (drop (call $ask (local.get 0))) (loop br 0) unreachable)
  (func (export "ask_and_trap") (param i32) (result i32) (drop (call $ask (local.get 0))) unreachable)
  (func (export "plain") (result i32) (i32.const 5))
  (memory (export "memory") 1)
  (func (export "hotswap_alloc") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "hotswap_free") (param i32 i32))
  (func (export "echo") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))"""


def asking(function: Callable[[int], Any], wasm: str = PLUGIN, **limits: int) -> HotReloadablePlugin:
    """A plugin with one instance, unless told otherwise, whose `env.ask` is the function."""
    return HotReloadablePlugin(
        "p", wasm, resources(**limits), imports={"env.ask": HostFunction("(i32)->i32", function)}
    )


def grown(version: str) -> PluginManifest:
    return ManifestBuilder("p", version).limit("fuel_limit", 0).limit("max_instances", 1).build()


class Refused(Exception):
    pass


def refuse(number: int) -> int:
    if number >= 100:
        raise Refused(number)
    return number
