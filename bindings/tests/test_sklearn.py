"""What scikit-learn asks of estimators, and where its own FastICA stands."""

import warnings

import numpy as np
import relgrad
from sklearn.base import clone
from sklearn.decomposition import FastICA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

warnings.simplefilter("ignore")
check_estimator(relgrad.ICA(), on_skip=None)
check_estimator(relgrad.ICA(n_components=1, orthogonal=True, restarts=2), on_skip=None)

random = np.random.default_rng(0)
sources = np.concatenate([random.laplace(size=(3000, 3)), random.uniform(-1, 1, (3000, 3))], 1)
x = sources @ random.normal(size=(6, 6)).T
ours, theirs = relgrad.ICA(orthogonal=True).fit(x), FastICA(whiten="unit-variance", random_state=0).fit(x)
agreement = np.abs(np.corrcoef(ours.transform(x).T, theirs.transform(x).T)[:6, 6:])
assert (agreement.max(1) > 0.99).all() and (agreement.max(0) > 0.99).all(), agreement
s = make_pipeline(StandardScaler(), clone(ours)).fit_transform(x)
assert (np.abs(np.corrcoef(s.T, sources.T)[:6, 6:]).max(1) > 0.99).all()
print("ok: scikit-learn")
