"""What scikit-learn asks of estimators, without a need for scikit-learn."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


class Estimator:
    """Parameters, names of features, and checks of data in the words that scikit-learn's users know.

    After fit there are n_features_in_ and, for data frames whose columns are named, feature_names_in_.
    """

    n_features_in_: int
    feature_names_in_: np.ndarray

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters of the constructor, with those of estimators among them as outer__inner."""
        params = {name: getattr(self, name) for name in self._names()}
        for name, value in list(params.items()):
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                params.update((name + "__" + inner, of) for inner, of in value.get_params().items())
        return params

    def set_params(self, **params: Any) -> Any:
        """Sets parameters by name."""
        inner: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            name, _, rest = key.partition("__")
            if name not in self._names():
                raise ValueError("%s has no parameter %s, only %s"
                                 % (type(self).__name__, name, ", ".join(self._names())))
            if rest:
                inner.setdefault(name, {})[rest] = value
            else:
                setattr(self, name, value)
        for name, of in inner.items():
            if not hasattr(getattr(self, name), "set_params"):
                raise ValueError("%s: %r has no parameters; pass an estimator to set %s"
                                 % (name, getattr(self, name), ", ".join(of)))
            getattr(self, name).set_params(**of)
        return self

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        values = self.get_params(deep=False).items()
        changed = ["%s=%r" % pair for pair in values if repr(defaults[pair[0]].default) != repr(pair[1])]
        return "%s(%s)" % (type(self).__name__, ", ".join(changed))

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise _not_fitted()("%s is not fitted: call fit first" % type(self).__name__)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    def _fit_rows(self, x: ArrayLike, least: int = 2) -> np.ndarray:
        """Data to learn from, whose names and width are kept."""
        rows = self._rows(x, least=least)
        names = _names_of(x)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.n_features_in_ = rows.shape[1]
        return rows

    def _known_rows(self, x: ArrayLike) -> np.ndarray:
        """Data of the features that fit saw."""
        self._check_fitted()
        given, known = _names_of(x), getattr(self, "feature_names_in_", None)
        own = type(self).__name__
        if given is not None and known is not None and list(given) != list(known):
            unseen = [name for name in given if name not in known]
            missing = [name for name in known if name not in given]
            raise ValueError("The feature names should match those that were passed during fit: %s"
                             % ("unseen %s, missing %s" % (unseen, missing) if unseen or missing
                                else "they must be in the same order, %s" % list(known)))
        if given is None and known is not None:
            warnings.warn("X does not have valid feature names, but %s was fitted with feature names" % own,
                          UserWarning, stacklevel=3)
        if given is not None and known is None:
            warnings.warn("X has feature names, but %s was fitted without feature names" % own,
                          UserWarning, stacklevel=3)
        return self._rows(x, self.n_features_in_)

    def _rows(self, x: ArrayLike, width: int | None = None, least: int = 1) -> np.ndarray:
        """Data as C reads them, float32 or float64."""
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
            raise ValueError("X has %d features, but %s is expecting %d features as input"
                             % (x.shape[1], type(self).__name__, width))
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            raise ValueError("data contain NaN or infinity: %s in row %d, column %d (from 0)"
                             % (x[row, column], row, column))
        return x


def seed_of(random_state: Any, otherwise: int = 1) -> int:
    """A seed: `otherwise` for None, a number itself, a draw of a generator."""
    if random_state is None:
        return otherwise
    if isinstance(random_state, (np.random.RandomState, np.random.Generator)):
        return int(random_state.bytes(4).hex(), 16)
    if not (isinstance(random_state, (int, np.integer)) and 0 <= random_state < 2**64):
        raise ValueError("random_state: %r; must be None, a whole number from 0 to 2^64 - 1, or a generator of "
                         "NumPy's" % (random_state,))
    return int(random_state)


def _names_of(x: Any) -> np.ndarray | None:
    """The columns' names of a data frame of pandas, polars and their like, if all are texts."""
    columns = getattr(x, "columns", None)
    if columns is None:
        return None
    names = list(columns)
    return np.array(names, dtype=object) if names and all(isinstance(n, str) for n in names) else None


class _NotFitted(ValueError, AttributeError):
    """An estimator is used before fit."""


def _not_fitted() -> type[Exception]:
    """scikit-learn's own error where it is installed."""
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return _NotFitted
    return NotFittedError
