"""relgrad through its C ABI: NumPy arrays in and out, no compile step.

A Model works in memory that NumPy owns; a batch is a C-contiguous array (rows, dim) of the
model's type and is not copied. Weights are (output, input). Errors are RelgradError, with the
text that says what is wrong and what is allowed.

float32 has 24 bits: a column of time stamps would lose its digits. A float32 model that starts from
data in float64 (or integers) therefore keeps an `origin`, taken off in float64 before numbers are
narrowed; see origin_of.

The shared library is RELGRAD_LIBRARY if that is set, else the librelgrad of the system.
"""

import concurrent.futures
import contextlib
import ctypes
import ctypes.util
import os
import signal
import threading
from ctypes import POINTER, byref, c_double, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

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
}
STARTS = ("orthogonal", "identity", "whitened", "standardized", "aligned")


class _Sized(ctypes.Structure):
    """A structure whose first field is its size, so that later versions can append fields."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class Config(_Sized):
    """relgrad_config; names of choices may be assigned where C has an enumeration."""

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

    def __setattr__(self, name, value):
        if isinstance(value, str):
            value = CHOICES[name].index(value)
        super().__setattr__(name, value)


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


class Alarm(_Sized):
    """Anomalies of a stream: a threshold on log-likelihoods that a promised share `rate` of the rows
    falls below, also after process and model have changed. It catches up with a change within about
    `memory` rows, by default 20 / rate. Score a row, see() its log-likelihood, then learn from it."""

    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("rate", c_double),
                ("memory", c_double), ("rows", c_uint64), ("raised", c_uint64),
                *((name, c_double) for name in ("threshold", "mean", "spread"))]

    def __init__(self, rate, memory=None):
        super().__init__()
        memory = 20 / max(rate, 1e-9) if memory is None else memory
        _checked(_library.relgrad_alarm_start(byref(self), rate, memory))

    def see(self, log_p):
        """Whether a row with this log-likelihood is an anomaly."""
        raised = c_int32()
        _checked(_library.relgrad_alarm_see(byref(self), log_p, byref(raised)))
        return raised.value == 1


_Task = ctypes.CFUNCTYPE(None, c_void_p, c_size_t)
_ParallelFor = ctypes.CFUNCTYPE(None, c_void_p, _Task, c_void_p, c_size_t)
_BASE_FN = {np.dtype(dtype): ctypes.CFUNCTYPE(c_int32, c_void_p, c_size_t, *[POINTER(number)] * 3, c_size_t)
            for dtype, number in ((np.float32, ctypes.c_float), (np.float64, c_double))}


class RelgradError(Exception):
    """A refused call; `status` is the C function's."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def _load():
    name = os.environ.get("RELGRAD_LIBRARY") or ctypes.util.find_library("relgrad")
    library = ctypes.CDLL(name or "librelgrad.so.%d" % ABI_VERSION)
    p, n, word = c_void_p, c_size_t, c_uint32
    arguments = {
        "query_sizes": (p, p), "init": (p, p, n, p, n, p), "attach": (p, p, n, p, n, p),
        "message": (p, p, n), "params_init": (p, p, n, word, c_uint64),
        "params_init_data": (p, p, n, p, word, c_uint64, c_double, p, n),
        "refresh": (p, p, n, p, n, p), "log_det": (p, p, p), "steps": (p, p),
        "set_parallel": (p, _ParallelFor, p, word),
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
    if library.relgrad_abi_check(ABI_VERSION) != 0:
        raise ImportError("librelgrad has another ABI than version %d" % ABI_VERSION)
    return library


_library = _load()
version = _library.relgrad_version_string().decode()


def _checked(status, context=None, suffix=""):
    """Raises what a refused call left as its text: with its context, or with this thread."""
    if status == 0:
        return
    text = ctypes.create_string_buffer(256)
    for of in (context, None):
        if not text.value:
            getattr(_library, "relgrad_message" + suffix)(of, text, len(text))
    raise RelgradError(status, (text.value or _library.relgrad_status_string(status)).decode())


def _aligned(size):
    """Zeroed bytes at a multiple of ALIGNMENT."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start:start + size]


def _parallel_for(pool):
    def run_parts(_, run, task, count):
        parts = []
        try:
            for i in range(count):
                parts.append(pool.submit(run, task, i))
        finally:  # a part that has begun needs the task, which is gone when this returns
            concurrent.futures.wait(parts)
    return _ParallelFor(run_parts)


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


def origin_of(data):
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

    def __init__(self, dim, layers, dtype=np.float32, **settings):
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError("dtype is float32 or float64")
        self._suffix = "" if self.dtype == np.float32 else "_f64"
        self._context = None
        self._parallel = None
        self._base, self._raised = None, None
        if callable(settings.get("base")):
            self._base = self._base_fn(settings["base"])
            settings["base"] = "custom"
        self.config = Config()
        self._check(_library.relgrad_config_default(byref(self.config), dim, layers))
        for name, value in settings.items():
            if name not in (field for field, _ in Config._fields_):
                raise TypeError("Config has no field " + name)
            setattr(self.config, name, value)
        text = ctypes.create_string_buffer(256)
        status = _library.relgrad_config_check(byref(self.config), text, len(text))
        if status != 0:
            raise RelgradError(status, text.value.decode())
        self.sizes = Sizes()
        self._call("query_sizes", byref(self.config), byref(self.sizes))
        s = self.sizes
        # They may lie anywhere; aligned they are read faster.
        self.params = _aligned(s.params_len * np.dtype(self.dtype).itemsize).view(self.dtype)
        self.state, self._workspace = _aligned(s.state_bytes), _aligned(s.workspace_bytes)
        self._scratch = _aligned(max(s.start_bytes, s.refresh_bytes))
        self._factorization = None
        self.origin = None
        context = c_void_p()
        self._call("init", byref(self.config), *_memory(self.state), *_memory(self._workspace),
                   byref(context))
        self._context = context

    def start(self, how="orthogonal", seed=0, data=None, ridge=1e-6):
        """Starts the parameters; "whitened", "standardized" and "aligned" look at data, never at
        conditions. A float32 model gets the origin of data that are not float32."""
        which = STARTS.index(how)
        self._factorization = None
        if data is None:
            self._params("params_init", which, seed)
        else:
            if self.dtype == np.float32 and np.asarray(data).dtype != np.float32:
                self.origin = origin_of(data)
            batch = self._batch(self._centred(data))
            self._params("params_init_data", byref(batch), which, seed, ridge,
                         *_memory(self._scratch[:self.sizes.start_bytes]))

    def set_parallel(self, threads, pool=None):
        """Calls run their work in parts, as many as keep `threads` (1 to 64) busy, on `pool`, an
        executor of threads, by default one of the model's own; 1 for the calling thread alone.
        Results are the same bits."""
        pool = pool or concurrent.futures.ThreadPoolExecutor(max(threads, 1))
        parallel = _parallel_for(pool)
        self._call("set_parallel", self._context, parallel, None, threads)
        self._parallel = parallel  # C holds it from here on

    def step(self, batch, rate, weights=None, condition=None):
        """One ascent step on at most max_batch rows."""
        return self._step(self._centred(batch), rate, weights, condition)

    def _step(self, batch, rate, weights=None, condition=None):
        report = Report()
        self._factorization = None
        self._params("step", byref(self._batch(batch, weights, condition)), rate, byref(report))
        return report

    def gradient(self, batch, weights=None, condition=None):
        """The ascent direction on a batch, laid out as params without shift and scale."""
        out = np.empty(self.sizes.gradient_len, self.dtype)
        batch = self._batch(self._centred(batch), weights, condition)
        self._params("gradient", byref(batch), *_array(out), None)
        return out

    def fit(self, data, rate, epochs=1, seed=0, condition=None):
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

    def refresh(self):
        """Makes the log-determinants exact, after params have been changed or read."""
        report = RefreshReport()
        self._factorization = None
        self._params("refresh", *_memory(self._scratch[:self.sizes.refresh_bytes]), byref(report))
        return report

    def log_likelihood(self, x, condition=None):
        """log p of every row, in nats."""
        x = self._centred(x)
        out = np.empty(len(x))
        self._chunks("log_likelihood", x, condition, out)
        return out

    def input_gradient(self, x, condition=None):
        """The derivatives of log p by the features of every row, for samplers."""
        x = self._centred(x)
        out = np.empty((len(x), self.config.dim), self.dtype)
        self._chunks("input_gradient", x, condition, out, None, 0)
        return out

    def forward(self, x, condition=None):
        """The latents of every row. They need a condition only where layers depend on it."""
        x = self._centred(x)
        out = np.empty((len(x), self.config.dim), self.dtype)
        self._chunks("forward", x, condition, out)
        return out

    def inverse(self, z, condition=None):
        """The data of every row of latents; float64 if there is an origin."""
        z = self._rows(z)
        condition = self._condition(condition, len(z))
        x = np.empty_like(z)
        factorization = self._factorized()
        for rows in self._parts(len(z)):
            part, out = z[rows], x[rows]
            self._params("inverse_given", *factorization, *_array(part), len(part),
                         *_given(condition, rows), *_array(out), None)
        return self._placed(x)

    def sample(self, rows=None, seed=0, first_row=0, condition=None):
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
                         *_given(condition, part), *_array(out), None)
        return self._placed(x)

    @property
    def steps(self):
        out = c_uint64()
        self._call("steps", self._context, byref(out))
        return out.value

    @property
    def log_det(self):
        """The log-determinant as last known, and the steps since it was exact."""
        value, age = c_double(), c_uint64()
        self._call("log_det", self._context, byref(value), byref(age))
        return value.value, age.value

    def _params(self, name, *rest):
        self._call(name, self._context, *_array(self.params), *rest)

    def _call(self, name, *arguments):
        function = getattr(_library, "relgrad_" + name + self._suffix)
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
        return _BASE_FN[self.dtype](evaluate)

    def _parts(self, rows):
        """Slices of at most max_batch rows."""
        most = self.config.max_batch
        return (slice(at, min(at + most, rows)) for at in range(0, rows, most))

    def _check(self, status):
        _checked(status, self._context, self._suffix)

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
            self._params(name, byref(self._batch(x[rows], None, given)), *_array(out[rows]), *rest)

    def _factorized(self):
        if self.config.track_inverse:
            return None, 0
        if self._factorization is None:
            memory = _aligned(self.sizes.factorization_bytes)
            self._params("factorize", *_memory(memory))
            self._factorization = memory
        return _memory(self._factorization)


def _memory(array):
    return array.ctypes.data, array.nbytes


def _array(array):
    return array.ctypes.data, array.size


def _given(condition, rows):
    return (None, 0) if condition is None else _array(condition[rows])
