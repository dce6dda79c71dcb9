/* The header needs no other, and may be included twice. */
#include "relgrad.h"
#include "relgrad.h"

int main(void) { return relgrad_abi_check(RELGRAD_ABI_VERSION); }
