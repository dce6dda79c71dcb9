"""Writes a C program that prints the size of every structure of relgrad.h and where its fields
lie: `layout.py relgrad.h > layout.c`. The bindings print the same of theirs."""

import re
import sys

header = re.sub(r"/\*.*?\*/", "", open(sys.argv[1]).read(), flags=re.S)
print("#include <relgrad.h>\n#include <stdio.h>\nint main(void) {")
for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", header, flags=re.S):
    if name.endswith("_f64"):
        continue
    print('    printf("%s %%zu\\n", sizeof(%s));' % (name, name))
    for field in re.findall(r"(\w+)(?:\[\d+\])?;", body):
        print('    printf("%s.%s %%zu\\n", offsetof(%s, %s));' % (name, field, name, field))
print("    return 0;\n}")
