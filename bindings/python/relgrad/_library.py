"""The shared library: where it is found, its functions' types, its structures, its errors."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import pathlib
from ctypes import POINTER, byref, c_double, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Iterator

import numpy as np

ABI_VERSION = 1
ALIGNMENT = 64
CHOICES = {
    "activation": ("smooth_leaky_relu", "leaky_tanh", "identity", "tanh_mixture", "bend"),
    "base": ("normal", "sech", "logistic", "custom"),
    "bias": ("none", "separate", "affine", "projected"),
    "gradient": ("relative", "transposed", "ordinary"),
    "optimizer": ("sgd", "adam", "natural"),
    "crossing": ("guard", "allow"),
    "log_det": ("exact", "lazy"),
    "condition": ("none", "numbers", "classes"),
    "conditioned": ("latents", "layers", "both"),
    "level": ("auto", "scalar", "avx2", "avx512", "neon"),
    "density": ("extended", "super", "sub", "sech", "logistic"),
}
KINDS = ("super", "sub")
STOPS = ("converged", "iterations", "precision")
DECAYS = ("constant", "cosine", "step", "inverse")
STARTS = ("orthogonal", "identity", "whitened", "standardized", "aligned", "uniform", "normal")
STARTS_FROM_DATA = ("whitened", "standardized", "aligned")


class _Sized(ctypes.Structure):
    """A structure whose first field is its size, so that later versions can append fields. Names of
    choices may be assigned where C has an enumeration."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(self), **fields)

    def __setattr__(self, name, value):
        if isinstance(value, str):
            value = CHOICES[name].index(value)
        super().__setattr__(name, value)


class Config(_Sized):
    """relgrad_config."""

    _fields_ = [
        *((name, c_uint32) for name in (
            "struct_size", "dim", "layers", "max_batch", "activation", "final_activation",
            "base", "bias", "input_transform", "gradient", "optimizer", "crossing", "log_det",
            "track_inverse", "report_norms", "level")),
        *((name, c_double) for name in (
            "activation_a", "activation_b", "momentum", "beta1", "beta2", "epsilon", "decay",
            "damping", "clip", "curve_rate")),
        *((name, c_uint32) for name in ("condition", "condition_len", "conditioned", "reserved")),
        ("condition_rate", c_double),
    ]


class Sizes(_Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), *((name, c_size_t) for name in (
        "params_len", "gradient_len", "factors_len", "state_bytes", "workspace_bytes",
        "refresh_bytes", "start_bytes", "factorization_bytes"))]


class Report(_Sized):
    """What a step saw and did; see relgrad_report."""

    _fields_ = [
        ("struct_size", c_uint32), ("halvings", c_uint32),
        ("mean_log_likelihood", c_double), ("base_density", c_double), ("log_slopes", c_double),
        ("log_det", c_double), ("log_det_age", c_uint64), ("relative_gradient_norm", c_double),
        ("mean_delta_norm", c_double), ("trust_scale", c_double),
        ("curve_gradient_norm", c_double)]


class RefreshReport(_Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32),
                *((name, c_double) for name in ("log_det", "drift", "inverse_error"))]


class Batch(_Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("x", c_void_p),
                ("rows", c_size_t), ("ld", c_size_t), ("weights", c_void_p),
                ("base", c_void_p), ("user", c_void_p), ("whole", c_size_t),
                ("condition", c_void_p), ("condition_ld", c_size_t)]


class IcaSettings(_Sized):
    """relgrad_ica."""

    _fields_ = [*((name, c_uint32) for name in (
        "struct_size", "features", "components", "density", "orthogonal", "restarts", "iterations",
        "level")), ("seed", c_uint64), ("tolerance", c_double)]


class IcaReport(_Sized):
    _fields_ = [("struct_size", c_uint32), ("stop", c_uint32), ("iterations", c_uint64),
                ("log_likelihood", c_double), ("gradient_norm", c_double)]


class Component(_Sized):
    _fields_ = [*((name, c_uint32) for name in ("struct_size", "kind", "gaussian", "reserved")),
                *((name, c_double) for name in ("explained", "kurtosis", "stability", "scale"))]


class Schedule(_Sized):
    """relgrad_schedule."""

    _fields_ = [("struct_size", c_uint32), ("decay", c_uint32), ("rate", c_double),
                *((name, c_uint64) for name in ("warmup", "total", "every")), ("factor", c_double)]


Task = ctypes.CFUNCTYPE(None, c_void_p, c_size_t)
ParallelFor = ctypes.CFUNCTYPE(None, c_void_p, Task, c_void_p, c_size_t)
BASE_FN = {np.dtype(dtype): ctypes.CFUNCTYPE(c_int32, c_void_p, c_size_t, *[POINTER(number)] * 3, c_size_t)
            for dtype, number in ((np.float32, ctypes.c_float), (np.float64, c_double))}


class RelgradError(ValueError):
    """A refused call; `status` is the C function's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def __reduce__(self):
        return type(self), (self.status, *self.args)


def _find() -> str:
    """RELGRAD_LIBRARY if that is set, else the library in this package, else the system's."""
    own = pathlib.Path(__file__).with_name("librelgrad.so")
    return (os.environ.get("RELGRAD_LIBRARY") or (str(own) if own.exists() else None)
            or ctypes.util.find_library("relgrad") or "librelgrad.so.%d" % ABI_VERSION)


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(_find())
    p, n, word = c_void_p, c_size_t, c_uint32
    arguments = {
        "query_sizes": (p, p), "init": (p, p, n, p, n, p), "attach": (p, p, n, p, n, p),
        "message": (p, p, n), "params_init": (p, p, n, word, c_uint64),
        "params_init_data": (p, p, n, p, word, c_uint64, c_double, p, n),
        "refresh": (p, p, n, p, n, p), "log_det": (p, p, p), "steps": (p, p),
        "set_parallel": (p, ParallelFor, p, word), "set_pool": (p, p),
        "step": (p, p, n, p, c_double, p), "gradient": (p, p, n, p, p, n, p),
        "forward": (p, p, n, p, p, n), "log_likelihood": (p, p, n, p, p, n),
        "input_gradient": (p, p, n, p, p, n, p, n),
        "factorize": (p, p, n, p, n), "inverse": (p, p, n, p, n, p, n, n, p, n, p),
        "sample": (p, p, n, p, n, c_uint64, c_uint64, n, p, n, p),
        "inverse_given": (p, p, n, p, n, p, n, n, p, n, p, n, p),
        "sample_given": (p, p, n, p, n, c_uint64, c_uint64, n, p, n, p, n, p),
    }
    for name, types in arguments.items():
        for suffix in ("", "_f64"):
            function = getattr(library, "relgrad_" + name + suffix)
            function.argtypes, function.restype = types, c_int32
    library.relgrad_status_string.restype = ctypes.c_char_p
    library.relgrad_version_string.restype = ctypes.c_char_p
    library.relgrad_config_default.argtypes = (p, word, word)
    library.relgrad_config_check.argtypes = (p, p, n)
    library.relgrad_abi_check.argtypes = (word,)
    library.relgrad_alarm_start.argtypes = (p, c_double, c_double)
    library.relgrad_alarm_see.argtypes = (p, c_double, p)
    library.relgrad_ica_default.argtypes = (p, word)
    for suffix in ("", "_f64"):
        getattr(library, "relgrad_ica_fit" + suffix).argtypes = (p, p, n, p, p, p, p, p, p)
    library.relgrad_schedule_rate.argtypes = (p, c_uint64, p)
    library.relgrad_pool_new.argtypes = (word, p)
    library.relgrad_pool_free.argtypes = (p,)
    if library.relgrad_abi_check(ABI_VERSION) != 0:
        raise ImportError("librelgrad has another ABI than version %d" % ABI_VERSION)
    return library


library = _load()
version: str = library.relgrad_version_string().decode()


def checked(status: int, context: c_void_p | None = None, suffix: str = "") -> None:
    """Raises what a refused call left as its text: with its context, or with this thread."""
    if status == 0:
        return
    text = ctypes.create_string_buffer(256)
    for of in (context, None):
        if not text.value:
            getattr(library, "relgrad_message" + suffix)(of, text, len(text))
    raise RelgradError(status, (text.value or library.relgrad_status_string(status)).decode())


def aligned(size: int) -> np.ndarray:
    """Zeroed bytes at a multiple of ALIGNMENT."""
    whole = np.zeros(size + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start:start + size]


def memory(array: np.ndarray) -> tuple[int, int]:
    """Address and bytes."""
    return array.ctypes.data, array.nbytes


def numbers(array: np.ndarray) -> tuple[int, int]:
    """Address and length."""
    return array.ctypes.data, array.size


def schedule_rate(schedule: Schedule, step: int) -> float:
    """The rate of a step, counted from 0."""
    rate = c_double()
    checked(library.relgrad_schedule_rate(byref(schedule), step, byref(rate)))
    return rate.value


@contextlib.contextmanager
def pool_of(threads: int | None) -> Iterator[c_void_p | None]:
    """Threads of the library's own, for a call; -1 for one a processor, None for the calling one."""
    threads = min(os.cpu_count() or 1, 64) if threads == -1 else threads or 1
    pool = c_void_p()
    if threads != 1:
        checked(library.relgrad_pool_new(threads, byref(pool)))
    try:
        yield pool
    finally:
        library.relgrad_pool_free(pool)
