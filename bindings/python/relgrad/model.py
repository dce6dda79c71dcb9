"""Models, through the C ABI: NumPy arrays in and out.

A Model works in memory that NumPy owns; a batch is a C-contiguous array (rows, dim) of the
model's type and is not copied. Weights are (output, input). Errors are RelgradError, with the
text that says what is wrong and what is allowed.

float32 has 24 bits: a column of time stamps would lose its digits. A float32 model that starts from
data in float64 (or integers) therefore keeps an `origin`, taken off in float64 before numbers are
narrowed; see origin_of.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import signal
import threading
from ctypes import byref, c_double, c_uint64, c_void_p
from typing import Any, Iterator

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ._library import (BASE_FN, CHOICES, STARTS, Batch, Config, ParallelFor, RefreshReport, RelgradError,
                       Report, Sizes, aligned, checked, library, memory,
                       numbers, pool_of)


def _parallel_for(pool):
    def run_parts(_, run, task, count):
        parts = []
        try:
            for i in range(count):
                parts.append(pool.submit(run, task, i))
        finally:  # a part that has begun needs the task, which is gone when this returns
            concurrent.futures.wait(parts)
    return ParallelFor(run_parts)


@contextlib.contextmanager
def _uninterrupted():
    """Keeps Ctrl-C until the end, so that it cannot leave parts behind that still run."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if seen:
            signal.raise_signal(signal.SIGINT)


def origin_of(data: ArrayLike) -> np.ndarray | None:
    """What a float32 model should take off its data in float64: the medians of the columns that are
    farther from 0 than 512 times their spread, 0 for the others; None if there is none. Medians and
    quantiles, so that a fill value moves nothing. Looks at 4096 rows at most."""
    data = np.asarray(data)
    taken = min(len(data), 4096)
    sample = np.sort(data[np.arange(taken) * len(data) // taken].astype(np.float64), axis=0)
    median, last = sample[taken // 2], taken - 1
    spread = np.zeros_like(median)
    for share in (4, 10, 100, np.inf):
        cut = min(int(taken / share), last // 2)
        spread = np.where(spread > 0, spread, sample[last - cut] - sample[cut])
    far = np.where(spread > 0, np.abs(median) > 512 * spread, np.abs(median) >= 2.0**24)
    return np.where(far, median, 0.0) if far.any() else None


class Model:
    """An invertible network with its optimizer; keyword arguments are the fields of Config.

    With condition="numbers" or "classes", and their count as condition_len, it is p(x | u). Calls then
    take `condition=`: an array of u (rows, condition_len), or one class a row, counted from 0.

    A function as `base` is a density of latents of your own: base(sample, z) gets a row's number in the
    batch, from 0, and its latents, and returns their log-densities and the derivatives of these, as
    arrays. What it raises arrives where the call was made, which has changed nothing.

    `params` is the one flat array that holds W_1, b_1, ..., then shift and scale. `origin` is None
    or one float64 a column, taken off all data and added to samples; it belongs to the model as
    params do, and may be set where they are.
    """

    def __init__(self, dim: int, layers: int, dtype: DTypeLike = np.float32, **settings: Any) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError("dtype is float32 or float64")
        self._base_function = None
        if callable(settings.get("base")):
            self._base_function = settings["base"]
            settings["base"] = "custom"
        self.config = Config()
        checked(library.relgrad_config_default(byref(self.config), dim, layers))
        for name, value in settings.items():
            if name not in (field for field, _ in Config._fields_):
                raise TypeError("Config has no field " + name)
            setattr(self.config, name, value)
        text = ctypes.create_string_buffer(256)
        status = library.relgrad_config_check(byref(self.config), text, len(text))
        if status != 0:
            raise RelgradError(status, text.value.decode())
        self._allocate()
        self._call("init", byref(self.config), *memory(self.state), *memory(self._workspace),
                   byref(self._context))

    def _allocate(self):
        """All memory of a model of this config."""
        self._suffix = "" if self.dtype == np.float32 else "_f64"
        self._context = c_void_p()
        self._parallel, self._pool, self._raised = None, None, None
        self._lock = threading.RLock()
        self._base = self._base_fn(self._base_function) if self._base_function else None
        self.sizes = Sizes()
        self._call("query_sizes", byref(self.config), byref(self.sizes))
        s = self.sizes
        # They may lie anywhere; aligned they are read faster.
        self.params = aligned(s.params_len * np.dtype(self.dtype).itemsize).view(self.dtype)
        self.state, self._workspace = aligned(s.state_bytes), aligned(s.workspace_bytes)
        self._scratch = aligned(max(s.start_bytes, s.refresh_bytes))
        self._factorization = None
        self.origin = None

    def __getstate__(self) -> dict[str, Any]:
        """What pickles and copies hold; threads are not among it."""
        return {"dtype": self.dtype.str, "base": self._base_function,
                "config": {name: getattr(self.config, name) for name, _ in Config._fields_[1:]},
                "params": self.params.copy(), "state": self.state.copy(), "origin": self.origin}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.dtype, self._base_function = np.dtype(kept["dtype"]), kept["base"]
        self.config = Config(**kept["config"])
        self._allocate()
        self.origin = kept["origin"]
        self.restore(kept["params"], kept["state"])

    def restore(self, params: np.ndarray, state: np.ndarray) -> None:
        """Takes up copies of `params` and `state`: the same steps follow as followed there."""
        self.params[:], self.state[:] = params, state
        self._factorization = None
        self._call("attach", byref(self.config), *memory(self.state), *memory(self._workspace),
                   byref(self._context))
        self._run_on(self._parallel, self._pool)

    def start(self, how: str = "orthogonal", seed: int = 0, data: ArrayLike | None = None,
              ridge: float = 1e-6) -> None:
        """Starts the parameters: weights "orthogonal", "identity", or of independent "uniform" or "normal"
        entries of variance 1 / (3 D) and 1 / D; "whitened", "standardized" and "aligned" look at data, never at
        conditions. A float32 model gets the origin of data that are not float32."""
        if data is None:
            self._start(how, seed)
            if how in ("uniform", "normal"):
                self.refresh()
            return
        if self.dtype == np.float32 and np.asarray(data).dtype != np.float32:
            self.origin = origin_of(data)
        self._start(how, seed, self._centred(data), ridge)

    def _start(self, how, seed, data=None, ridge=1e-6):
        which = STARTS.index(how)
        self._factorization = None
        if data is None:
            self._params("params_init", which, seed)
        else:
            self._params("params_init_data", byref(self._batch(data)), which, seed, ridge,
                         *memory(self._scratch[:self.sizes.start_bytes]))

    def set_parallel(self, threads: int, pool: concurrent.futures.Executor | None = None) -> None:
        """Calls run their work in parts, as many as keep `threads` (1 to 64) busy, on `pool`, an
        executor of threads, by default one of the model's own; 1 for the calling thread alone.
        Results are the same bits."""
        pool = pool or concurrent.futures.ThreadPoolExecutor(max(threads, 1))
        self._run_on((_parallel_for(pool), threads), None)

    @contextlib.contextmanager
    def threads(self, count: int | None) -> Iterator[None]:
        """Calls within a `with` block run on so many threads of the library's own, -1 for one a
        processor. Results are the same bits. Of several threads of Python, one is in such a block at a
        time."""
        with self._lock, pool_of(count) as pool:
            before = self._parallel, self._pool
            self._run_on(None, pool)
            try:
                yield
            finally:
                self._run_on(*before)

    def _run_on(self, parallel, pool):
        """Calls run by a function and a number of threads, or on a pool, or on the calling thread alone."""
        if parallel:
            self._call("set_parallel", self._context, parallel[0], None, parallel[1])
        else:
            self._call("set_pool", self._context, pool)
        self._parallel, self._pool = parallel, pool  # C holds it from here on

    def step(self, batch: ArrayLike, rate: float, weights: ArrayLike | None = None,
             condition: ArrayLike | None = None) -> Report:
        """One ascent step on at most max_batch rows."""
        return self._step(self._centred(batch), rate, weights, condition)

    def _step(self, batch, rate, weights=None, condition=None):
        report = Report()
        self._factorization = None
        self._params("step", byref(self._batch(batch, weights, condition)), rate, byref(report))
        return report

    def gradient(self, batch: ArrayLike, weights: ArrayLike | None = None,
                 condition: ArrayLike | None = None) -> np.ndarray:
        """The ascent direction on a batch, laid out as params without shift and scale."""
        out = np.empty(self.sizes.gradient_len, self.dtype)
        batch = self._batch(self._centred(batch), weights, condition)
        self._params("gradient", byref(batch), *numbers(out), None)
        return out

    def fit(self, data: ArrayLike, rate: float, epochs: int = 1, seed: int = 0,
            condition: ArrayLike | None = None) -> list[float]:
        """Steps on max_batch rows at a time in random order; the mean log-likelihood that the
        steps of each epoch saw."""
        data = self._centred(data)
        condition = self._condition(condition, len(data))
        random = np.random.default_rng(seed)
        curve = []
        for _ in range(epochs):
            order = random.permutation(len(data))
            total = 0.0
            for at in range(0, len(data), self.config.max_batch):
                rows = order[at:at + self.config.max_batch]
                given = None if condition is None else condition[rows]
                report = self._step(data[rows], rate, condition=given)
                total += report.mean_log_likelihood * len(rows)
            curve.append(total / len(data))
        return curve

    def refresh(self) -> RefreshReport:
        """Makes the log-determinants exact, after params have been changed or read."""
        report = RefreshReport()
        self._factorization = None
        self._params("refresh", *memory(self._scratch[:self.sizes.refresh_bytes]), byref(report))
        return report

    def log_likelihood(self, x: ArrayLike, condition: ArrayLike | None = None) -> np.ndarray:
        """log p of every row, in nats."""
        return self._log_likelihood(self._centred(x), condition)

    def _log_likelihood(self, x, condition=None):
        out = np.empty(len(x))
        self._chunks("log_likelihood", x, condition, out)
        return out

    def input_gradient(self, x: ArrayLike, condition: ArrayLike | None = None) -> np.ndarray:
        """The derivatives of log p by the features of every row, for samplers."""
        x = self._centred(x)
        out = np.empty((len(x), self.config.dim), self.dtype)
        self._chunks("input_gradient", x, condition, out, None, 0)
        return out

    def forward(self, x: ArrayLike, condition: ArrayLike | None = None) -> np.ndarray:
        """The latents of every row. They need a condition only where layers depend on it."""
        x = self._centred(x)
        out = np.empty((len(x), self.config.dim), self.dtype)
        self._chunks("forward", x, condition, out)
        return out

    def inverse(self, z: ArrayLike, condition: ArrayLike | None = None) -> np.ndarray:
        """The data of every row of latents; float64 if there is an origin."""
        z = self._rows(z)
        condition = self._condition(condition, len(z))
        x = np.empty_like(z)
        factorization = self._factorized()
        for rows in self._parts(len(z)):
            part, out = z[rows], x[rows]
            self._params("inverse_given", *factorization, *numbers(part), len(part),
                         *_given(condition, rows), *numbers(out), None)
        return self._placed(x)

    def sample(self, rows: int | None = None, seed: int = 0, first_row: int = 0,
               condition: ArrayLike | None = None) -> np.ndarray:
        """Samples number first_row to first_row + rows of those that belong to the seed, which are
        the same everywhere; one for each condition where there are conditions."""
        if rows is None:
            rows = len(condition)
        condition = self._condition(condition, rows)
        x = np.empty((rows, self.config.dim), self.dtype)
        factorization = self._factorized()
        for part in self._parts(rows):
            out = x[part]
            self._params("sample_given", *factorization, seed, first_row + part.start, len(out),
                         *_given(condition, part), *numbers(out), None)
        return self._placed(x)

    @property
    def steps(self) -> int:
        out = c_uint64()
        self._call("steps", self._context, byref(out))
        return out.value

    @property
    def log_det(self) -> tuple[float, int]:
        """The log-determinant as last known, and the steps since it was exact."""
        value, age = c_double(), c_uint64()
        self._call("log_det", self._context, byref(value), byref(age))
        return value.value, age.value

    def _params(self, name, *rest):
        self._call(name, self._context, *numbers(self.params), *rest)

    def _call(self, name, *arguments):
        function = getattr(library, "relgrad_" + name + self._suffix)
        with _uninterrupted() if self._parallel else contextlib.nullcontext():
            status = function(*arguments)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        self._check(status)

    def _base_fn(self, base):
        """A density of Python's as C calls it. What it raises must not pass through C."""
        def evaluate(_, sample, z, log_density, score, dim):
            try:
                z, *out = (np.ctypeslib.as_array(p, (dim,)) for p in (z, log_density, score))
                for to, values in zip(out, base(sample, z.copy())):
                    to[:] = values
            except BaseException as raised:
                self._raised = raised
                return 1
            return 0
        return BASE_FN[self.dtype](evaluate)

    def _parts(self, rows):
        """Slices of at most max_batch rows."""
        most = self.config.max_batch
        return (slice(at, min(at + most, rows)) for at in range(0, rows, most))

    def _check(self, status):
        checked(status, self._context, self._suffix)

    def _rows(self, x):
        x = np.ascontiguousarray(x, self.dtype)
        if x.ndim != 2 or x.shape[1] != self.config.dim:
            raise ValueError("data are (rows, %d)" % self.config.dim)
        return x

    def _centred(self, x):
        """Data as the network sees them."""
        if self.origin is not None:
            x = np.asarray(x, np.float64) - self.origin
        return self._rows(x)

    def _placed(self, x):
        """The way back of _centred."""
        return x if self.origin is None else x + self.origin

    def _condition(self, condition, rows):
        """Conditions as C reads them: one row each, of the model's type."""
        if condition is None:
            return None
        condition = np.asarray(condition)
        if condition.shape[:1] != (rows,):
            raise ValueError("one condition a row")
        condition = np.ascontiguousarray(condition.reshape(rows, int(np.prod(condition.shape[1:]))),
                                         self.dtype)
        classes = self.config.condition == CHOICES["condition"].index("classes")
        width = 1 if classes else self.config.condition_len
        if self.config.condition and condition.shape[1] != width:
            raise ValueError("conditions are (rows, %d)" % width)
        return condition

    def _batch(self, x, weights=None, condition=None):
        x = self._rows(x)
        batch = Batch(x=x.ctypes.data, rows=len(x))
        batch.keep = [x]  # the arrays live as long as the structure that points to them
        if weights is not None:
            weights = np.ascontiguousarray(weights, self.dtype)
            if weights.shape != (len(x),):
                raise ValueError("one weight a row")
            batch.weights = weights.ctypes.data
            batch.keep.append(weights)
        condition = self._condition(condition, len(x))
        if condition is not None:
            batch.condition = condition.ctypes.data
            batch.keep.append(condition)
        if self._base is not None:
            batch.base = ctypes.cast(self._base, c_void_p)
        return batch

    def _chunks(self, name, x, condition, out, *rest):
        condition = self._condition(condition, len(x))
        for rows in self._parts(len(x)):
            given = None if condition is None else condition[rows]
            self._params(name, byref(self._batch(x[rows], None, given)), *numbers(out[rows]), *rest)

    def _factorized(self):
        if self.config.track_inverse:
            return None, 0
        if self._factorization is None:
            factorization = aligned(self.sizes.factorization_bytes)
            self._params("factorize", *memory(factorization))
            self._factorization = factorization
        return memory(self._factorization)


def _given(condition, rows):
    return (None, 0) if condition is None else numbers(condition[rows])
