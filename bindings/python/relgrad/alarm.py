"""Anomalies of streams."""

from __future__ import annotations

from ctypes import byref, c_double, c_int32, c_uint32, c_uint64

from ._library import _Sized, checked, library


class Alarm(_Sized):
    """Anomalies of a stream: a threshold on log-likelihoods that a promised share `rate` of the rows
    falls below, also after process and model have changed. It catches up with a change within about
    `memory` rows, by default 20 / rate. Score a row, see() its log-likelihood, then learn from it."""

    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("rate", c_double),
                ("memory", c_double), ("rows", c_uint64), ("raised", c_uint64),
                *((name, c_double) for name in ("threshold", "mean", "spread"))]

    def __init__(self, rate: float, memory: float | None = None) -> None:
        super().__init__()
        memory = 20 / max(rate, 1e-9) if memory is None else memory
        checked(library.relgrad_alarm_start(byref(self), rate, memory))

    def see(self, log_p: float) -> bool:
        """Whether a row with this log-likelihood is an anomaly."""
        raised = c_int32()
        checked(library.relgrad_alarm_see(byref(self), log_p, byref(raised)))
        return raised.value == 1
