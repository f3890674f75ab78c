/* What C can do with the same wasm: the limit that the call ladder is measured against, and the control of the threads.
 *
 * Stores and functions are wasmtime-py's, so that everybody calls the same machine code; the addresses of wasmtime's
 * functions come from the library that it has loaded. Only calls, copies and threads are in here. Every loop ends at
 * the first error or trap, and says so by returning fewer calls than it was asked for. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef union { int32_t i32; int64_t i64; unsigned char size[16]; } raw;
typedef void *(*call_t)(void *context, const void *func, raw *values, size_t count, void **trap);
typedef uint8_t *(*data_t)(void *context, const void *memory);

static call_t call;
static data_t data;

void setup(void *call_unchecked, void *memory_data)
{
    *(void **)&call = call_unchecked;
    *(void **)&data = memory_data;
}

/* The floor of Python: what it costs to get here and back. */
void *noop(void *a, void *b, void *c, size_t d, void *e)
{
    (void)a, (void)b, (void)c, (void)d, (void)e;
    return 0;
}

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* Nanoseconds for so many calls of a numeric function; -1 after an error. The last result is left in *reply. */
int64_t numeric(void *context, const void *func, int32_t a, int32_t b, size_t times, int32_t *reply)
{
    raw values[2];
    void *trap = 0;
    int64_t begun = now();
    for (size_t i = 0; i < times; i++) {
        values[0].i32 = a;
        values[1].i32 = b;
        if (call(context, func, values, 2, &trap) || trap)
            return -1;
    }
    begun = now() - begun;
    *reply = values[0].i32;
    return begun;
}

/* The same for a bytes call: allocate, copy in, call, copy out, free both. The size of the last reply in *got. */
int64_t bytes(void *context, const void *alloc, const void *func, const void *release, const void *memory,
              const uint8_t *input, uint32_t size, uint8_t *reply, size_t times, uint32_t *got)
{
    raw values[2];
    void *trap = 0;
    int64_t begun = now();
    for (size_t i = 0; i < times; i++) {
        values[0].i32 = (int32_t)size;
        if (call(context, alloc, values, 2, &trap) || trap)
            return -1;
        uint32_t at = (uint32_t)values[0].i32;
        memcpy(data(context, memory) + at, input, size);
        values[0].i32 = (int32_t)at;
        values[1].i32 = (int32_t)size;
        if (call(context, func, values, 2, &trap) || trap)
            return -1;
        uint32_t from = (uint32_t)((uint64_t)values[0].i64 >> 32);
        *got = (uint32_t)values[0].i64;
        memcpy(reply, data(context, memory) + from, *got);
        values[0].i32 = (int32_t)at;
        values[1].i32 = (int32_t)size;
        if (call(context, release, values, 2, &trap) || trap)
            return -1;
        values[0].i32 = (int32_t)from;
        values[1].i32 = (int32_t)*got;
        if (call(context, release, values, 2, &trap) || trap)
            return -1;
    }
    return now() - begun;
}

struct work { void *context; const void *func; int32_t a; size_t times; pthread_barrier_t *gate; int64_t took; };

static void *run(void *given)
{
    struct work *work = given;
    int32_t reply;
    pthread_barrier_wait(work->gate);
    work->took = numeric(work->context, work->func, work->a, 0, work->times, &reply);
    pthread_barrier_wait(work->gate);
    return 0;
}

/* Nanoseconds from the moment when all threads may go until the last is done; -1 after an error. */
int64_t threads(void **contexts, const void **funcs, size_t count, int32_t a, size_t times)
{
    pthread_t thread[64];
    struct work work[64];
    pthread_barrier_t gate;
    int64_t begun;
    size_t made;
    if (count > 64 || pthread_barrier_init(&gate, 0, (unsigned)count + 1))
        return -1;
    for (made = 0; made < count; made++) {
        work[made] = (struct work){contexts[made], funcs[made], a, times, &gate, 0};
        if (pthread_create(&thread[made], 0, run, &work[made]))
            return -1; /* the others wait at the gate for ever: the bench fails, and its process with it */
    }
    pthread_barrier_wait(&gate);
    begun = now();
    pthread_barrier_wait(&gate);
    begun = now() - begun;
    for (made = 0; made < count; made++) {
        pthread_join(thread[made], 0);
        if (work[made].took < 0)
            begun = -1;
    }
    pthread_barrier_destroy(&gate);
    return begun;
}
