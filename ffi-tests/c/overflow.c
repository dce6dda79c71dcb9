/* Shows that the sanitizers are in: each argument provokes what one of them must report. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    volatile int one = argc > 1;
    if (one && strcmp(argv[1], "address") == 0) {
        /* Behind a volatile pointer the compiler does not know the size. */
        char *volatile hidden = (char *)malloc(8);
        volatile char *p = hidden;
        p[7 + one] = 1;
        free(hidden);
    } else if (one && strcmp(argv[1], "undefined") == 0) {
        volatile int sum = INT_MAX;
        sum = sum + one;
    }
    puts("nothing was reported");
    return 0;
}
