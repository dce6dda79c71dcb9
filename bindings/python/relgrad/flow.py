"""Densities by invertible networks."""

from __future__ import annotations

import numbers
import os
import warnings
from typing import Any, Callable

import numpy as np
from numpy.typing import ArrayLike

from ._estimator import Estimator, seed_of
from ._library import CHOICES, DECAYS, STARTS, STARTS_FROM_DATA, RelgradError
from .conditions import Conditions, one_a_row
from .files import ModelFile, Tensor, activation_text, parse_activation
from .model import Model, origin_of
from .training import Epoch, Plan, Rows, one_pass, run

# Rows of a call that evaluates.
_EVALUATED = 256
_RATES = {"natural": 0.03, "adam": 0.003, "sgd": 0.01}


class Flow(Estimator):
    """A density that an invertible network learns by exact maximum likelihood.

    It has scikit-learn's interface and the defaults of `relgrad train`. Likelihoods are exact, and in nats.

    Parameters
    ----------
    layers : int
        Layers of the network.
    activation : str
        "tanh_mixture:K" (each unit learns a curve of K steps), "bend" (each unit learns where and how sharply it
        bends), "smooth_leaky_relu:A", "leaky_tanh:A,B" or "identity".
    final_activation : bool or None
        Whether the last layer has the activation too; None: if it is learned.
    base : {"normal", "sech", "logistic"}
        Density of the latents.
    bias : {"separate", "affine", "projected", "none"}
        How biases move.
    optimizer : {"natural", "adam", "sgd"}
    learning_rate : float or None
        None: 0.03 for natural, 0.003 for adam, 0.01 for sgd.
    schedule : {"cosine", "constant", "inverse"}
        What the rate does after the warm-up.
    warmup : int or None
        Steps of linear warm-up; None: those of an epoch, at most 100.
    batch_size : int or None
        Rows per step; None: a thirtieth of the rows, between 10 and 100.
    epochs : int
        Passes over the data.
    shuffle : bool
        Whether rows come in random order, another one in each pass.
    average : float or None
        The share of the steps so far over which parameters are averaged, 0 for no average; None: 0.1 for up to a
        million parameters.
    start : {"aligned", "whitened", "standardized", "orthogonal", "uniform", "normal"} or None
        Where training starts; None: aligned with tanh_mixture, otherwise whitened.
    condition : {"numbers", "classes"}
        What the `conditions` of fit are.
    conditioned : {"latents", "layers", "both"}
        Which parts of the model depend on them.
    validation_fraction : float or None
        The share of the rows, drawn at random, that is held out. The best model on them is kept.
    patience : int or None
        Stop after so many epochs without a better model on the held-out rows.
    dtype : {"float32", "float64"}
        Precision of the network. Data in float64 are centred in float64 where float32 would lose digits.
    random_state : int, generator or None
        Seed of the start, the order of rows and the split; None is 1.
    n_jobs : int or None
        Threads, -1 for one per processor. Results are the same bits.
    verbose : int
        1 prints a line per epoch.

    Attributes
    ----------
    model_ : Model
        The network, with its parameters.
    history_ : list of Epoch
        What each epoch came to.
    n_features_in_ : int
    feature_names_in_ : array of str
        Only for data frames whose columns are named.
    """

    model_: Model
    history_: list[Epoch]
    # Columns that get noise in training, with its deviations; metadata and tensors of a file, kept.
    _constant: tuple[np.ndarray, np.ndarray] | None
    _conditions: Conditions | None
    _beside: tuple[dict[str, str], dict[str, Tensor]]

    def __init__(self, layers: int = 2, *, activation: str = "tanh_mixture:4",
                 final_activation: bool | None = None, base: str = "normal", bias: str = "separate",
                 optimizer: str = "natural", learning_rate: float | None = None, schedule: str = "cosine",
                 warmup: int | None = None, batch_size: int | None = None, epochs: int = 60, shuffle: bool = True,
                 average: float | None = None, start: str | None = None, condition: str = "numbers",
                 conditioned: str = "both", validation_fraction: float | None = None,
                 patience: int | None = None, dtype: str = "float32", random_state: Any = None,
                 n_jobs: int | None = 1, verbose: int = 0) -> None:
        self.layers, self.activation, self.final_activation = layers, activation, final_activation
        self.base, self.bias, self.optimizer, self.learning_rate = base, bias, optimizer, learning_rate
        self.schedule, self.warmup, self.batch_size, self.epochs = schedule, warmup, batch_size, epochs
        self.shuffle, self.average, self.start = shuffle, average, start
        self.condition, self.conditioned = condition, conditioned
        self.validation_fraction, self.patience, self.dtype = validation_fraction, patience, dtype
        self.random_state, self.n_jobs, self.verbose = random_state, n_jobs, verbose

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None, *,
            conditions: ArrayLike | None = None,
            callback: Callable[[Epoch], bool | None] | None = None) -> Flow:
        """Learns the density of the rows of X.

        Parameters
        ----------
        X : array or data frame (rows, features)
        y : ignored
        sample_weight : array (rows,), at least 0
            A step maximises the weighted mean over its batch. Rows of weight 0 are left out. The start looks at
            all others alike.
        conditions : array (rows, width), or labels (rows,)
            What was observed with each row. The density then is p(x | conditions).
        callback : function of an Epoch
            Called after each epoch, when the flow is as the last step left it. It ends the fit, which keeps what
            was learned, by returning False.
        """
        self._check()
        x = self._fit_rows(X)
        seed = seed_of(self.random_state)
        weights = _weights(sample_weight, len(x))
        chosen, held_out = self._split(len(x) if weights is None else np.flatnonzero(weights), seed)
        rows = self._begin(x, weights, conditions, chosen, seed)
        data = rows if len(chosen) == len(x) else rows.of(chosen)
        validation = rows.of(held_out) if len(held_out) else None
        self._start(data, seed)
        plan = self._plan(len(data), seed)

        def observe(epoch: Epoch) -> bool:
            self.history_.append(epoch)
            if self.verbose:
                held_out = "" if epoch.validation is None else "  validation %.4f%s" % (
                    epoch.validation, " *" if epoch.is_best else "")
                print("epoch %d/%d  train %.4f%s" % (epoch.epoch, plan.epochs, epoch.train, held_out))
            return callback is None or callback(epoch) is not False

        try:
            with self.model_.threads(self.n_jobs):
                run(self.model_, data, validation, plan, observe)
        except BaseException:
            del self.history_
            raise
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None, *,
                    conditions: ArrayLike | None = None) -> Flow:
        """One pass over the rows of X at the learning rate, without a schedule or an average.

        The first call, unless there was a fit or load, starts from its rows: labels of conditions that it does
        not see are unknown later.
        """
        self._check()
        seed, begins = seed_of(self.random_state), not self.__sklearn_is_fitted__()
        x = self._fit_rows(X) if begins else self._known_rows(X)
        weights = _weights(sample_weight, len(x))
        chosen = np.arange(len(x)) if weights is None else np.flatnonzero(weights)
        if begins:
            data = self._begin(x, weights, conditions, chosen, seed).of(chosen)
            self._start(data, seed)
        else:
            data = self._model_rows(x, weights, conditions).of(chosen)
        plan = self._plan(len(data), seed)
        number = len(self.history_)
        with self.model_.threads(self.n_jobs):
            train = one_pass(self.model_, data, plan, number,
                             lambda step: plan.rate * min((step + 1) / max(plan.warmup, 1), 1.0))
            self.model_.refresh()
        self.history_.append(Epoch(number + 1, self.model_.steps, train, None, False))
        return self

    def score_samples(self, X: ArrayLike, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """log p of every row, in nats; minus infinity for rows that are too far away to compute with."""
        return self._scores(self._known_rows(X), conditions)

    def _scores(self, x: np.ndarray, conditions: ArrayLike | None) -> np.ndarray:
        with np.errstate(over="ignore"):
            x = self.model_._centred(x)
        given = self._given(conditions, len(x))
        out = np.full(len(x), -np.inf)
        with self.model_.threads(self.n_jobs):
            _score(self.model_, x, given, out, np.flatnonzero(np.isfinite(x).all(1)))
        return out

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None, *,
              conditions: ArrayLike | None = None) -> float:
        """The mean log-likelihood of the rows, in nats."""
        scores = self.score_samples(X, conditions=conditions)
        return float(np.average(scores, weights=_weights(sample_weight, len(scores))))

    def input_gradient(self, X: ArrayLike, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """The derivatives of log p by the features of every row, for samplers such as Langevin and HMC."""
        x = self._known_rows(X)
        with self.model_.threads(self.n_jobs):
            return self.model_.input_gradient(x, self._given(conditions, len(x))).astype(np.float64)

    def sample(self, n_samples: int | None = None, random_state: Any = None, *,
               conditions: ArrayLike | None = None) -> np.ndarray:
        """Samples (n_samples, features), by default one, or one for each of the conditions. random_state:
        None draws others in each call; a number draws those of `relgrad sample --seed`."""
        self._check_fitted()
        rows = n_samples if n_samples is not None else 1 if conditions is None else len(np.asarray(conditions))
        if rows < 1:
            raise ValueError("n_samples: %r; must be at least 1" % rows)
        seed = seed_of(random_state, int(np.random.default_rng().integers(2**63)))
        with self.model_.threads(self.n_jobs):
            return self.model_.sample(rows, seed, condition=self._given(conditions, rows)).astype(np.float64)

    def transform(self, X: ArrayLike, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """The latents of every row, which have the base's density; with conditions of latents, before these
        are taken off."""
        x = self._known_rows(X)
        needed = self._conditions is not None and self.model_.config.conditioned != 0
        given = self._given(conditions, len(x)) if needed or conditions is not None else None
        with self.model_.threads(self.n_jobs):
            return self.model_.forward(x, given).astype(np.float64)

    def fit_transform(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None, *,
                      conditions: ArrayLike | None = None) -> np.ndarray:
        """The latents of the rows that it learns from."""
        return self.fit(X, y, sample_weight, conditions=conditions).transform(X, conditions=conditions)

    def inverse_transform(self, Z: ArrayLike, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """The row of each row of latents."""
        self._check_fitted()
        z = self._rows(Z, self.n_features_in_)
        with self.model_.threads(self.n_jobs):
            return self.model_.inverse(z, self._given(conditions, len(z))).astype(np.float64)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the model as safetensors, which `relgrad eval`, `score` and `sample` read and load reads.
        The optimizer's state and the parameters of fit are not among it: pickles hold all."""
        self._check_fitted()
        names = getattr(self, "feature_names_in_", None)
        ModelFile(self.model_, None if names is None else list(names), self._conditions, *self._beside).write(path)

    @classmethod
    def load(cls, path: str | os.PathLike, **params: Any) -> Flow:
        """The model of a file that save or `relgrad train` wrote; `params` are those of the constructor that
        files do not hold, such as n_jobs."""
        flow = cls(**params)
        file = ModelFile.read(path, max(flow.batch_size or 0, _EVALUATED), optimizer=flow.optimizer)
        config = file.model.config
        own = {"layers": config.layers, "activation": activation_text(config),
               "final_activation": bool(config.final_activation), "dtype": file.model.dtype.name,
               **{name: CHOICES[name][getattr(config, name)] for name in ("base", "bias")}}
        if file.conditions is not None:
            own["condition"] = file.conditions.kind
            own["conditioned"] = CHOICES["conditioned"][config.conditioned]
        for name in own:
            if name in params:
                raise ValueError("%s: %r; the file says it: %r" % (name, params[name], own[name]))
        flow.set_params(**own)
        flow.model_, flow._conditions, flow._beside = file.model, file.conditions, (file.metadata, file.tensors)
        flow.history_, flow._constant, flow.n_features_in_ = [], None, config.dim
        if file.names is not None:
            flow.feature_names_in_ = np.array(file.names, dtype=object)
        return flow

    def _check(self) -> None:
        """Refuses parameters that are out of range, before anything is learned."""
        for name, allowed in (("optimizer", tuple(_RATES)), ("schedule", DECAYS[:2] + DECAYS[3:]),
                              ("condition", CHOICES["condition"][1:]), ("conditioned", CHOICES["conditioned"]),
                              ("base", CHOICES["base"][:3]), ("bias", CHOICES["bias"]),
                              ("start", (None, *(start for start in STARTS if start != "identity"))),
                              ("dtype", ("float32", "float64", np.float32, np.float64))):
            if getattr(self, name) not in allowed:
                raise ValueError("%s: %r; must be %s" % (name, getattr(self, name), _one_of(allowed)))
        for name, least in (("layers", 1), ("epochs", 1), ("batch_size", 1), ("warmup", 0), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, np.integer)) and value >= least):
                raise ValueError("%s: %r; must be a whole number, at least %d" % (name, value, least))
        if self.n_jobs not in (None, -1) and not (isinstance(self.n_jobs, int) and 1 <= self.n_jobs <= 64):
            raise ValueError("n_jobs: %r; must be -1, or 1 to 64" % (self.n_jobs,))
        for name, is_good, range_ in (
                ("learning_rate", lambda v: 0 < v < np.inf, "above 0"),
                ("average", lambda v: 0 <= v <= 1, "from 0 to 1"),
                ("validation_fraction", lambda v: 0 < v < 1, "above 0 and below 1")):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, numbers.Real) and is_good(value)):
                raise ValueError("%s: %r; must be %s" % (name, value, range_))
        if self.patience is not None and self.validation_fraction is None:
            raise ValueError("patience: %r; needs validation_fraction, rows to be held out" % self.patience)

    def _split(self, rows: int | np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows to learn from, and those that are held out: of so many, or of these."""
        order = np.random.default_rng(seed).permutation(rows)
        count = round(len(order) * (self.validation_fraction or 0))
        if self.validation_fraction is not None and (count < 1 or len(order) - count < 2):
            raise ValueError("validation_fraction: %r; must leave rows of %d on both sides"
                             % (self.validation_fraction, len(order)))
        return np.sort(order[count:]), np.sort(order[:count])

    def _plan(self, rows: int, seed: int) -> Plan:
        batch = self.batch_size or min(max(rows // 30, 10), 100)
        warmup = min(-(-rows // batch), 100) if self.warmup is None else self.warmup
        usual = 0.1 if self.model_.params.size <= 1_000_000 else 0.0
        average = usual if self.average is None else self.average
        rate = self.learning_rate or _RATES[CHOICES["optimizer"][self.model_.config.optimizer]]
        return Plan(self.epochs, batch, rate, warmup, self.schedule,
                    average or None, self.patience, seed=seed, shuffle=self.shuffle)

    def _begin(self, x: np.ndarray, weights: np.ndarray | None, conditions: ArrayLike | None,
               chosen: np.ndarray, seed: int) -> Rows:
        """Makes a model, with the origin and conditions of the chosen rows; all rows as it takes them."""
        if len(chosen) < 2:
            raise ValueError("%d sample(s) with a weight above 0; a minimum of 2 is required" % len(chosen))
        activation = parse_activation(self.activation)
        learns = activation["activation"] in ("tanh_mixture", "bend")
        settings: dict[str, Any] = {
            **activation, "final_activation": learns if self.final_activation is None else self.final_activation,
            "base": self.base, "bias": self.bias, "optimizer": self.optimizer, "input_transform": 1,
            "max_batch": max(self.batch_size or 0, _EVALUATED)}
        self._conditions, self._beside = None, ({}, {})
        if conditions is not None:
            self._conditions = Conditions.learn(one_a_row(conditions, len(x))[chosen], self.condition)
            settings.update(condition=self.condition, condition_len=self._conditions.count,
                            conditioned=self.conditioned)
        self.model_ = Model(x.shape[1], self.layers, self.dtype, **settings)
        if self.model_.dtype == np.float32 and x.dtype != np.float32:
            self.model_.origin = origin_of(x[chosen])
        self._constant = None
        return self._model_rows(x, weights, conditions)

    def _start(self, data: Rows, seed: int) -> None:
        """Looks at where the rows lie, before all steps."""
        usual = "aligned" if self.activation.startswith("tanh_mixture") else "whitened"
        start, x = self.start or usual, data.x
        self.model_._start(start, seed, x if start in STARTS_FROM_DATA else None)
        self.model_.refresh()
        self.history_ = []
        constant = np.flatnonzero((x == x[:1]).all(0))
        if len(constant):
            self._constant = data.constant = constant, np.where(x[0, constant] == 0, 1, np.abs(x[0, constant]))
            warnings.warn("constant: %s; training sees noise as large as the value there, which keeps the "
                          "density bounded; better leave them out"
                          % ", ".join(self._column(c) for c in constant), UserWarning, stacklevel=3)
        if len(x) <= x.shape[1]:
            warnings.warn("%d rows of %d features: they lie in a plane, and a density there has no bound; take "
                          "more rows or fewer features" % x.shape, UserWarning, stacklevel=3)

    def _model_rows(self, x: np.ndarray, weights: np.ndarray | None, conditions: ArrayLike | None) -> Rows:
        """All of them as the model takes them."""
        given = self.model_._condition(self._given(conditions, len(x)), len(x))
        weights = None if weights is None else weights.astype(self.model_.dtype)
        return Rows(self._narrowed(x), weights, given, self._constant)

    def _narrowed(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            narrow = self.model_._centred(x)
        if not np.isfinite(narrow).all():
            row, column = np.argwhere(~np.isfinite(narrow))[0]
            raise ValueError('%s: %r in row %d is beyond float32; take other units, or dtype="float64"'
                             % (self._column(column), float(x[row, column]), row))
        return narrow

    def _given(self, conditions: ArrayLike | None, rows: int) -> np.ndarray | None:
        """Conditions as the model takes them."""
        if self._conditions is None:
            if conditions is not None:
                raise ValueError("conditions: given; the model was fitted without")
            return None
        if conditions is None:
            raise ValueError("conditions: missing; the model was fitted with %s" % self._conditions.kind)
        return self._conditions.codes(conditions, rows)

    def _column(self, column: int | np.integer) -> str:
        names = getattr(self, "feature_names_in_", None)
        return "column %d" % column if names is None else "column %r" % names[column]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "history_")

    def __sklearn_tags__(self):
        from sklearn.utils import Tags, TargetTags, TransformerTags
        return Tags(estimator_type="density_estimator", target_tags=TargetTags(required=False),
                    transformer_tags=TransformerTags(preserves_dtype=[]))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """flow0, flow1, ..."""
        self._check_fitted()
        return np.array(["flow%d" % i for i in range(self.n_features_in_)], dtype=object)


def _score(model: Model, x: np.ndarray, given: np.ndarray | None, out: np.ndarray, rows: np.ndarray) -> None:
    """log p of these rows, in halves where the whole fails."""
    if not len(rows):
        return
    try:
        out[rows] = model._log_likelihood(x[rows], None if given is None else given[rows])
    except RelgradError as error:
        if error.status not in (-30, -42):  # numbers that overflow on the way
            raise
        if len(rows) > 1:
            half = len(rows) // 2
            _score(model, x, given, out, rows[:half])
            _score(model, x, given, out, rows[half:])


def _weights(weights: ArrayLike | None, rows: int) -> np.ndarray | None:
    if weights is None:
        return None
    weights = np.asarray(weights, np.float64)
    if weights.shape == ():
        weights = np.full(rows, float(weights))
    if weights.shape != (rows,):
        raise ValueError("sample_weight.shape == %s, expected %s!" % (weights.shape, (rows,)))
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError("sample_weight: weights must be finite, at least 0, and not all zero")
    return weights


def _one_of(allowed: tuple) -> str:
    return ", ".join(map(repr, allowed[:-1])) + " or %r" % (allowed[-1],)
