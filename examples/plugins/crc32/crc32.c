/* CRC-32 as a hotswap plugin in C: freestanding wasm32, no libc, no imports.
 *
 * One source makes the four versions that the demo plays through:
 *   -DVARIANT_SLOW        1.0.0  bit by bit
 *   (none)                2.0.0  eight bytes at a time, from tables that hotswap_init builds
 *   -DVARIANT_BAD_PROBE   2.1.0  as 2.0.0 with a wrong polynomial: its own probe finds out
 *   -DVARIANT_HANG        2.2.0  as 2.0.0, but hotswap_init never returns
 *
 * The host calls an export from one thread at a time, so nothing here is locked.
 */
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))

/* --- memory ------------------------------------------------------------------------------------------
 * A call needs two blocks, its input and its reply, and the host frees both. So blocks are handed out
 * upwards, one after the other, and nothing is reused until the last live block is freed; then the heap
 * starts again from its base. Memory never grows beyond what the largest call needed. */

#define PAGE 65536u
#define ALIGNMENT 16u

extern uint8_t __heap_base; /* the linker puts this symbol after the stack and the static data */

static uint32_t heap_top;
static uint32_t live_blocks;

EXPORT(hotswap_alloc)
uint32_t hotswap_alloc(uint32_t size)
{
    if (live_blocks == 0)
        heap_top = ((uint32_t)(uintptr_t)&__heap_base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);

    /* 64 bits, so that no sum below wraps, and heap_top has to hold the end; an empty block still gets an
     * address of its own */
    uint64_t end = (uint64_t)heap_top + (size ? size : 1);
    end = (end + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
    if (end > UINT32_MAX)
        return 0;

    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end > have) {
        uint32_t pages = (uint32_t)((end - have + PAGE - 1) / PAGE);
        if (__builtin_wasm_memory_grow(0, pages) == (__SIZE_TYPE__)-1)
            return 0;
    }

    uint32_t block = heap_top;
    heap_top = (uint32_t)end;
    live_blocks++;
    return block;
}

EXPORT(hotswap_free)
void hotswap_free(uint32_t block, uint32_t size)
{
    (void)size;
    if (block != 0 && live_blocks != 0)
        live_blocks--;
}

/* --- the checksum ------------------------------------------------------------------------------------
 * Both ways keep the remainder bit-reversed, as zlib does, so the polynomial is reversed too. */

#ifdef VARIANT_BAD_PROBE
#define POLYNOMIAL 0x82F63B78u /* CRC-32C: a good polynomial, but another one */
#else
#define POLYNOMIAL 0xEDB88320u /* 0x04C11DB7 reversed */
#endif

#ifdef VARIANT_SLOW

static void build_tables(void) {}

static uint32_t checksum(const uint8_t *data, uint32_t size)
{
    uint32_t crc = ~0u;
    for (; size != 0; size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? POLYNOMIAL : 0);
    }
    return ~crc;
}

#else

/* table[k][b]: what byte b does to the remainder when k more zero bytes follow it */
static uint32_t table[8][256];

static void build_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? POLYNOMIAL : 0);
        table[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t before = table[k - 1][byte];
            table[k][byte] = (before >> 8) ^ table[0][before & 0xFF];
        }
}

static uint32_t load32(const uint8_t *at)
{
    uint32_t word;
    __builtin_memcpy(&word, at, sizeof word); /* one unaligned load; wasm is little-endian */
    return word;
}

static uint32_t checksum(const uint8_t *data, uint32_t size)
{
    uint32_t crc = ~0u;
    for (; size >= 8; size -= 8, data += 8) {
        uint32_t low = crc ^ load32(data);
        uint32_t high = load32(data + 4);
        crc = table[7][low & 0xFF] ^ table[6][(low >> 8) & 0xFF] ^ table[5][(low >> 16) & 0xFF] ^
              table[4][low >> 24] ^ table[3][high & 0xFF] ^ table[2][(high >> 8) & 0xFF] ^
              table[1][(high >> 16) & 0xFF] ^ table[0][high >> 24];
    }
    for (; size != 0; size--)
        crc = (crc >> 8) ^ table[0][(crc ^ *data++) & 0xFF];
    return ~crc;
}

#endif

/* --- what the host calls ----------------------------------------------------------------------------- */

/* Once in every new instance, before any call. 0 is good. */
EXPORT(hotswap_init)
int32_t hotswap_init(void)
{
#ifdef VARIANT_HANG
    static volatile uint32_t turns; /* volatile: the compiler may not drop the loop */
    for (;;)
        turns++;
#endif
    build_tables();
    return 0;
}

/* Once in the first instance of a candidate, before it serves. 0 is good. */
EXPORT(hotswap_probe)
int32_t hotswap_probe(void)
{
    static const uint8_t vector[9] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
    return checksum(vector, sizeof vector) == 0xCBF43926u ? 0 : 1;
}

/* A bytes call: the CRC-32 of the input, as four bytes, little-endian. */
EXPORT(crc32)
uint64_t crc32(uint32_t input, uint32_t size)
{
    uint32_t crc = checksum((const uint8_t *)(uintptr_t)input, size);
    uint32_t reply = hotswap_alloc(sizeof crc);
    if (reply == 0)
        __builtin_trap(); /* no room for the reply: the call fails, the host discards this instance */
    __builtin_memcpy((void *)(uintptr_t)reply, &crc, sizeof crc);
    return (uint64_t)reply << 32 | sizeof crc;
}

/* A numeric call. */
EXPORT(version)
int32_t version(void)
{
#if defined VARIANT_SLOW
    return 1;
#elif defined VARIANT_BAD_PROBE
    return 3;
#elif defined VARIANT_HANG
    return 4;
#else
    return 2;
#endif
}
