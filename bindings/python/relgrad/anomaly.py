"""Anomalies: a threshold on log-likelihoods with a promised rate of false alarms."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._estimator import Estimator, seed_of
from .conditions import one_a_row
from .flow import Flow


class AnomalyDetector(Estimator):
    """Anomalies: rows that a density finds too unlikely.

    A part of the rows is held out of the density's training and sets the threshold (split conformal
    prediction). A new row from the same source is then called an anomaly with a probability of at most
    false_alarm_rate, however good the density is. Anomalies among the rows of fit lower the threshold: false
    alarms stay rare, and more anomalies are missed.

    Parameters
    ----------
    flow : Flow or None
        The density, with its parameters; None: the defaults.
    false_alarm_rate : float
        The promise, above 0 and below 1. It needs 1 / false_alarm_rate - 1 held-out rows.
    calibration_fraction : float
        The share of the rows that is held out: more if the promise needs more, up to half of the rows.
    random_state : int, generator or None
        Seed of the split, and of the density where flow is None; None is 1.

    Attributes
    ----------
    flow_ : Flow
    offset_ : float
        The log-density, in nats, below which a row is an anomaly.
    false_alarm_rate_ : float
        What is promised, with so many rows.
    decision_scores_, threshold_, labels_
        As in PyOD: minus the log-density of each row of fit, minus offset_, 1 for anomalies and 0.
    n_features_in_ : int
    feature_names_in_ : array of str
        Only for data frames whose columns are named.
    """

    flow_: Flow
    offset_: float
    false_alarm_rate_: float

    def __init__(self, flow: Flow | None = None, *, false_alarm_rate: float = 0.1,
                 calibration_fraction: float = 0.25, random_state: Any = None) -> None:
        self.flow, self.false_alarm_rate = flow, false_alarm_rate
        self.calibration_fraction, self.random_state = calibration_fraction, random_state

    def fit(self, X: ArrayLike, y: Any = None, *, conditions: ArrayLike | None = None) -> AnomalyDetector:
        """Learns a density from some rows of X and its threshold from the others; y is ignored."""
        for name in ("false_alarm_rate", "calibration_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError("%s: %r; must be above 0 and below 1" % (name, getattr(self, name)))
        x = self._fit_rows(X, least=3)
        seed = seed_of(self.random_state)
        needed = math.ceil(1 / self.false_alarm_rate * (1 - 1e-12)) - 1
        count = max(round(len(x) * self.calibration_fraction), min(needed, len(x) // 2))
        count = min(count, len(x) - 2)
        order = np.random.default_rng(seed).permutation(len(x))
        held_out, chosen = np.sort(order[:count]), np.sort(order[count:])
        given = None if conditions is None else one_a_row(conditions, len(x))
        flow = (Flow(random_state=seed) if self.flow is None
                else type(self.flow)(**self.flow.get_params(deep=False)))
        self.flow_ = flow.fit(x[chosen], conditions=None if given is None else given[chosen])
        if hasattr(self, "feature_names_in_"):
            self.flow_.feature_names_in_ = self.feature_names_in_
        scores = self.flow_._scores(x, given)
        self._calibrate(np.sort(scores[held_out]))
        self.decision_scores_, self.threshold_ = -scores, -self.offset_
        self.labels_ = (scores < self.offset_).astype(int)
        return self

    def _calibrate(self, ordinary: np.ndarray) -> None:
        """Of n + 1 exchangeable rows each rank is equally likely: a new one is below the k-th of n with a
        probability of k / (n + 1)."""
        # A product that is a whole number but for rounding, as 0.29 times 100, counts as one.
        rank = math.floor(self.false_alarm_rate * (len(ordinary) + 1) * (1 + 1e-12))
        if rank == 0:
            rank = 1
            warnings.warn("false_alarm_rate: %r; %d held-out rows promise no rate below %.3g: fit on more rows"
                          % (self.false_alarm_rate, len(ordinary), 1 / (len(ordinary) + 1)), UserWarning,
                          stacklevel=3)
        if ordinary[rank - 1] == -np.inf:
            raise ValueError("X: %d held-out rows are too far away to compute with, as many as may be taken for "
                             "anomalies: look at the data" % np.isneginf(ordinary).sum())
        self._ordinary = ordinary
        self.offset_, self.false_alarm_rate_ = float(ordinary[rank - 1]), rank / (len(ordinary) + 1)

    def score_samples(self, X: ArrayLike, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """log p of every row, in nats; minus infinity for rows that are too far away to compute with."""
        x = self._known_rows(X)
        return self.flow_._scores(x, conditions)

    def decision_function(self, X: ArrayLike, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """score_samples less offset_: below 0 for anomalies."""
        return self.score_samples(X, conditions=conditions) - self.offset_

    def predict(self, X: ArrayLike, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """-1 for anomalies, 1 for all other rows."""
        return np.where(self.decision_function(X, conditions=conditions) < 0, -1, 1)

    def fit_predict(self, X: ArrayLike, y: Any = None, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """predict of the rows of fit, most of which the density has seen."""
        return self.fit(X, conditions=conditions).predict(X, conditions=conditions)

    def p_values(self, X: ArrayLike, *, conditions: ArrayLike | None = None) -> np.ndarray:
        """The probability that a new row from the same source is as unlikely as each row, or more."""
        scores = self.score_samples(X, conditions=conditions)
        return (np.searchsorted(self._ordinary, scores, side="right") + 1) / (len(self._ordinary) + 1)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def __sklearn_tags__(self):
        from sklearn.utils import Tags, TargetTags
        return Tags(estimator_type="outlier_detector", target_tags=TargetTags(required=False))
