"""What scikit-learn asks of estimators, its pipelines and searches, data frames, and where its own FastICA stands."""

import warnings

import numpy as np
import pandas
import polars
import relgrad
from sklearn.base import clone, is_outlier_detector
from sklearn.decomposition import FastICA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

warnings.simplefilter("ignore")
# scikit-learn expects the same of its own estimators that learn from random batches.
random_batches = {"check_sample_weight_equivalence_on_dense_data":
                  "batches are drawn at random: a row that is there twice falls into two of them"}
check_estimator(relgrad.ICA(), on_skip=None)
check_estimator(relgrad.ICA(n_components=1, orthogonal=True, restarts=2), on_skip=None)
check_estimator(relgrad.Flow(), on_skip=None, expected_failed_checks=random_batches)
check_estimator(relgrad.Flow(dtype="float64", optimizer="adam", validation_fraction=0.3, patience=3, epochs=10),
                on_skip=None, expected_failed_checks=random_batches)
check_estimator(relgrad.AnomalyDetector(), on_skip=None)
check_estimator(relgrad.AnomalyDetector(relgrad.Flow(epochs=5), false_alarm_rate=0.3), on_skip=None)

random = np.random.default_rng(0)
sources = np.concatenate([random.laplace(size=(3000, 3)), random.uniform(-1, 1, (3000, 3))], 1)
x = sources @ random.normal(size=(6, 6)).T
ours, theirs = relgrad.ICA(orthogonal=True).fit(x), FastICA(whiten="unit-variance", random_state=0).fit(x)
agreement = np.abs(np.corrcoef(ours.transform(x).T, theirs.transform(x).T)[:6, 6:])
assert (agreement.max(1) > 0.99).all() and (agreement.max(0) > 0.99).all(), agreement
s = make_pipeline(StandardScaler(), clone(ours)).fit_transform(x)
assert (np.abs(np.corrcoef(s.T, sources.T)[:6, 6:]).max(1) > 0.99).all()

# A density at the end of a pipeline, as a step of one, and in a search, which finds that one epoch is too few.
x = x[:300]
pipeline = make_pipeline(StandardScaler(), relgrad.Flow(epochs=10)).fit(x)
flow = relgrad.Flow(epochs=10).fit(x)
log_scale = np.log(pipeline[0].scale_).sum()
assert abs(pipeline.score(x) - log_scale - flow.score(x)) < 0.5
assert make_pipeline(relgrad.Flow(epochs=1), StandardScaler()).fit_transform(x).shape == x.shape
search = GridSearchCV(relgrad.Flow(), {"epochs": [1, 10], "layers": [1, 2]}, cv=3).fit(x)
assert search.best_params_["epochs"] == 10 and np.isfinite(search.cv_results_["mean_test_score"]).all()
search = GridSearchCV(relgrad.AnomalyDetector(relgrad.Flow()), {"flow__epochs": [1, 3]},
                      scoring=lambda detector, x, y=None: detector.score_samples(x).mean()).fit(x)
assert search.best_params_ == {"flow__epochs": 3} and is_outlier_detector(search.best_estimator_)

# Frames.
names = ["a", "b", "c", "d", "e", "f"]
for frame, flipped in ((pandas.DataFrame(x, columns=names), pandas.DataFrame(x, columns=names[::-1])),
                       (polars.DataFrame(x, schema=names), polars.DataFrame(x, schema=names[::-1]))):
    for estimator in (relgrad.Flow(epochs=10), relgrad.AnomalyDetector(relgrad.Flow(epochs=1)), relgrad.ICA()):
        estimator.fit(frame)
        assert list(estimator.feature_names_in_) == names
        method = getattr(estimator, "score_samples", None) or estimator.transform
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            method(frame)
        try:
            method(flipped)
        except ValueError as error:
            assert "feature names" in str(error)
        else:
            raise AssertionError("another order of columns")
    assert (relgrad.Flow(epochs=10).fit(frame).model_.params == flow.model_.params).all()
try:
    relgrad.Flow().score(x)
except NotFittedError:
    pass
print("ok: scikit-learn")
