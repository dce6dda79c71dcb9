#!/usr/bin/env python3
"""Checks that relgrad.hpp has every function of relgrad.h: `named.py relgrad.h relgrad.hpp`."""

import re
import sys

# Those that C++ calls as they are.
PLAIN = "numbers in and out, nothing to own or to keep; relgrad.hpp includes relgrad.h"
AS_IN_C = {
    "relgrad_version": PLAIN,
    "relgrad_version_string": PLAIN,
    "relgrad_name": PLAIN,
    "relgrad_activation_evaluate": PLAIN,
    "relgrad_activation_invert": PLAIN,
}

header, wrapper = (re.sub(r"/\*.*?\*/", "", open(path).read(), flags=re.S) for path in sys.argv[1:])
functions = set(re.findall(r"\b(relgrad_\w+)\([^()]*\);", header))
named = set(re.findall(r"\brelgrad_\w+(?=\()", wrapper))
for name in re.findall(r"RELGRAD_F\((\w+), S\)", wrapper):
    if not re.search(r"api(<T>)?::%s\b" % name, wrapper):
        sys.exit("relgrad.hpp names relgrad_%s and does not call it" % name)
    named |= {"relgrad_" + name, "relgrad_" + name + "_f64"}
missing, useless = functions - named - set(AS_IN_C), set(AS_IN_C) - functions | set(AS_IN_C) & named
if len(functions) < 50 or missing or useless:
    sys.exit("of %d functions, relgrad.hpp lacks %s; not to be excepted: %s"
             % (len(functions), sorted(missing), sorted(useless)))
print("ok: relgrad.hpp has the %d functions of relgrad.h" % len(functions))
