/* Functions that do nothing: what a call through cffi costs by itself. */
#include <stdint.h>

int32_t bench_empty(uint64_t handle, int32_t amount) {
    (void)handle;
    (void)amount;
    return 0;
}

void bench_empty_no_argument(void) {}
