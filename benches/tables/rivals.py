"""The densities relgrad is compared with. Each takes standardised rows of a training and a validation part, chooses what
it has to choose on validation (the mixture: by BIC), and gives the choice, its validation likelihood and a function that
scores rows."""
import copy
import warnings

import numpy
import torch
import zuko
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture


def gaussian(train, validation, seed):
    model = GaussianMixture(1, reg_covar=0).fit(train)
    return dict(), model.score(validation), model.score_samples


def mixture(train, validation, seed):
    """Up to ten normals of any kind of covariance, as many as BIC likes."""
    with warnings.catch_warnings():
        # With many components and few rows EM may not settle; BIC does not choose these.
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = [GaussianMixture(n, covariance_type=kind, n_init=3, random_state=seed).fit(train)
                  for kind in ("full", "tied", "diag") for n in range(1, 11) if n * 2 * (train.shape[1] + 1) <= len(train) or n == 1]
    model = min(models, key=lambda model: model.bic(train))
    return dict(components=model.n_components, kind=model.covariance_type), model.score(validation), model.score_samples


FLOWS = dict(GF=zuko.flows.GF, NSF=zuko.flows.NSF, MAF=zuko.flows.MAF)
# An epoch of a small table is a handful of steps; patience is counted in both.
EPOCHS, PATIENCE, PATIENT_STEPS = 5000, 10, 300


def flow(name, rate, train, validation, seed):
    """One of zuko's flows at its defaults; Adam at a constant rate, and the epoch that is best on validation."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    train, validation = (torch.tensor(rows, dtype=torch.float32) for rows in (train, validation))
    model = FLOWS[name](train.shape[1])
    adam = torch.optim.Adam(model.parameters(), lr=rate)
    batch = min(64 if len(train) < 10_000 else 256, len(train))
    steps = len(train) // batch
    patience = max(PATIENCE, PATIENT_STEPS // steps)

    def scores(rows):
        with torch.no_grad():
            return torch.cat([model().log_prob(part).double() for part in torch.as_tensor(rows).float().split(1024)]).numpy()

    best = (-numpy.inf, -1, copy.deepcopy(model.state_dict()))
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(train))[:steps * batch].split(batch):
            adam.zero_grad()
            (-model().log_prob(train[rows]).mean()).backward()
            adam.step()
        now = scores(validation).mean()
        if now > best[0]:
            best = (now, epoch, copy.deepcopy(model.state_dict()))
        # Also reached when likelihoods are no longer numbers.
        if epoch - best[1] >= patience:
            break
    model.load_state_dict(best[2])
    return dict(rate=rate, epoch=best[1] + 1), float(best[0]), scores
