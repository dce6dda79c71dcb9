"""What is observed with each row, as a model reads it."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


class Conditions:
    """How observations become conditions: numbers are standardised, labels become classes, segments of
    rows in the order of time are classes that are numbered from 1."""

    def __init__(self, kind: str, *, shift: np.ndarray | None = None, scale: np.ndarray | None = None,
                 labels: list[str] | None = None, segments: int | None = None) -> None:
        self.kind, self.shift, self.scale, self.labels, self.segments = kind, shift, scale, labels, segments
        self.columns: str | None = None  # as a file says them; kept

    @classmethod
    def learn(cls, u: ArrayLike, kind: str) -> Conditions:
        """Of the rows of training."""
        if kind == "classes":
            return cls(kind, labels=_in_order(_labels(u)))
        numbers = _numbers(u)
        # Summed row by row, as the program does: the same bits.
        mean = (numbers / len(numbers)).cumsum(0)[-1]
        variance = ((numbers - mean) * ((numbers - mean) / len(numbers))).cumsum(0)[-1]
        for column in np.flatnonzero((variance == 0) | (numbers == numbers[:1]).all(0)):
            raise ValueError("conditions: column %d is %r in all rows; must vary: nothing can depend on one "
                             "value" % (column, float(numbers[0, column])))
        return cls(kind, shift=mean, scale=1 / np.sqrt(variance))

    @classmethod
    def of_file(cls, kind: str, count: int, metadata: dict[str, str],
                standard: dict[str, np.ndarray]) -> Conditions:
        """What a file's metadata say, which are taken out, and the numbers that standardise."""
        labels, segments = metadata.pop("condition.labels", None), metadata.pop("condition.segments", None)
        if kind == "numbers":
            if len(standard) == 1:
                raise ValueError("condition.shift and condition.scale must both be there, or none")
            own = cls(kind, **(standard or {"shift": np.zeros(count), "scale": np.ones(count)}))
        elif labels is None and segments is not None:
            if segments != str(count):
                raise ValueError("condition.segments is %s; must be %d" % (segments, count))
            own = cls(kind, segments=count)
        else:
            known = json.loads(labels) if labels is not None else [str(k) for k in range(count)]
            if not isinstance(known, list) or len({str(one) for one in known}) != count or len(known) != count:
                raise ValueError("condition.labels must be %d texts, each once" % count)
            own = cls(kind, labels=[str(one) for one in known])
        own.columns = metadata.pop("condition.columns", None)
        return own

    def metadata(self) -> dict[str, str]:
        """What a file says of it."""
        said = {}
        if self.labels is not None:
            said["condition.labels"] = json.dumps(self.labels, ensure_ascii=False, separators=(",", ":"))
        if self.segments is not None:
            said["condition.segments"] = str(self.segments)
        if self.columns is not None:
            said["condition.columns"] = self.columns
        return said

    def tensors(self) -> dict[str, np.ndarray]:
        """The numbers that standardise, by name."""
        return {"shift": self.shift, "scale": self.scale} if self.kind == "numbers" else {}

    @property
    def count(self) -> int:
        """Numbers of a row, or classes."""
        return len(self.shift) if self.kind == "numbers" else self.segments or len(self.labels)

    def codes(self, u: ArrayLike, rows: int) -> np.ndarray:
        """Conditions of `rows` rows as a Model takes them: (rows, count), or one class a row."""
        if self.kind == "numbers":
            numbers = _numbers(u)
            if numbers.shape != (rows, self.count):
                raise ValueError("conditions: shape %s; must be (%d, %d)" % (numbers.shape, rows, self.count))
            return (numbers - self.shift) * self.scale
        labels = _labels(u)
        if len(labels) != rows:
            raise ValueError("conditions: %d labels; must be one a row, %d" % (len(labels), rows))
        known = self.labels or [str(k) for k in range(1, self.segments + 1)]
        places = {label: place for place, label in enumerate(known)}
        for label in labels:
            if label not in places:
                raise ValueError("conditions: %r; must be one of %s, the labels of training"
                                 % (label, ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")))
        return np.array([places[label] for label in labels])


def one_a_row(u: ArrayLike, rows: int) -> np.ndarray:
    """As an array of so many rows."""
    u = np.asarray(u)
    if u.shape[:1] != (rows,):
        raise ValueError("conditions: shape %s; must be one a row, %d" % (u.shape, rows))
    return u


def _numbers(u: ArrayLike) -> np.ndarray:
    """(rows, width) in float64."""
    try:
        numbers = np.asarray(u, np.float64)
    except (TypeError, ValueError):
        raise ValueError('conditions must be numbers; condition="classes" takes labels') from None
    numbers = numbers.reshape(len(numbers), -1) if numbers.ndim else numbers.reshape(1, 1)
    if not np.isfinite(numbers).all():
        raise ValueError("conditions contain NaN or infinity")
    return numbers


def _labels(u: ArrayLike) -> list[str]:
    """Whole numbers and words as texts."""
    u = np.asarray(u)
    if u.ndim == 2 and u.shape[1] == 1:
        u = u[:, 0]
    if u.ndim != 1:
        raise ValueError("conditions: shape %s; classes are one column" % (u.shape,))
    return [_label(value) for value in u.tolist()]


def _label(value: Any) -> str:
    if isinstance(value, (bool, int)):
        return str(int(value))
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= 2**53:
            raise ValueError('conditions: %r; classes are whole numbers below 2^53, or words; '
                             'condition="numbers" takes numbers' % value)
        return str(int(value))
    if not str(value):
        raise ValueError("conditions: an empty text; must be a label")
    return str(value)


def _in_order(labels: list[str]) -> list[str]:
    """Each once: whole numbers in their order, words in that of the alphabet."""
    distinct = set(labels)
    is_number = all(re.fullmatch(r"-?[0-9]+", label) for label in distinct)
    return sorted(distinct, key=int if is_number else None)
