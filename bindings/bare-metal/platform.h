/* What differs between a board and the host. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdint.h>

void put_text(const char *text);
/* Instructions so far, as far as the platform counts them; differences count. */
uint32_t instructions(void);

static inline void put_hex(uint64_t value, int digits) {
    char text[17];
    for (int i = 0; i < digits; i++) {
        text[i] = "0123456789ABCDEF"[value >> 4 * (digits - 1 - i) & 15];
    }
    text[digits] = 0;
    put_text(text);
}

static inline void put_int(int32_t value) {
    char text[12], *p = text + 11;
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    *p = 0;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0) *--p = '-';
    put_text(p);
}

#endif
