"""PlatformIO: links the archive for the board's processor, which its compiler flags name."""

import os

Import("env", "pio_lib_builder")  # noqa: F821, from PlatformIO

flags = [str(flag) for name in ("ASFLAGS", "CCFLAGS", "LINKFLAGS") for flag in env.Flatten(env.get(name, []))]  # noqa: F821


def option(name):
    """The value of a compiler flag such as -mfpu=, or nothing."""
    return next((flag[len(name):] for flag in reversed(flags) if flag.startswith(name)), "")


# The folders are those of Arduino's precompiled libraries; RISC-V's are named after -march.
processor, abi = option("-mcpu="), option("-mfloat-abi=")
folder = os.path.join(pio_lib_builder.path, "src", processor or option("-march=").split("_")[0])  # noqa: F821
if abi in ("hard", "softfp"):
    folder = os.path.join(folder, option("-mfpu=") + "-" + abi)
if not os.path.isfile(os.path.join(folder, "librelgrad.a")):
    raise SystemExit("relgrad: no " + folder + ", see bindings/packages/README.md")
env.Append(LIBPATH=[folder], LIBS=["relgrad"])  # noqa: F821
