"""The installed package by itself: its library, its version, and that it learns, keeps and reads back."""

import importlib.metadata
import os
import pathlib
import pickle
import sys
import tempfile

import numpy as np
import relgrad

package = pathlib.Path(relgrad.__file__).parent
assert pathlib.Path(sys.prefix) in package.parents and "RELGRAD_LIBRARY" not in os.environ
assert relgrad._library.library._name == str(package / "librelgrad.so")
assert importlib.metadata.version("relgrad") == relgrad.version == relgrad.__version__
assert [name for name in importlib.metadata.requires("relgrad") if "extra" not in name] == ["numpy>=1.22"]
assert (package / "py.typed").exists() and (package / "LICENSE-MIT").exists()

x = np.random.default_rng(0).normal(size=(500, 3)) @ np.triu(np.ones((3, 3)))
flow = relgrad.Flow(epochs=10).fit(x)
assert abs(flow.score(x) + 1.5 * (1 + np.log(2 * np.pi))) < 0.3
with tempfile.TemporaryDirectory() as folder:
    flow.save(pathlib.Path(folder) / "m")
    again = relgrad.Flow.load(pathlib.Path(folder) / "m")
for same in (again, pickle.loads(pickle.dumps(flow))):
    np.testing.assert_array_equal(same.score_samples(x), flow.score_samples(x))
    np.testing.assert_array_equal(same.sample(5, random_state=1), flow.sample(5, random_state=1))
assert (relgrad.AnomalyDetector().fit(x).predict(x + 100) == -1).all()
assert relgrad.ICA().fit(x).transform(x).shape == x.shape
try:
    flow.set_params(epochs=1).fit(x * np.nan)
except ValueError as error:
    assert "NaN" in str(error)
print("ok: the wheel")
