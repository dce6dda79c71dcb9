"""Training runs, as `relgrad train` has them: epochs in random order, a schedule of rates, the average of the
parameters, the best of them on held-out rows, and a way back from divergence."""

from __future__ import annotations

import dataclasses
from typing import Callable, NamedTuple

import numpy as np

from ._library import DECAYS, RelgradError, Schedule, schedule_rate
from .model import Model

# Statuses of steps that a smaller rate may avoid: diverged, crossing, non-finite parameters, singular.
_DIVERGED = (-42, -41, -31, -40)
# Rows of training data that decide whether a run diverges.
_PROBE = 512
# Steps between two that the average takes in.
_EVERY = 10
_MOST_ROLL_BACKS = 30


class Epoch(NamedTuple):
    """What an epoch came to; likelihoods are means a row, in nats."""

    epoch: int  # from 1
    steps: int  # of the whole run
    train: float  # log-likelihood that the steps saw
    validation: float | None  # log-likelihood of the held-out rows, of the average of the parameters
    is_best: bool  # whether that is the best so far


@dataclasses.dataclass
class Rows:
    """Rows as a model takes them."""

    x: np.ndarray
    weights: np.ndarray | None = None
    condition: np.ndarray | None = None
    constant: tuple[np.ndarray, np.ndarray] | None = None  # columns that get noise, and how much

    def __len__(self) -> int:
        return len(self.x)

    def of(self, rows: np.ndarray) -> Rows:
        """Some of them."""
        weights = None if self.weights is None else self.weights[rows]
        condition = None if self.condition is None else self.condition[rows]
        return Rows(self.x[rows], weights, condition, self.constant)

    def batch(self, rows: np.ndarray, random: np.random.Generator) -> Rows:
        """Some of them, with noise where a column is constant: a density of its own would have no bound."""
        batch = self.of(rows)
        if self.constant is not None:
            columns, deviations = self.constant
            batch.x[:, columns] += deviations * random.normal(size=(len(rows), len(columns)))
        return batch

    def mean_log_likelihood(self, model: Model) -> float:
        """Under a model whose log-determinants are exact."""
        return float(np.average(model._log_likelihood(self.x, self.condition), weights=self.weights))


@dataclasses.dataclass
class Plan:
    """What a run is to do."""

    epochs: int
    batch: int
    rate: float
    warmup: int
    decay: str
    average: float | None = None
    patience: int | None = None
    guard: float = 0.25
    seed: int = 1
    shuffle: bool = True

    def schedule(self, rows: int) -> Schedule:
        """Of a run on so many rows."""
        steps = -(-rows // self.batch)
        return Schedule(decay=DECAYS.index(self.decay), rate=self.rate, warmup=self.warmup,
                        total=max(steps * self.epochs, 1), every=steps, factor=1.0)


def one_pass(model: Model, data: Rows, plan: Plan, number: int, rate: Callable[[int], float],
             after: Callable[[bool], None] = lambda is_last: None) -> float:
    """Steps on all rows in the order of pass `number`; the mean log-likelihood that they saw."""
    random = np.random.default_rng([plan.seed, number])
    order = random.permutation(len(data)) if plan.shuffle else np.arange(len(data))
    total, weight = 0.0, 0.0
    for at in range(0, len(order), plan.batch):
        batch = data.batch(order[at:at + plan.batch], random)
        report = model._step(batch.x, rate(model.steps), batch.weights, batch.condition)
        of_batch = len(batch) if batch.weights is None else float(batch.weights.sum())
        total, weight = total + report.mean_log_likelihood * of_batch, weight + of_batch
        after(at + plan.batch >= len(order))
    return total / weight


def run(model: Model, data: Rows, validation: Rows | None, plan: Plan,
        observe: Callable[[Epoch], bool]) -> None:
    """Trains for as long as `observe` says so after an epoch. The model then is the best on validation, or
    without that the average, or the last."""
    schedule, first = plan.schedule(len(data)), model.steps
    average = _Average(plan.average, model.params)
    probe = data.of(np.arange(min(len(data), _PROBE)) * len(data) // min(len(data), _PROBE))
    good = model.params.copy(), model.state.copy()
    best, best_value, best_epoch, reference = None, -np.inf, 0, -np.inf
    epoch, factor, roll_backs, goes_on = 0, 1.0, 0, True
    while goes_on and epoch < plan.epochs:
        try:
            train = one_pass(model, data, plan, epoch,
                             lambda step: factor * schedule_rate(schedule, step - first),
                             lambda is_last: average.see(model.steps, is_last, model.params))
            model.refresh()
            value = probe.mean_log_likelihood(model)
            diverged = not value >= reference - plan.guard * model.config.dim
        except RelgradError as error:
            if error.status not in _DIVERGED:
                raise
            diverged = True
        if diverged:
            roll_backs, factor = roll_backs + 1, factor / 2
            if roll_backs > _MOST_ROLL_BACKS:
                raise RelgradError(_DIVERGED[0], "the run diverges at every rate that was tried, down to %g: "
                                                 "look at the data" % (plan.rate * factor))
            model.restore(*good)
            average.begin(model.params)
            continue
        epoch, reference = epoch + 1, max(reference, value)
        good[0][:], good[1][:] = model.params, model.state
        held_out, is_best = None, False
        if validation is not None:
            held_out = _validate(model, validation, average)
            is_best = held_out > best_value
            if is_best:
                best = (average.values if average.taken else model.params).copy()
                best_value, best_epoch = held_out, epoch
        goes_on = observe(Epoch(epoch, model.steps, train, held_out, is_best))
        if plan.patience is not None and best is not None and epoch >= best_epoch + plan.patience:
            goes_on = False
    if best is None and average.taken:
        best = average.values
    if best is not None:
        last = model.params.copy()
        model.params[:] = best
        try:
            model.refresh()
        except RelgradError:  # no model
            model.params[:] = last
    model.refresh()


def _validate(model: Model, rows: Rows, average: _Average) -> float:
    """Of the average; minus infinity where that is no model, as between two steps of which one has turned
    an axis round, or where a row is beyond all numbers."""
    own = model.params.copy()
    try:
        if average.taken:
            model.params[:] = average.values
            model.refresh()
        return rows.mean_log_likelihood(model)
    except RelgradError as error:
        if error.status not in _DIVERGED:
            raise
        return -np.inf
    finally:
        model.params[:] = own
        model.refresh()


class _Average:
    """The mean of the parameters over about the last `share` of the steps: the newest of t counts
    1 / (share t), which is polynomial-decay averaging (Shamir and Zhang 2013)."""

    def __init__(self, share: float | None, params: np.ndarray) -> None:
        self.share, self.taken = share, 0
        self.values = params.copy() if share else params

    def see(self, step: int, is_last: bool, params: np.ndarray) -> None:
        """The parameters after a step, which may be an epoch's last."""
        if self.share and (is_last or step % _EVERY == 0):
            self.taken += 1
            newest = 1 / (self.share * self.taken)
            if newest >= 1:
                self.values[:] = params
            else:
                self.values += self.values.dtype.type(newest) * (params - self.values)

    def begin(self, params: np.ndarray) -> None:
        """Begins again with these."""
        if self.share:
            self.taken = 1
            self.values[:] = params
