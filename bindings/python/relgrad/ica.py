"""Linear independent component analysis."""

from __future__ import annotations

import ctypes
import warnings
from ctypes import byref
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._estimator import Estimator, seed_of
from ._library import KINDS, STOPS, Component, IcaReport, IcaSettings, checked, library, pool_of


class ICA(Estimator):
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

    def __init__(self, n_components: int | None = None, *, density: str = "extended",
                 orthogonal: bool = False, restarts: int = 1, max_iter: int = 500, tol: float = 1e-7,
                 random_state: Any = None, n_jobs: int | None = 1) -> None:
        self.n_components, self.density, self.orthogonal = n_components, density, orthogonal
        self.restarts, self.max_iter, self.tol = restarts, max_iter, tol
        self.random_state, self.n_jobs = random_state, n_jobs

    def fit(self, X: ArrayLike, y: Any = None) -> ICA:
        """Finds the components of rows of X; y is ignored."""
        x = self._fit_rows(X)
        rows, features = x.shape
        settings = IcaSettings()
        checked(library.relgrad_ica_default(byref(settings), features))
        given = {"components": self.n_components or 0, "density": self.density,
                 "orthogonal": bool(self.orthogonal), "restarts": self.restarts,
                 "iterations": self.max_iter, "seed": seed_of(self.random_state), "tolerance": self.tol}
        for name, value in given.items():
            setattr(settings, name, value)
        m = settings.components or features
        unmixing, mixing = np.empty((m, features)), np.empty((features, m))
        mean, each, report = np.empty(features), (Component * m)(), IcaReport()
        each[0].struct_size = ctypes.sizeof(Component)
        fit = getattr(library, "relgrad_ica_fit" + ("" if x.dtype == np.float32 else "_f64"))
        with pool_of(self.n_jobs) as pool:
            checked(fit(byref(settings), x.ctypes.data, rows, pool, unmixing.ctypes.data,
                        mixing.ctypes.data, mean.ctypes.data, each, byref(report)))
        self.components_, self.mixing_, self.mean_ = unmixing, mixing, mean
        self.explained_variance_ratio_ = np.array([one.explained for one in each])
        self.kurtosis_ = np.array([one.kurtosis for one in each])
        self.gaussian_ = np.array([one.gaussian == 1 for one in each])
        self.kinds_ = [KINDS[one.kind] for one in each]
        self.stability_ = None if self.restarts < 2 else np.array([one.stability for one in each])
        self.log_likelihood_ = None if m < features else report.log_likelihood
        self.gradient_norm_, self.n_iter_ = report.gradient_norm, report.iterations
        self.stop_ = STOPS[report.stop]
        if self.stop_ == "iterations":
            warnings.warn("ICA did not converge in max_iter = %d iterations: its gradient is %.1e"
                          % (self.max_iter, self.gradient_norm_), RuntimeWarning, stacklevel=2)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The sources of rows."""
        return (self._known_rows(X) - self.mean_) @ self.components_.T

    def fit_transform(self, X: ArrayLike, y: Any = None) -> np.ndarray:
        """The sources of the rows that it learns from."""
        return self.fit(X).transform(X)

    def inverse_transform(self, S: ArrayLike) -> np.ndarray:
        """The rows of sources; what n_components left out stays out."""
        self._check_fitted()
        return self._rows(S, self.components_.shape[0]) @ self.mixing_.T + self.mean_

    def __sklearn_tags__(self):
        from sklearn.utils import Tags, TargetTags, TransformerTags
        return Tags(estimator_type=None, target_tags=TargetTags(required=False),
                    transformer_tags=TransformerTags(preserves_dtype=[]))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "components_")

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """ica0, ica1, ..."""
        self._check_fitted()
        return np.array(["ica%d" % i for i in range(len(self.components_))], dtype=object)
