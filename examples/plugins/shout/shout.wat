;; shout: ASCII upper case, a whole hotswap plugin written by hand.
;;
;; What a plugin that takes and returns bytes has to export:
;;   memory                                      the host writes the input here and reads the reply
;;   hotswap_alloc (size i32) -> (ptr i32)       a block for the host; 0 means out of memory
;;   hotswap_free  (ptr i32) (size i32)          takes a block back
;;   its functions (ptr i32) (len i32) -> i64    the reply, as ptr << 32 | len
;; A call goes: alloc the input, write it, call, read the reply, free both. One thread at a time is in here.
(module
  (memory (export "memory") 1)

  ;; The allocator. Blocks are handed out upwards and none is reused before the last live one is freed; then
  ;; the heap starts again from its base. A call has two blocks, so memory stays as large as the largest call.
  (global $base i32 (i32.const 16))            ;; not 0, which would read as out of memory
  (global $top  (mut i32) (i32.const 16))      ;; where the next block begins
  (global $live (mut i32) (i32.const 0))       ;; blocks handed out and not freed

  (func $alloc (export "hotswap_alloc") (param $size i32) (result i32)
    (local $ptr i32)
    (local $end i64)                           ;; 64 bits, so that no sum can wrap
    (local $have i64)
    (if (i32.eqz (global.get $live))
      (then (global.set $top (global.get $base))))
    (local.set $ptr (global.get $top))

    ;; end = ptr + size, rounded up to 8; an empty block takes 8 bytes too, so that it has its own address
    (local.set $end
      (i64.and
        (i64.add (i64.add (i64.extend_i32_u (local.get $ptr)) (i64.extend_i32_u (local.get $size)))
                 (i64.const 8))
        (i64.const -8)))
    (if (i64.gt_u (local.get $end) (i64.const 0xFFFFFFFF))
      (then (return (i32.const 0))))

    ;; grow if the end lies behind the memory there is: pages = ceil((end - have) / 65536)
    (local.set $have (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
    (if (i64.gt_u (local.get $end) (local.get $have))
      (then
        (if (i32.eq
              (memory.grow
                (i32.wrap_i64
                  (i64.shr_u
                    (i64.add (i64.sub (local.get $end) (local.get $have)) (i64.const 65535))
                    (i64.const 16))))
              (i32.const -1))                  ;; the host refused
          (then (return (i32.const 0))))))

    (global.set $top (i32.wrap_i64 (local.get $end)))
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (local.get $ptr))

  (func $free (export "hotswap_free") (param $ptr i32) (param $size i32)
    (if (i32.and (i32.ne (local.get $ptr) (i32.const 0)) (i32.ne (global.get $live) (i32.const 0)))
      (then (global.set $live (i32.sub (global.get $live) (i32.const 1))))))

  ;; shout: a copy of the input in which a-z are A-Z.
  (func $shout (export "shout") (param $in i32) (param $len i32) (result i64)
    (local $out i32)
    (local $at i32)
    (local $byte i32)
    (local.set $out (call $alloc (local.get $len)))
    (if (i32.eqz (local.get $out))
      (then (unreachable)))                    ;; no room for the reply: fail the call, do not guess
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $len)))
        (local.set $byte (i32.load8_u (i32.add (local.get $in) (local.get $at))))
        ;; lower case is the 26 values from 97 on; seen as unsigned, one comparison covers both ends
        (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
          (then (local.set $byte (i32.sub (local.get $byte) (i32.const 32)))))
        (i32.store8 (i32.add (local.get $out) (local.get $at)) (local.get $byte))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $out)) (i64.const 32))
            (i64.extend_i32_u (local.get $len))))

  ;; hotswap_probe (optional): runs once in a candidate before it serves. 0 is good.
  (func (export "hotswap_probe") (result i32)
    (local $reply i32)
    (local $result i32)
    (i32.store8 (i32.const 0) (i32.const 122))                     ;; "z", below the heap
    (local.set $reply
      (i32.wrap_i64 (i64.shr_u (call $shout (i32.const 0) (i32.const 1)) (i64.const 32))))
    (local.set $result (i32.ne (i32.load8_u (local.get $reply)) (i32.const 90)))  ;; "Z"
    (call $free (local.get $reply) (i32.const 1))
    (local.get $result))
)
