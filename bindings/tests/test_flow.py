"""Flow and AnomalyDetector: densities against closed forms, the program's files and bits, what is refused."""

import concurrent.futures
import contextlib
import copy
import io
import os
import pathlib
import pickle
import subprocess
import tempfile
import unittest
import warnings

import numpy as np
import relgrad
from relgrad.files import ModelFile
from test_relgrad import moons

# The program `relgrad`, which reads and writes the same files.
PROGRAM = os.environ.get("RELGRAD_PROGRAM")


class Frame:
    """As much of a data frame as is looked at."""

    def __init__(self, values, columns):
        self.values, self.columns = values, columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


class FlowTests(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return pathlib.Path(self.folder.name) / name

    def test_a_density(self):
        x, test = moons(600, 1), moons(1000, 2)
        gaussian = -1 - np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(np.cov(x.T))[1]
        for dtype, small in (("float32", 1e-3), ("float64", 1e-9)):
            flow = relgrad.Flow(layers=6, epochs=20, dtype=dtype).fit(x)
            self.assertGreater(flow.score(test), gaussian + 0.2)
            self.assertEqual(flow.score(test), flow.score_samples(test).mean())
            np.testing.assert_allclose(flow.inverse_transform(flow.transform(test)), test, atol=small)
            self.assertEqual([epoch.epoch for epoch in flow.history_], list(range(1, 21)))
            samples = flow.sample(500, random_state=3)
            self.assertGreater(flow.score(samples), gaussian)
            np.testing.assert_array_equal(samples[:7], flow.sample(7, random_state=3))
            self.assertTrue((flow.sample(7) != flow.sample(7)).all())
        # Its integral, on a grid that holds nearly all of it.
        grid = np.stack(np.meshgrid(np.linspace(-4, 5, 300), np.linspace(-4, 4, 300)), -1).reshape(-1, 2)
        self.assertAlmostEqual(np.exp(flow.score_samples(grid)).mean() * 9 * 8, 1, delta=0.02)
        for i in range(2):
            step = 1e-6 * np.eye(2)[i]
            slope = (flow.score_samples(test + step) - flow.score_samples(test - step)) / 2e-6
            np.testing.assert_allclose(flow.input_gradient(test)[:, i], slope, rtol=1e-5, atol=1e-5)

    def test_bits_depend_on_the_seed_alone(self):
        x = moons(300, 1)
        first = relgrad.Flow(epochs=3).fit(x)
        for same in (relgrad.Flow(epochs=3, n_jobs=2), relgrad.Flow(epochs=3, random_state=1)):
            np.testing.assert_array_equal(same.fit(x).model_.params, first.model_.params)
        other = relgrad.Flow(epochs=3, random_state=2).fit(x)
        self.assertTrue((other.model_.params != first.model_.params).any())
        for settings in ({}, {"optimizer": "adam"}, {"optimizer": "sgd"}, {"schedule": "inverse"},
                         {"schedule": "constant", "average": 0}, {"activation": "smooth_leaky_relu"},
                         {"activation": "bend", "bias": "affine"}, {"base": "logistic", "start": "orthogonal"},
                         {"start": "uniform"}, {"start": "normal"}):
            self.assertTrue(np.isfinite(relgrad.Flow(epochs=2, **settings).fit(x).score(x)), settings)

    def test_weights(self):
        x = np.concatenate([moons(200, 1), moons(200, 2) + [50, 0]])
        weights = np.repeat([1.0, 0.0], 200)
        flow, few = relgrad.Flow(epochs=3).fit(x, sample_weight=weights), relgrad.Flow(epochs=3).fit(x[:200])
        np.testing.assert_array_equal(flow.model_.params, few.model_.params)
        normal = np.random.default_rng(1).normal(size=(2000, 1))
        tilted = relgrad.Flow(layers=1).fit(normal, sample_weight=np.exp(normal[:, 0] - 0.5))
        self.assertAlmostEqual(tilted.sample(4000, random_state=1).mean(), 1, delta=0.15)
        self.assertEqual(flow.score(x, sample_weight=weights), flow.score(x[:200]))
        for wrong in (-weights, 0 * weights, weights[:3], weights * np.nan):
            self.assertRaisesRegex(ValueError, "weight", flow.fit, x, sample_weight=wrong)

    def test_conditions(self):
        random = np.random.default_rng(2)
        labels = np.array(["low", "high", "low", "top"] * 200)
        means = np.array([{"low": 0, "high": 5, "top": 9}[label] for label in labels])
        x = random.normal(size=(800, 2)) + means[:, None]
        classes = relgrad.Flow(epochs=20, condition="classes").fit(x, conditions=labels)
        u = random.uniform(-100, 100, (800, 1))
        numbers = relgrad.Flow(epochs=20).fit(random.normal(size=(800, 2)) + u / 10, conditions=u)
        best = -1 - np.log(2 * np.pi)
        for flow, y, given in ((classes, x, labels), (numbers, random.normal(size=(800, 2)) + u / 10, u)):
            self.assertGreater(flow.score(y, conditions=given), best - 0.2)
            drawn = flow.sample(conditions=given, random_state=1)
            self.assertLess(np.abs((drawn - y).mean(0)).max(), 0.3)
            np.testing.assert_allclose(
                flow.inverse_transform(flow.transform(y, conditions=given), conditions=given), y, atol=1e-3)
            self.assertRaisesRegex(ValueError, "conditions: missing", flow.score, y)
            flow.save(self.path("m"))
            again = relgrad.Flow.load(self.path("m"))
            np.testing.assert_array_equal(again.score_samples(y, conditions=given),
                                          flow.score_samples(y, conditions=given))
        self.assertRaisesRegex(ValueError, "'none'.*high, low, top", classes.score, x[:1], conditions=["none"])
        self.assertRaisesRegex(ValueError, "classes", numbers.score, x[:1], conditions=["low"])
        self.assertRaisesRegex(ValueError, "one a row", classes.fit, x, conditions=labels[:3])
        self.assertRaisesRegex(ValueError, "must vary", numbers.fit, x, conditions=np.ones(800))
        self.assertRaisesRegex(ValueError, "without", relgrad.Flow(epochs=1).fit(x).score, x, conditions=u)

    def test_early_stopping_and_callbacks(self):
        x = moons(60, 1)
        flow = relgrad.Flow(epochs=500, validation_fraction=0.25, patience=5).fit(x)
        self.assertLess(len(flow.history_), 500)
        best = max(flow.history_, key=lambda epoch: epoch.validation)
        self.assertTrue(best.is_best)
        self.assertEqual(len(flow.history_), best.epoch + 5)
        held_out = np.sort(np.random.default_rng(1).permutation(60)[:15])
        self.assertAlmostEqual(flow.score(x[held_out]), best.validation, places=5)
        seen = []
        flow = relgrad.Flow(verbose=1, n_jobs=2)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            flow.fit(x, callback=lambda epoch: seen.append((epoch, flow.score(x))) or len(seen) < 3)
        self.assertEqual([epoch for epoch, _ in seen], flow.history_)
        self.assertGreater(seen[2][1], seen[0][1])
        self.assertEqual(len(seen), 3)
        self.assertIn("epoch 3/60  train ", printed.getvalue())

        def failing(epoch):
            raise ZeroDivisionError("not today")

        self.assertRaisesRegex(ZeroDivisionError, "not today", flow.set_params(verbose=0).fit, x, callback=failing)
        self.assertRaisesRegex(ValueError, "not fitted", flow.score, x)

    def test_one_flow_on_many_threads(self):
        x = moons(2000, 1)
        flow = relgrad.Flow(layers=4, epochs=2).fit(x)
        log_p = flow.score_samples(x)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for same in pool.map(flow.score_samples, [x] * 16):
                np.testing.assert_array_equal(same, log_p)

    def test_partial_fit(self):
        x = moons(900, 1)
        flow = relgrad.Flow(layers=4)
        for part in np.split(x, 9):
            flow.partial_fit(part)
        self.assertEqual(len(flow.history_), 9)
        self.assertGreater(flow.history_[-1].train, flow.history_[0].train)
        before = flow.score(x)
        fitted = copy.deepcopy(flow)
        for _ in range(5):
            flow.partial_fit(x)
        self.assertGreater(flow.score(x), before)
        self.assertEqual(fitted.score(x), before)
        self.assertRaisesRegex(ValueError, "3 features", flow.partial_fit, np.zeros((5, 3)))

    def test_peculiar_data(self):
        x = moons(300, 1)
        for wrong, said in ((x * np.nan, "NaN .*row 0, column 0"), (x[0], "Reshape"), (x[:1], "1 sample"),
                            (x * 1e39, "column .: .* beyond float32")):
            self.assertRaisesRegex(ValueError, said, relgrad.Flow().fit, wrong)
        with self.assertWarnsRegex(UserWarning, "constant: column 1;"):
            flow = relgrad.Flow(epochs=5).fit(np.stack([x[:, 0], np.full(300, 7.0)], 1))
        self.assertTrue(np.isfinite(flow.score(np.stack([x[:, 0], np.full(300, 7.0)], 1))))
        with self.assertWarnsRegex(UserWarning, "plane"):
            relgrad.Flow(epochs=1).fit(np.random.default_rng(1).normal(size=(4, 6)))
        # Time stamps keep their digits, and come back as they are.
        far = x + [1.7e9, 0]
        flow = relgrad.Flow(layers=6, epochs=20).fit(far)
        near = relgrad.Flow(layers=6, epochs=20).fit(x)
        self.assertAlmostEqual(flow.score(far), near.score(x), delta=0.1)
        np.testing.assert_allclose(flow.inverse_transform(flow.transform(far)), far, atol=1e-3, rtol=0)
        flow.save(self.path("far"))
        self.assertEqual(relgrad.Flow.load(self.path("far")).score(far), flow.score(far))
        # What is too far away has no density, and touches nothing else.
        log_p = near.score_samples(np.concatenate([x, [[1e30, 0], [0, 1e300]]]))
        np.testing.assert_array_equal(log_p, [*near.score_samples(x), -np.inf, -np.inf])

    def test_settings_that_are_refused(self):
        for wrong in ({"optimizer": "newton"}, {"epochs": 0}, {"batch_size": 2.5}, {"learning_rate": -1},
                      {"average": 2}, {"validation_fraction": 1.0}, {"patience": 3}, {"activation": "relu"},
                      {"activation": "tanh_mixture:17"}, {"dtype": "float16"}, {"start": "nowhere"},
                      {"schedule": "step"}, {"layers": 0},
                      {"n_jobs": 0}, {"random_state": -1}, {"validation_fraction": "some"}):
            name = next(iter(wrong))
            self.assertRaisesRegex(ValueError, name, relgrad.Flow(**wrong).fit, moons(50, 1))
        self.assertRaisesRegex(ValueError, "no parameter colour", relgrad.Flow().set_params, colour=1)
        self.assertRaisesRegex(ValueError, "not fitted", relgrad.Flow().score, moons(5, 1))
        self.assertEqual(repr(relgrad.Flow(epochs=3)), "Flow(epochs=3)")

    def test_frames_keep_their_names(self):
        x = moons(100, 1)
        flow = relgrad.Flow(epochs=2).fit(Frame(x, ["x", "höhe"]))
        self.assertEqual(list(flow.feature_names_in_), ["x", "höhe"])
        flow.save(self.path("m"))
        for same in (flow, relgrad.Flow.load(self.path("m")), pickle.loads(pickle.dumps(flow))):
            self.assertEqual(list(same.feature_names_in_), ["x", "höhe"])
            self.assertEqual(same.score(Frame(x, ["x", "höhe"])), flow.score(Frame(x, ["x", "höhe"])))
            self.assertRaisesRegex(ValueError, "same order", same.score, Frame(x, ["höhe", "x"]))
            self.assertRaisesRegex(ValueError, "unseen \\['y'\\]", same.score, Frame(x, ["x", "y"]))
            with self.assertWarnsRegex(UserWarning, "feature names"):
                same.score(x)
        self.assertFalse(hasattr(flow.fit(x), "feature_names_in_"))

    def test_what_is_kept_is_the_same(self):
        x = moons(100, 1)
        flow = relgrad.Flow(epochs=3, n_jobs=2).fit(x)
        for same in (pickle.loads(pickle.dumps(flow)), copy.deepcopy(flow)):
            np.testing.assert_array_equal(same.score_samples(x), flow.score_samples(x))
            self.assertEqual(same.get_params(), flow.get_params())
            same.partial_fit(x)
        np.testing.assert_array_equal(same.model_.params, copy.deepcopy(flow).partial_fit(x).model_.params)
        for settings in ({}, {"activation": "leaky_tanh:1,0.25", "bias": "none"}, {"activation": "bend"},
                         {"activation": "identity", "base": "sech"}, {"dtype": "float64", "bias": "affine"},
                         {"activation": "smooth_leaky_relu:0.000001", "final_activation": True}):
            flow = relgrad.Flow(epochs=1, **settings).fit(x)
            flow.save(self.path("m"))
            again = relgrad.Flow.load(self.path("m"), n_jobs=2)
            np.testing.assert_array_equal(again.score_samples(x), flow.score_samples(x))
            for name in ("layers", "bias", "base", "dtype"):
                self.assertEqual(getattr(again, name), getattr(flow, name))
            self.assertTrue(np.isfinite(again.fit(x).score(x)))
        self.assertRaisesRegex(ValueError, "layers: 3; the file says", relgrad.Flow.load, self.path("m"), layers=3)
        self.assertEqual(os.listdir(self.folder.name), ["m"])

    def test_files_that_cannot_be_read(self):
        relgrad.Flow(epochs=1).fit(moons(50, 1)).save(self.path("m"))
        whole = self.path("m").read_bytes()
        at = 8 + int.from_bytes(whole[:8], "little")
        header, numbers = whole[8:at], whole[at:]

        def refused(key, header=header, numbers=numbers, of=relgrad.FileError):
            file = self.path("wrong")
            file.write_bytes(len(header).to_bytes(8, "little") + header + numbers)
            self.assertRaisesRegex(of, "wrong: %s: .*; " % key, relgrad.Flow.load, file)

        refused("header", b"{")
        refused("input.scale|layers.*", numbers=numbers[:-1])
        for old, new, key in (
                (b'"relgrad.format":"1"', b'"relgrad.format":"2"', "relgrad.format"),
                (b"tanh_mixture:4", b"tanh_mixture:x", "activation"),
                (b"tanh_mixture:4", b"tanh_mixture:3", "layers.0.log_weight"),
                (b'"base":"normal"', b'"base":"cauchy"', "base"),
                (b"layers.1.bias", b"layers.1.bios", "layers.1.bias"),
                (b'"bias":"separate"', b'"bias":"none"', "layers.*"),
                (b'"base":"normal"', b'"base":"normal","preprocess":"logit:0.1"', "preprocess"),
                (b'"base":"normal"', b'"base":"normal","condition":"classes:2"', "condition.location")):
            self.assertIn(old, header)
            refused(key, header.replace(old, new))
        refused("layers.*|input.*", numbers=b"\xff" * len(numbers))
        self.path("wrong").write_bytes(b"PK")
        self.assertRaisesRegex(relgrad.FileError, "header", relgrad.Flow.load, self.path("wrong"))
        self.assertRaises(FileNotFoundError, relgrad.Flow.load, self.path("none"))
        with self.assertRaisesRegex(FileNotFoundError, "none/m'"):
            relgrad.Flow(epochs=1).fit(moons(50, 1)).save(self.path("none") / "m")
        model = relgrad.Model(2, 1, base=lambda sample, z: (z, z))
        self.assertRaisesRegex(relgrad.FileError, "custom", ModelFile(model).write, self.path("own"))

    def relgrad(self, *arguments):
        return subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.folder.name, check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout

    @unittest.skipUnless(PROGRAM, "RELGRAD_PROGRAM says where the program is")
    def test_the_program_has_the_same_bits_and_files(self):
        x = moons(330, 1) + [1e7, 0]
        labels = np.where(x[:, 1] > 0.25, "up", "down")
        np.save(self.path("x.npy"), x)
        with open(self.path("x.csv"), "w") as file:
            file.write("east,north,side\n")
            file.writelines("%r,%r,%s\n" % (*map(float, row), label) for row, label in zip(x, labels))
        for flags, settings in (
                ((), {}), (("--dtype", "f64", "--layers", 3), {"dtype": "float64", "layers": 3}),
                (("--optimizer", "adam", "--schedule", "inverse"), {"optimizer": "adam", "schedule": "inverse"}),
                (("--activation", "bend", "--average", 0, "--bias", "affine"),
                 {"activation": "bend", "average": 0, "bias": "affine"})):
            self.relgrad("train", "--data", "x.npy", "--out", "m", "--epochs", 3, "--no-shuffle", *flags)
            flow = relgrad.Flow(epochs=3, shuffle=False, **settings).fit(x)
            theirs = relgrad.Flow.load(self.path("m"))
            np.testing.assert_array_equal(theirs.model_.params, flow.model_.params)
            np.testing.assert_array_equal(theirs.model_.origin, flow.model_.origin)
            flow.save(self.path("ours"))
            self.assertEqual(self.path("ours").read_bytes(), self.path("m").read_bytes())
            self.relgrad("eval", "--model", "ours", "--data", "x.npy", "--scores", "scores.npy")
            np.testing.assert_array_equal(np.load(self.path("scores.npy"))[:, 0], flow.score_samples(x))
            self.relgrad("sample", "--model", "ours", "--rows", 5, "--seed", 7, "--out", "drawn.npy")
            np.testing.assert_array_equal(np.load(self.path("drawn.npy")), flow.sample(5, random_state=7))
        frame = Frame(x, ["east", "north"])
        self.relgrad("train", "--data", "x.csv", "--condition", "side", "--classes", "--out", "m", "--epochs", 3,
                     "--no-shuffle")
        flow = relgrad.Flow(epochs=3, shuffle=False, condition="classes").fit(frame, conditions=labels)
        theirs = relgrad.Flow.load(self.path("m"))
        np.testing.assert_array_equal(theirs.model_.params, flow.model_.params)
        self.assertEqual(list(theirs.feature_names_in_), ["east", "north"])
        np.testing.assert_array_equal(theirs.score_samples(frame, conditions=labels),
                                      flow.score_samples(frame, conditions=labels))
        theirs.save(self.path("again"))
        self.assertEqual(self.path("again").read_bytes(), self.path("m").read_bytes())
        flow.save(self.path("ours"))
        self.relgrad("eval", "--model", "ours", "--data", "x.csv", "--condition", "side", "--scores", "scores.npy")
        np.testing.assert_array_equal(np.load(self.path("scores.npy"))[:, 0],
                                      flow.score_samples(frame, conditions=labels))
        self.relgrad("train", "--data", "x.csv", "--columns", "east", "--condition", "north", "--out", "m",
                     "--epochs", 3, "--no-shuffle")
        theirs = relgrad.Flow.load(self.path("m"))
        theirs.save(self.path("again"))
        self.assertEqual(self.path("again").read_bytes(), self.path("m").read_bytes())
        flow = relgrad.Flow(epochs=3, shuffle=False).fit(x[:, :1], conditions=x[:, 1])
        np.testing.assert_array_equal(theirs.model_.params, flow.model_.params)
        np.testing.assert_array_equal(theirs.score_samples(Frame(x[:, :1], ["east"]), conditions=x[:, 1]),
                                      flow.score_samples(x[:, :1], conditions=x[:, 1]))


class AnomalyTests(unittest.TestCase):
    def test_false_alarms_are_as_rare_as_promised(self):
        for rate in (0.1, 0.02):
            alarms, promised = [], []
            for seed in range(20):
                detector = relgrad.AnomalyDetector(relgrad.Flow(epochs=3), false_alarm_rate=rate, random_state=seed)
                detector.fit(moons(300, seed))
                promised.append(detector.false_alarm_rate_)
                alarms.append((detector.predict(moons(1000, 1000 + seed)) == -1).mean())
            self.assertTrue(0 < max(promised) <= rate)
            # The rate's own spread over calibrations of 75 rows is 0.034, or 0.013.
            self.assertLess(abs(np.mean(alarms) - promised[0]), 0.025)

    def test_detects(self):
        x = moons(400, 1)
        strange = np.array([[0.5, 3.0], [-4.0, 0.0], [1e30, 0], [0, 1e300]])
        detector = relgrad.AnomalyDetector(false_alarm_rate=0.01, random_state=3).fit(x)
        np.testing.assert_array_equal(detector.predict(strange), [-1] * 4)
        self.assertGreater((detector.predict(moons(1000, 2)) == 1).mean(), 0.97)
        np.testing.assert_array_equal(detector.decision_function(x), detector.score_samples(x) - detector.offset_)
        np.testing.assert_array_equal(detector.decision_scores_, -detector.score_samples(x))
        np.testing.assert_array_equal(detector.labels_ == 1, detector.predict(x) == -1)
        np.testing.assert_array_equal(detector.labels_ == 1, detector.decision_scores_ > detector.threshold_)
        np.testing.assert_allclose(detector.p_values(strange), 1 / 101)
        again = pickle.loads(pickle.dumps(detector))
        np.testing.assert_array_equal(again.p_values(x), detector.p_values(x))
        self.assertLess(abs(detector.p_values(moons(1000, 2)).mean() - 0.5), 0.1)
        self.assertEqual(detector.set_params(flow=relgrad.Flow(), flow__layers=5).get_params()["flow__layers"], 5)
        self.assertRaisesRegex(ValueError, "flow", relgrad.AnomalyDetector().set_params, flow__layers=5)

    def test_few_rows_promise_little(self):
        with self.assertWarnsRegex(UserWarning, "10 held-out rows promise no rate below 0.0909"):
            detector = relgrad.AnomalyDetector(relgrad.Flow(epochs=2), false_alarm_rate=0.01).fit(moons(20, 1))
        self.assertEqual(detector.false_alarm_rate_, 1 / 11)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for rate, rows, rank in ((0.01, 400, 1), (0.29, 396, 29), (1 / 49, 100, 1)):
                detector = relgrad.AnomalyDetector(relgrad.Flow(epochs=1), false_alarm_rate=rate)
                detector.fit(moons(rows, 1))
                self.assertEqual(detector.false_alarm_rate_, rank / (len(detector._ordinary) + 1))
                self.assertEqual(detector.offset_, detector._ordinary[rank - 1])
        for wrong in ({"false_alarm_rate": 0}, {"false_alarm_rate": 1.0}, {"calibration_fraction": 2}):
            self.assertRaisesRegex(ValueError, next(iter(wrong)), relgrad.AnomalyDetector(**wrong).fit, moons(50, 1))
        self.assertRaisesRegex(ValueError, "not fitted", relgrad.AnomalyDetector().predict, moons(5, 1))

    def test_conditions(self):
        labels = np.arange(400) % 2
        x = moons(400, 1) + 10 * labels[:, None]
        detector = relgrad.AnomalyDetector(relgrad.Flow(condition="classes"), false_alarm_rate=0.05)
        detector.fit(x, conditions=labels)
        self.assertGreater((detector.predict(x, conditions=labels) == 1).mean(), 0.9)
        self.assertLess((detector.predict(x, conditions=1 - labels) == 1).mean(), 0.05)


if __name__ == "__main__":
    unittest.main()
