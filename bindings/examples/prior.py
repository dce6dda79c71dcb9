"""A density learned from samples as the prior of Bayes' rule: a noisy sum of the features is observed, and
Langevin steps with a Metropolis test, which use the density's gradient, draw from the posterior. Weighing
samples of the prior gives the same mean."""

import numpy as np
import relgrad

random = np.random.default_rng(0)
t = random.normal(size=(4000, 2))
flow = relgrad.Flow(layers=8, epochs=20).fit(np.stack([t[:, 0], np.exp(t[:, 0]) + 0.5 * t[:, 1]], axis=1))
observed, noise, step = 4.0, 0.5, 0.05


def log_posterior(x):
    """Up to a constant, with its gradient, of every row."""
    residual = (observed - x.sum(1)) / noise**2
    return (flow.score_samples(x) - 0.5 * noise**2 * residual**2,
            flow.input_gradient(x) + residual[:, None])


def log_proposal(to, x, gradient):
    return -((to - x - step * gradient) ** 2).sum(1) / (4 * step)


chains = flow.sample(500, random_state=1)
log_p, gradient = log_posterior(chains)
kept, accepted = [], 0
for i in range(400):
    moved = chains + step * gradient + np.sqrt(2 * step) * random.normal(size=chains.shape)
    new_log_p, new_gradient = log_posterior(moved)
    ratio = (new_log_p - log_p + log_proposal(chains, moved, new_gradient) - log_proposal(moved, chains, gradient))
    takes = np.log(random.uniform(size=len(chains))) < ratio
    chains[takes], log_p[takes], gradient[takes] = moved[takes], new_log_p[takes], new_gradient[takes]
    accepted += takes.mean() / 400
    if i >= 100:
        kept.append(chains.copy())

prior = flow.sample(200_000, random_state=2)
weights = np.exp(-0.5 * ((observed - prior.sum(1)) / noise) ** 2)
by_weights = weights @ prior / weights.sum()
by_steps = np.concatenate(kept).mean(0)
print("posterior mean by Langevin steps   %6.3f %6.3f   (%.0f %% accepted)" % (*by_steps, 100 * accepted))
print("posterior mean by weighted samples %6.3f %6.3f" % tuple(by_weights))
assert np.abs(by_steps - by_weights).max() < 0.1
