#!/usr/bin/env python3
"""Checks that bindings/README.md prints the examples as they are; --write puts them there."""

import pathlib
import sys

bindings = pathlib.Path(__file__).resolve().parent.parent
readme = bindings / "README.md"
START, END = "<!-- examples: bindings/tests/printed.py --write -->\n", "<!-- end of examples -->\n"
PAIRS = [(("Rust", "rs", "rust"), ("Julia", "jl", "julia")),
         (("C", "c", "c"), ("C++", "cpp", "cpp")),
         (("Python", "py", "python"), ("Fortran", "f90", "fortran"))]


def cell(name, extension, language):
    source = (bindings / "examples" / ("banana." + extension)).read_text()
    return "<td valign=\"top\">\n\n**%s**\n\n```%s\n%s```\n\n</td>\n" % (name, language, source)


text = readme.read_text()
before, rest = text.split(START)
_, after = rest.split(END)
rows = "".join("<tr>\n%s</tr>\n" % "".join(cell(*one) for one in pair) for pair in PAIRS)
expected = before + START + "<table>\n" + rows + "</table>\n\n" + END + after
if sys.argv[1:] == ["--write"]:
    readme.write_text(expected)
elif text != expected:
    sys.exit("bindings/README.md does not print the examples: bindings/tests/printed.py --write")
