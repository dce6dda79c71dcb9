// As much of Arduino as the sketch in bindings/packages needs, over bindings/bare-metal/platform.h.
#include <stdint.h>
#include <string.h>
extern "C" {
#include "platform.h"
}

enum { A0 = 14 };

static inline int analogRead(int pin) {
    static uint32_t seed = 1;
    seed = seed * 1103515245u + 12345u;
    return (int)(seed >> 23) + 16 * pin;
}

static inline void delay(unsigned) {}

static struct {
    void begin(long) {}
    void print(const char *text) { put_text(text); }
    void println(const char *text) { put_text(text), put_text("\n"); }
    void println(double value) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        put_hex(bits, 16), put_text("\n");
    }
} Serial;

void setup();
void loop();
// An error of the sketch repeats itself for ever: the time limit ends it.
int main() {
    setup();
    for (int i = 0; i < 400; i++) loop();
}
