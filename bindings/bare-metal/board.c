/* Start-up and output for Arm's MPS2 boards with Cortex-M4 or M7, as QEMU runs them. Output, and
 * the end, by semihosting. No C library but memcpy and its like. */
#include "platform.h"

extern uint32_t data_load, data_start, data_end, bss_start, bss_end, stack_top;
int main(void);
void abort(void);
void reset(void);

static int semihost(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static _Noreturn void leave(uint32_t status) {
    const uint32_t block[] = {0x20026 /* application exit */, status};
    semihost(0x20, block);
    for (;;) {
    }
}

void put_text(const char *text) { semihost(0x04, text); }

/* SysTick at 25 MHz; with -icount shift=0 an instruction takes a nanosecond. */
uint32_t instructions(void) {
    volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;
    if (systick[0] == 0) {
        systick[1] = 0xffffff;
        systick[2] = 0;
        systick[0] = 5;
    }
    return (0xffffff - systick[2]) * 40u;
}

/* relgrad's panic handler calls this. */
void abort(void) {
    put_text("abort\n");
    leave(134);
}

static void fault(void) {
    put_text("fault\n");
    leave(139);
}

void reset(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xf << 20; /* the floating-point unit on */
    __asm__ volatile("dsb\n isb");
    for (uint32_t *from = &data_load, *to = &data_start; to < &data_end;) *to++ = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end;) *to++ = 0;
    leave((uint32_t)main());
}

__attribute__((section(".vectors"), used)) static const struct {
    const uint32_t *stack;
    void (*handlers[15])(void);
} vectors = {&stack_top, {reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault}};
