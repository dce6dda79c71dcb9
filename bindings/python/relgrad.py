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
import inspect
import os
import signal
import threading
import warnings
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
    "density": ("extended", "super", "sub", "sech", "logistic"),
}
KINDS = ("super", "sub")
STOPS = ("converged", "iterations", "precision")
STARTS = ("orthogonal", "identity", "whitened", "standardized", "aligned")


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


_Task = ctypes.CFUNCTYPE(None, c_void_p, c_size_t)
_ParallelFor = ctypes.CFUNCTYPE(None, c_void_p, _Task, c_void_p, c_size_t)
_BASE_FN = {np.dtype(dtype): ctypes.CFUNCTYPE(c_int32, c_void_p, c_size_t, *[POINTER(number)] * 3, c_size_t)
            for dtype, number in ((np.float32, ctypes.c_float), (np.float64, c_double))}


class RelgradError(ValueError):
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
    library.relgrad_ica_default.argtypes = (p, word)
    for suffix in ("", "_f64"):
        getattr(library, "relgrad_ica_fit" + suffix).argtypes = (p, p, n, p, p, p, p, p, p)
    library.relgrad_pool_new.argtypes = (word, p)
    library.relgrad_pool_free.argtypes = (p,)
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


class ICA:
    """Linear ICA by maximum likelihood, with the interface of scikit-learn's FastICA.

    n_components: how many to look for, among as many principal components; None for one a feature.
    density: of the sources: "extended" takes each for peaked or flat as the data have it.
    orthogonal: whether sources are kept uncorrelated, as FastICA and Picard-O do.
    restarts: random starts, of which the likeliest solution is kept; two or more show how stable it is.
    max_iter, tol: iterations of a start, and the largest element of the gradient that counts as 0.
    random_state: seed of the starts. n_jobs: threads; the bits do not depend on them.

    After fit: components_ (components, features) unmixes, mixing_ (features, components) mixes,
    mean_, and for each component explained_variance_ratio_, kinds_ ("super" or "sub"), kurtosis_,
    gaussian_ (it could be a normal one: two of these stay mixed), stability_; log_likelihood_ in nats
    a row, gradient_norm_ (0 at a maximum), n_iter_, stop_. Sources have variance 1, the one that
    explains most comes first, in each column of mixing_ the largest element is positive.
    """

    def __init__(self, n_components=None, *, density="extended", orthogonal=False, restarts=1,
                 max_iter=500, tol=1e-7, random_state=None, n_jobs=1):
        self.n_components, self.density, self.orthogonal = n_components, density, orthogonal
        self.restarts, self.max_iter, self.tol = restarts, max_iter, tol
        self.random_state, self.n_jobs = random_state, n_jobs

    def get_params(self, deep=True):
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params):
        for name, value in params.items():
            if name not in self._names():
                raise ValueError("ICA has no parameter %s, only %s" % (name, ", ".join(self._names())))
            setattr(self, name, value)
        return self

    @classmethod
    def _names(cls):
        return [name for name in inspect.signature(cls).parameters]

    def __repr__(self):
        return "ICA(%s)" % ", ".join("%s=%r" % pair for pair in self.get_params().items())

    def fit(self, X, y=None):
        """Finds the components of rows of X; y is ignored."""
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        x = self._rows(X, least=2)
        rows, features = x.shape
        settings = IcaSettings()
        _checked(_library.relgrad_ica_default(byref(settings), features))
        given = {"components": self.n_components or 0, "density": self.density,
                 "orthogonal": bool(self.orthogonal), "restarts": self.restarts,
                 "iterations": self.max_iter, "seed": self._seed(), "tolerance": self.tol}
        for name, value in given.items():
            setattr(settings, name, value)
        m = settings.components or features
        unmixing, mixing = np.empty((m, features)), np.empty((features, m))
        mean, each, report = np.empty(features), (Component * m)(), IcaReport()
        each[0].struct_size = ctypes.sizeof(Component)
        fit = getattr(_library, "relgrad_ica_fit" + ("" if x.dtype == np.float32 else "_f64"))
        with _pool(self.n_jobs) as pool:
            _checked(fit(byref(settings), x.ctypes.data, rows, pool, unmixing.ctypes.data,
                         mixing.ctypes.data, mean.ctypes.data, each, byref(report)))
        self.components_, self.mixing_, self.mean_ = unmixing, mixing, mean
        self.explained_variance_ratio_ = np.array([one.explained for one in each])
        self.kurtosis_ = np.array([one.kurtosis for one in each])
        self.gaussian_ = np.array([one.gaussian == 1 for one in each])
        self.kinds_ = [KINDS[one.kind] for one in each]
        self.stability_ = None if self.restarts < 2 else np.array([one.stability for one in each])
        self.log_likelihood_ = None if m < features else report.log_likelihood
        self.gradient_norm_, self.n_iter_ = report.gradient_norm, report.iterations
        self.stop_, self.n_features_in_ = STOPS[report.stop], features
        if self.stop_ == "iterations":
            warnings.warn("ICA did not converge in max_iter = %d iterations: its gradient is %.1e"
                          % (self.max_iter, self.gradient_norm_), RuntimeWarning, stacklevel=2)
        return self

    def transform(self, X):
        """The sources of rows."""
        return (self._rows(X, self.n_features_in_) - self.mean_) @ self.components_.T

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)

    def inverse_transform(self, S):
        """The rows of sources; what n_components left out stays out."""
        return self._rows(S, self.components_.shape[0]) @ self.mixing_.T + self.mean_

    def __sklearn_tags__(self):
        from sklearn.utils import Tags, TargetTags, TransformerTags
        return Tags(estimator_type=None, target_tags=TargetTags(required=False),
                    transformer_tags=TransformerTags(preserves_dtype=[]))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "components_")

    def get_feature_names_out(self, input_features=None):
        return np.array(["ica%d" % i for i in range(len(self.components_))], dtype=object)

    def _rows(self, x, width=None, least=1):
        """Data as C reads them, or an error in the words that scikit-learn's users know."""
        if hasattr(x, "toarray"):
            raise TypeError("sparse data are not supported: pass x.toarray()")
        x = np.asarray(x)
        if np.iscomplexobj(x):
            raise ValueError("Complex data not supported")
        x = np.ascontiguousarray(x, np.float32 if x.dtype == np.float32 else np.float64)
        if x.ndim != 2:
            raise ValueError("Reshape your data: rows of features are needed, not shape %s" % (x.shape,))
        for count, what, needed in zip(x.shape, ("sample", "feature"), (least, 1)):
            if count < needed:
                raise ValueError("%d %s(s) (shape=%s) while a minimum of %d is required."
                                 % (count, what, x.shape, needed))
        if width is not None and x.shape[1] != width:
            raise ValueError("X has %d features, but ICA is expecting %d features as input"
                             % (x.shape[1], width))
        if not np.isfinite(x).all():
            raise ValueError("data contain NaN or infinity")
        return x

    def _seed(self):
        if self.random_state is None:
            return 1
        if isinstance(self.random_state, (np.random.RandomState, np.random.Generator)):
            return int(self.random_state.bytes(4).hex(), 16)
        return self.random_state


@contextlib.contextmanager
def _pool(threads):
    """Threads of the library's own, for a call; -1 for one a processor, None for the calling one."""
    threads = min(os.cpu_count() or 1, 64) if threads == -1 else threads or 1
    pool = c_void_p()
    if threads != 1:
        _checked(_library.relgrad_pool_new(threads, byref(pool)))
    try:
        yield pool
    finally:
        _library.relgrad_pool_free(pool)


def _memory(array):
    return array.ctypes.data, array.nbytes


def _array(array):
    return array.ctypes.data, array.size


def _given(condition, rows):
    return (None, 0) if condition is None else _array(condition[rows])
