"""Posteriors of simulators: relgrad on two tasks of the benchmark of simulation-based inference.

Started by benches/simulators/run, which sets up what this needs. The tasks "two moons" and "SLCP" are those of sbibm
(Lueckmann et al. 2021, Benchmarking Simulation-Based Inference). Parameters theta are uniform on a box; relgrad learns
p(theta | x) from a given number of simulations, once for all x, as NPE does.

C2ST is the accuracy of a classifier that tells samples of the model from samples of the true posterior, as sbibm has
it: 0.5 if it cannot, 1 if it always can. Both tasks allow exact samples of the true posterior. log p is the mean of
log p(theta | x) on 10,000 pairs that the model has not seen; the priors have -1.39 and -8.96, the true posterior of two
moons 3.79. Seconds are processor time of training, one thread.

The same settings serve both tasks and all budgets. Theta goes through the normal quantile function, so that the prior
becomes a standard normal and samples stay in the box. The condition is made of x in standard units, its squares, and
the logarithms of the distances of its numbers from each other, all cut at 5 standard deviations. A tenth of the
simulations is held out; of the parameters seen in training those are kept that are best on it.

Observations are the ten of sbibm. Published figures are medians over them, from main_paper.csv in
github.com/sbi-benchmark/results, folder benchmarking_sbi. NPE, like relgrad, learns once for all x. NLE learns the
likelihood and samples by MCMC. SNPE and SNLE simulate anew for each observation.
"""
import argparse
import collections
import math
import os
import statistics
import sys
import time

import numpy
import relgrad
from scipy.special import ndtr, ndtri
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from machine import machine
from records import publish, table_of

LAYERS, BATCH, RATE, WARMUP = 16, 128, 0.008, 200
# Passes over the simulations, unless they come to more steps than this.
EPOCHS, STEPS, LOOKS = 200, 24000, 40
FRESH = 10000


def moons(random, theta):
    angle = random.uniform(-math.pi / 2, math.pi / 2, len(theta))
    radius = random.normal(0.1, 0.01, len(theta))
    along, across = (theta[:, 0] + theta[:, 1]) / math.sqrt(2), (theta[:, 1] - theta[:, 0]) / math.sqrt(2)
    return numpy.stack([radius * numpy.cos(angle) + 0.25 - abs(along), radius * numpy.sin(angle) + across], 1)


def moons_posterior(random, x, n):
    """x is a point of one arc less a function of theta, which is two linear maps of equal volume: the points of arcs
    that lead from x back into the box, by either map, are samples."""
    arc = moons(random, numpy.zeros((n, 2)))
    along, across = arc[:, 0] - x[0], x[1] - arc[:, 1]
    inside = along >= 0
    along *= random.choice([-1, 1], n)
    return (numpy.stack([along - across, along + across], 1) / math.sqrt(2))[inside]


def slcp(random, theta):
    z = random.normal(size=(len(theta), 4, 2))
    return points(theta[:, None], z).reshape(len(theta), 8)


def points(theta, z):
    """Of the normal that theta stands for: the last axis holds two coordinates."""
    rho = numpy.tanh(theta[..., 4])
    second = rho * z[..., 0] + numpy.sqrt(1 - rho**2) * z[..., 1]
    return theta[..., :2] + theta[..., 2:4]**2 * numpy.stack([z[..., 0], second], -1)


def slcp_posterior(random, x, n):
    """The likelihood depends on the points' mean and their scatter A. Given the covariance, the mean of theta is normal
    about that of the points, with a quarter of it. Left is |S|^(-3/2) exp(-tr(S^-1 A) / 2), in two factors: of the
    first coordinate, a gamma density of theta_3^-4; and of the second given the first, whose bound is that of three
    normal errors at their best variance. The first is drawn, the second is met by rejection from the box. Signs of
    theta_3 and theta_4 are free."""
    x = x.reshape(4, 2)
    mean = x.mean(0)
    scatter = (x - mean).T @ (x - mean)
    slope = scatter[0, 1] / scatter[0, 0]
    least = scatter[1, 1] - slope * scatter[0, 1]
    theta = random.uniform(-3, 3, (n, 5))
    theta[:, 2] = random.choice([-1, 1], n) * random.gamma(1.25, 2 / scatter[0, 0], n)**-0.25
    s, rho = theta[:, 2:4]**2, numpy.tanh(theta[:, 4])
    variance = s[:, 1]**2 * (1 - rho**2)
    errors = least + scatter[0, 0] * (rho * s[:, 1] / s[:, 0] - slope)**2
    accepted = 1.5 * numpy.log(least / 3 / variance) + 1.5 - errors / (2 * variance)
    theta = theta[numpy.log(random.uniform(size=n)) < accepted]
    theta[:, :2] = 0
    theta[:, :2] = mean + points(theta, random.normal(size=(len(theta), 2)) / 2)
    return theta


# The ten observations of sbibm.
TWO_MOONS_SEEN = numpy.array([
    (-0.6396706, 0.16234657), (-0.5676688, -0.33194834), (0.0030109584, -0.6457662), (-0.25049388, 0.633055),
    (-0.66463584, -0.42604533), (-0.12940255, 0.3873573), (0.19458583, 1.0400153), (0.13603824, 0.9160449),
    (-0.17962828, -0.5452459), (0.14563406, -1.170141),
])
SLCP_SEEN = numpy.array([
    (2.3718784, 0.49947417, 9.931435, 1.7136912, -10.436423, -1.9067793, -1.2343777, -0.09735),
    (-0.66452104, -2.9279308, -16.49147, 4.06107, 4.232153, -4.652277, -4.9924355, -1.5655216),
    (3.5023372, 5.254722, 8.685451, 9.995327, 0.40782332, -5.7111573, 10.605566, 12.695774),
    (-1.6371447, -0.037302777, -1.5622597, 0.031204943, -3.683134, 0.09953671, -1.7389069, 0.0309663),
    (-8.801672, 8.726709, -10.484016, 6.857725, -6.769688, 7.574161, 3.804308, 2.7593615),
    (0.069512725, 4.0657325, -1.1986864, 0.94379723, -1.4434359, 0.02170819, -4.4811616, -4.26959),
    (-3.0776706, -1.2080946, 25.778881, -2.244017, -0.77473235, -1.5114331, 5.919487, -1.6953411),
    (1.2463324, -2.414371, -2.9786007, -2.3214335, -17.3002, -3.298883, -13.487199, -3.023044),
    (4.755368, -2.3791986, 3.5834174, -1.444761, 5.063205, -3.448882, 0.56577647, 1.3524654),
    (1.3710914, -2.39026, 1.8363019, -2.4391632, 2.013802, -3.2097385, 2.4036794, -3.0089793),
])
# Published: C2ST of NPE, SNPE, NLE and SNLE, by simulations.
Task = collections.namedtuple("Task", "dim bound simulate posterior seen published")
TASKS = dict(
    two_moons=Task(2, 1, moons, moons_posterior, TWO_MOONS_SEEN,
                   {1000: (0.715, 0.639, 0.789, 0.660), 10000: (0.608, 0.552, 0.693, 0.562),
                    100000: (0.542, 0.522, 0.641, 0.540)}),
    slcp=Task(5, 3, slcp, slcp_posterior, SLCP_SEEN,
              {1000: (0.973, 0.960, 0.954, 0.914), 10000: (0.907, 0.841, 0.756, 0.703),
               100000: (0.819, 0.670, 0.691, 0.566)}))
METHODS = ("NPE", "SNPE", "NLE", "SNLE")


def pairs(task, random, n):
    theta = random.uniform(-task.bound, task.bound, (n, task.dim))
    return theta, task.simulate(random, theta)


def truth(task, x, n):
    """Samples of the true posterior."""
    random, kept = numpy.random.default_rng(1), numpy.empty((0, task.dim))
    while len(kept) < n:
        drawn = task.posterior(random, x, 100000)
        kept = numpy.concatenate([kept, drawn[(abs(drawn) < task.bound).all(1)]])
    return kept[:n]


class Posterior:
    """p(theta | x), learned from pairs."""

    def __init__(self, task, theta, x, seed):
        self.task, self.seed = task, seed
        self.mean, self.spread = x.mean(0), x.std(0)
        expanded = self.expand(x)
        self.centre, self.scale = expanded.mean(0), expanded.std(0)
        u, z = self.condition(x), self.unbounded(theta)[0]
        self.model = relgrad.Model(task.dim, LAYERS, optimizer="adam", max_batch=BATCH, condition="numbers",
                                   condition_len=u.shape[1], conditioned="both")
        self.model.start("orthogonal", seed=seed + 1)
        held = len(z) // 10
        self.train(z[held:], u[held:], z[:held], u[:held])

    def expand(self, x):
        x = ((x - self.mean) / self.spread).clip(-5, 5)
        i, j = numpy.triu_indices(x.shape[1], 1)
        return numpy.concatenate([x, x**2, numpy.log(abs(x[:, i] - x[:, j]) + 0.01)], 1)

    def condition(self, x):
        return ((self.expand(x) - self.centre) / self.scale).clip(-5, 5)

    def unbounded(self, theta):
        """And the logarithm of how much it stretches there."""
        z = ndtri(theta / (2 * self.task.bound) + 0.5)
        return z, (z**2 / 2 + math.log(2 * math.pi) / 2 - math.log(2 * self.task.bound)).sum(1)

    def train(self, z, u, held_z, held_u):
        random = numpy.random.default_rng(self.seed)
        steps = min(STEPS, EPOCHS * len(z) // BATCH)
        best, at, order = -math.inf, 0, random.permutation(len(z))
        for step in range(steps):
            if at + BATCH > len(z):
                at, order = 0, random.permutation(len(z))
            rows, at = order[at:at + BATCH], at + BATCH
            rate = RATE * min(1, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / steps)) / 2
            self.model.step(z[rows], rate, condition=u[rows])
            if (step + 1) % (steps // LOOKS) == 0:
                self.model.refresh()
                seen = self.model.log_likelihood(held_z, condition=held_u).mean()
                if seen > best:
                    best, kept = seen, self.model.params.copy()
        self.model.params[:] = kept
        self.model.refresh()

    def log_p(self, theta, x):
        z, stretch = self.unbounded(theta)
        return self.model.log_likelihood(z, condition=self.condition(x)) + stretch

    def sample(self, x, n):
        u = numpy.repeat(self.condition(x[None]), n, 0)
        z = self.model.sample(seed=self.seed, condition=u).astype(float)
        return self.task.bound * (2 * ndtr(z) - 1)


def c2st(reference, samples):
    mean, spread = reference.mean(0), reference.std(0, ddof=1)
    data = (numpy.concatenate([reference, samples]) - mean) / spread
    width = 10 * data.shape[1]
    classifier = MLPClassifier(hidden_layer_sizes=(width, width), max_iter=10000, random_state=1)
    return cross_val_score(classifier, data, numpy.repeat([0, 1], [len(reference), len(samples)]),
                           cv=KFold(5, shuffle=True, random_state=1), n_jobs=-1).mean()


def markdown(results):
    groups = collections.defaultdict(list)
    for row in results["rows"]:
        groups[row["task"], row["simulations"]].append(row)
    seeds = sorted({row["seed"] for row in results["rows"]})
    lines = []
    for (task, simulations), rows in groups.items():
        scores = [row["c2st"] for row in rows]
        median = lambda key: statistics.median({row["seed"]: row[key] for row in rows}.values())
        lines.append([task, simulations, f"{statistics.median(scores):.3f}", f"{min(scores):.3f} to {max(scores):.3f}",
                      *(f"{score:.3f}" for score in TASKS[task].published.get(simulations, ())),
                      *[""] * (0 if simulations in TASKS[task].published else len(METHODS)),
                      f"{median('log_p'):.2f}", f"{median('processor_s'):.0f}"])
    head = ["task", "simulations", "C2ST, relgrad", "its range", *(f"{name}, published" for name in METHODS), "log p",
            "seconds"]
    return "\n\n".join([
        "# Posteriors of simulators", table_of(list(results["machine"]), [results["machine"].values()]),
        __doc__.split("\n\n", 1)[1].strip(),
        f"Medians over seeds ({' '.join(map(str, seeds))}) and {results['observations']} observations; C2ST of "
        f"{results['samples']} samples each.", table_of(head, lines)]) + "\n"


def main():
    numbers = lambda text: [int(n) for n in text.split(",")]
    p = argparse.ArgumentParser(prog="benches/simulators/run", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS))
    p.add_argument("--simulations", type=numbers, default=[1000, 10000, 100000])
    p.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    p.add_argument("--observations", type=int, default=10, help="the first of sbibm's")
    p.add_argument("--samples", type=int, default=10000, help="of each posterior, for C2ST")
    p.add_argument("--record", action="store_true", help="keep the results in benches/record")
    args = p.parse_args()
    rows = []
    for name in args.tasks:
        task = TASKS[name]
        known = [(x, truth(task, x, args.samples)) for x in task.seen[:args.observations]]
        for simulations in args.simulations:
            for seed in args.seeds:
                seen = pairs(task, numpy.random.default_rng([0, seed]), simulations)
                began = time.process_time()
                posterior = Posterior(task, *seen, seed)
                used = time.process_time() - began
                log_p = posterior.log_p(*pairs(task, numpy.random.default_rng([2, seed]), FRESH)).mean()
                for observation, (x, reference) in enumerate(known):
                    score = c2st(reference, posterior.sample(x, args.samples))
                    rows.append(dict(task=name, simulations=simulations, seed=seed, observation=observation + 1,
                                     c2st=score, log_p=log_p, processor_s=used))
                    print(f"{name}, {simulations} simulations, seed {seed}, observation {observation + 1}: "
                          f"C2ST {score:.3f}, log p {log_p:.2f}, {used:.0f} s", file=sys.stderr)
    results = dict(machine=machine(os.sched_getaffinity(0), ("scikit-learn", "numpy")), samples=args.samples,
                   observations=args.observations, rows=rows)
    publish(results, markdown(results), "simulators", args.record)


if __name__ == "__main__":
    main()
