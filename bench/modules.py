"""The wasm that the benches run: one body for all contenders, and modules of any size with fresh bytes each time.

Extism's plugins get their input from functions of its host, ours and the others by arguments and memory. So there are
two modules with the same four functions inside, and around them what each host wants.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
from typing import Final

import wasmtime

BODIES: Final = """
  (memory (export "memory") 64)
  (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))

  (func $spin (param $rounds i32) (result i32) (local $value i32)
    (loop $again
      (local.set $value (i32.add (i32.mul (local.get $value) (i32.const 1664525)) (local.get $rounds)))
      (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
      (br_if $again (i32.gt_s (local.get $rounds) (i32.const 0))))
    (local.get $value))

  (func $raise_case (param $from i32) (param $to i32) (param $size i32) (local $byte i32) (local $end i32)
    (local.set $end (i32.add (local.get $from) (local.get $size)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $from) (local.get $end)))
        (local.set $byte (i32.load8_u (local.get $from)))
        (i32.store8 (local.get $to) (i32.sub (local.get $byte)
          (i32.shl (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26)) (i32.const 5))))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (br $next))))

  (func $adler (param $at i32) (param $size i32) (result i32) (local $a i32) (local $b i32) (local $end i32)
    (local.set $a (i32.const 1))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (local.set $a (i32.add (local.get $a) (i32.load8_u (local.get $at))))
        (local.set $a (i32.sub (local.get $a)
          (i32.mul (i32.ge_u (local.get $a) (i32.const 65521)) (i32.const 65521))))
        (local.set $b (i32.add (local.get $b) (local.get $a)))
        (local.set $b (i32.sub (local.get $b)
          (i32.mul (i32.ge_u (local.get $b) (i32.const 65521)) (i32.const 65521))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.or (i32.shl (local.get $b) (i32.const 16)) (local.get $a)))
"""

OURS: Final = f"""(module {BODIES}
  (global $top (mut i32) (i32.const 16))
  (global $live (mut i32) (i32.const 0))
  (func $alloc (export "hotswap_alloc") (param $size i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 8)) (i32.const -8)))
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (local.get $at))
  (func (export "hotswap_free") (param i32 i32)
    (global.set $live (i32.sub (global.get $live) (i32.const 1)))
    (if (i32.eqz (global.get $live)) (then (global.set $top (i32.const 16)))))

  (export "add" (func $add))
  (export "spin" (func $spin))
  (func (export "upper") (param $at i32) (param $size i32) (result i64) (local $reply i32)
    (local.set $reply (call $alloc (local.get $size)))
    (call $raise_case (local.get $at) (local.get $reply) (local.get $size))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $reply)) (i64.const 32)) (i64.extend_i32_u (local.get $size))))
  (func (export "checksum") (param $at i32) (param $size i32) (result i64) (local $reply i32)
    (local.set $reply (call $alloc (i32.const 4)))
    (i32.store (local.get $reply) (call $adler (local.get $at) (local.get $size)))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $reply)) (i64.const 32)) (i64.const 4))))"""

FOR_EXTISM: Final = f"""(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u64" (func $input_u64 (param i64) (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_u8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $host_alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  {BODIES}
  (func $read (result i32) (local $at i32) (local $size i32)
    (local.set $size (i32.wrap_i64 (call $input_length)))
    (block $words
      (loop $next
        (br_if $words (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $size)))
        (i64.store offset=16 (local.get $at) (call $input_u64 (i64.extend_i32_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $size)))
        (i32.store8 offset=16 (local.get $at) (call $input_u8 (i64.extend_i32_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $size))
  (func $write (param $from i32) (param $size i32) (result i32) (local $at i32) (local $reply i64)
    (local.set $reply (call $host_alloc (i64.extend_i32_u (local.get $size))))
    (block $words
      (loop $next
        (br_if $words (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $size)))
        (call $store_u64 (i64.add (local.get $reply) (i64.extend_i32_u (local.get $at)))
                         (i64.load (i32.add (local.get $from) (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $size)))
        (call $store_u8 (i64.add (local.get $reply) (i64.extend_i32_u (local.get $at)))
                        (i32.load8_u (i32.add (local.get $from) (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (call $output_set (local.get $reply) (i64.extend_i32_u (local.get $size)))
    (i32.const 0))
  (func (export "add") (result i32)
    (drop (call $read))
    (i32.store (i32.const 0) (call $add (i32.load (i32.const 16)) (i32.load (i32.const 20))))
    (call $write (i32.const 0) (i32.const 4)))
  (func (export "spin") (result i32)
    (drop (call $read))
    (i32.store (i32.const 0) (call $spin (i32.load (i32.const 16))))
    (call $write (i32.const 0) (i32.const 4)))
  (func (export "upper") (result i32) (local $size i32)
    (local.set $size (call $read))
    (call $raise_case (i32.const 16) (i32.const 2097152) (local.get $size))
    (call $write (i32.const 2097152) (local.get $size)))
  (func (export "checksum") (result i32)
    (i32.store (i32.const 0) (call $adler (i32.const 16) (call $read)))
    (call $write (i32.const 0) (i32.const 4))))"""


SMALL: Final = """(module (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"""


@functools.cache
def binary(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


@functools.cache
def sized(kilobytes: int, base: str = OURS) -> bytes:
    """The module with more code in it, to about that size: functions of arithmetic and loads, none like another."""
    draw = random.Random(kilobytes)
    step = (
        "(local.set $v (i32.{} (i32.rotl (local.get $v) (i32.const {})) "
        "(i32.load offset={} (i32.and (local.get $v) (i32.const {})))))"
    )

    def function() -> str:
        steps = (
            step.format(draw.choice(("add", "xor", "mul")), *(draw.randrange(1 << bits) for bits in (5, 13, 14)))
            for _ in range(52)
        )
        return f"(func (param $v i32) (result i32) {''.join(steps)} (local.get $v))"

    return binary(f"{base.removesuffix(')')} {''.join(function() for _ in range(kilobytes - 1))})")


_numbers = itertools.count(1)


def fresh(wasm: bytes) -> bytes:
    """The same module in bytes that nobody has seen: a custom section holds the next number, and this process's."""
    payload = b"\x05fresh" + f"{os.getpid()}-{next(_numbers)}".encode()
    return wasm + bytes([0, len(payload)]) + payload
