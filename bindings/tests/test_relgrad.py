"""The Python module: structures as in C, numbers against NumPy, errors, resuming, both types, threads."""

import concurrent.futures
import copy
import ctypes
import os
import pickle
import signal
import sys
import unittest
import warnings

import numpy as np
import relgrad


def moons(rows, seed):
    random = np.random.default_rng(seed)
    t = random.uniform(0, np.pi, rows)
    up = random.integers(0, 2, rows) * 2 - 1
    x = np.stack([up * np.cos(t) + (up < 0), up * np.sin(t) + 0.5 * (up < 0)], 1)
    return x + random.uniform(-0.1, 0.1, (rows, 2))


class Tests(unittest.TestCase):
    def test_learns(self):
        for dtype in (np.float32, np.float64):
            x = moons(800, 1).astype(dtype)
            gaussian = -1 - np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(np.cov(x.T))[1]
            model = relgrad.Model(2, 12, dtype, optimizer="natural", max_batch=40,
                                  input_transform=1)
            model.start("whitened", seed=1, data=x)
            model.fit(x, 0.1, epochs=30)
            learned = model.log_likelihood(moons(2000, 2)).mean()
            self.assertGreater(learned, gaussian + 0.2)
            z = model.forward(x)
            error = 1e-3 if dtype == np.float32 else 1e-10
            np.testing.assert_allclose(model.inverse(z), x, atol=error)
            self.assertTrue(np.abs(model.sample(40, seed=3)).max() < 10)

    def test_likelihood_is_that_of_the_formula(self):
        model = relgrad.Model(3, 2, np.float64, activation="leaky_tanh", activation_a=1.0,
                              activation_b=0.1, final_activation=0)
        model.start("orthogonal", seed=5)
        random = np.random.default_rng(0)
        model.params[:] += random.normal(size=model.params.size) / 10
        model.refresh()
        x = random.normal(size=(7, 3))
        w1, b1, w2, b2 = np.split(model.params, [9, 12, 21])
        y = x @ w1.reshape(3, 3).T + b1
        z = (np.tanh(y) + 0.1 * y) @ w2.reshape(3, 3).T + b2
        slopes = 1 / np.cosh(y) ** 2 + 0.1
        log_p = -0.5 * (z**2 + np.log(2 * np.pi)).sum(1) + np.log(slopes).sum(1)
        log_p += sum(np.linalg.slogdet(w.reshape(3, 3))[1] for w in (w1, w2))
        np.testing.assert_allclose(model.log_likelihood(x), log_p, rtol=1e-12)
        np.testing.assert_allclose(model.forward(x), z, rtol=1e-12)
        gradient = model.input_gradient(x)
        for i in range(3):
            step = np.zeros(3)
            step[i] = 1e-5
            slope = (model.log_likelihood(x + step) - model.log_likelihood(x - step)) / 2e-5
            np.testing.assert_allclose(gradient[:, i], slope, rtol=1e-7, atol=1e-9)

    def test_learned_curves(self):
        model = relgrad.Model(2, 2, np.float64, activation="tanh_mixture", activation_a=3,
                              final_activation=0, report_norms=1, max_batch=50)
        model.start("orthogonal", seed=5)
        x = moons(50, 1)
        before = model.params.copy()
        self.assertGreater(model.step(x, 0.01).curve_gradient_norm, 0)
        # Behind two layers of 4 weights and 2 biases: a slope and 3 (w, a, m) a unit.
        curve = model.params[12:]
        self.assertEqual(curve.size, 2 * (1 + 3 * 3))
        self.assertTrue((curve != before[12:]).all())
        model.refresh()
        w1, b1, w2, b2 = np.split(model.params[:12], [4, 6, 10])
        w, a, m = np.split(curve[2:].reshape(9, 2), 3)
        y = x @ w1.reshape(2, 2).T + b1
        t = np.tanh(np.exp(a) * (y[:, None] - m))
        z = (np.exp(curve[:2]) * y + (np.exp(w) * t).sum(1)) @ w2.reshape(2, 2).T + b2
        slopes = np.exp(curve[:2]) + (np.exp(w + a) * (1 - t**2)).sum(1)
        log_p = -0.5 * (z**2 + np.log(2 * np.pi)).sum(1) + np.log(slopes).sum(1)
        log_p += sum(np.linalg.slogdet(w.reshape(2, 2))[1] for w in (w1, w2))
        np.testing.assert_allclose(model.log_likelihood(x), log_p, rtol=1e-12)

    def test_data_are_not_copied(self):
        model = relgrad.Model(2, 2)
        x = np.zeros((5, 2), np.float32)
        batch = model._batch(x)
        self.assertEqual(batch.x, x.ctypes.data)
        strided = np.zeros((5, 4), np.float32)[:, ::2]
        self.assertNotEqual(model._batch(strided).x, strided.ctypes.data)

    def test_far_from_zero(self):
        x = moons(800, 1)
        x[7, 0] = 50.0  # a fill value
        far = x + [1.7e9, 0.0]
        models = [relgrad.Model(2, 4, dtype, optimizer="natural", max_batch=40, input_transform=1)
                  for dtype in (np.float32, np.float64)]
        for model in models:
            model.start("whitened", seed=1, data=far)
            model.fit(far, 0.05, epochs=5)
        single, double = models
        self.assertIsNone(double.origin)
        self.assertEqual(single.origin[1], 0)
        self.assertLess(abs(single.origin[0] - 1.7e9), 2)
        scores = [model.log_likelihood(far) for model in models]
        np.testing.assert_allclose(*scores, atol=0.1)
        np.testing.assert_allclose(single.inverse(single.forward(far)), far, atol=1e-3, rtol=0)
        self.assertLess(np.abs(single.sample(40) - [1.7e9, 0]).max(), 100)
        near = relgrad.Model(2, 4, input_transform=1)
        near.start("whitened", data=x)
        self.assertIsNone(near.origin)
        np.testing.assert_array_equal(relgrad.origin_of(np.full((9, 2), [3, 2**24])), [0, 2**24])

    def test_weights(self):
        x = moons(4, 1).astype(np.float32)
        model = relgrad.Model(2, 2, max_batch=4)
        model.start(seed=1)
        few = model.gradient(x[:3])
        some = model.gradient(x, weights=[1, 1, 1, 0])
        np.testing.assert_allclose(few, some, rtol=1e-5, atol=1e-6)

    def test_conditions(self):
        """One linear layer: the closed form, what is learned, samples, and the way back."""
        random = np.random.default_rng(2)
        noise = random.normal(size=(2000, 2))
        cases = {"classes": (3, np.arange(2000) % 3), "numbers": (1, random.uniform(-1, 1, (2000, 1)))}
        for dtype in (np.float32, np.float64):
            small = 1e-5 if dtype == np.float32 else 1e-12
            for (kind, (count, given)), conditioned in [
                    (case, way) for case in cases.items() for way in ("latents", "layers", "both")]:
                u = given.reshape(-1, 1).astype(dtype)
                scale = np.exp(-u) if conditioned != "layers" else np.ones_like(u)
                x = (np.array([1, 4]) + u * [2, -1] + noise * scale).astype(dtype)
                best = (-0.5 * (noise**2 + np.log(2 * np.pi)) - np.log(scale)).sum(1).mean()
                model = relgrad.Model(2, 1, dtype, activation="identity", optimizer="natural",
                                      input_transform=1, max_batch=50, condition=kind,
                                      condition_len=count, conditioned=conditioned)
                model.start("whitened", seed=1, data=x)
                for rate in (0.1, 0.03, 0.01):
                    model.fit(x, rate, epochs=8, condition=given)
                model.refresh()
                log_p = model.log_likelihood(x, condition=given)
                self.assertLess(abs(log_p.mean() - best), 0.03)

                rest = model.params.astype(np.float64)
                w, b, rest = rest[:4].reshape(2, 2), rest[4:6], rest[6:]
                lift = np.eye(3)[given] if kind == "classes" else given
                tables = rest[:-4].reshape(-1, count, 2)
                z = ((x - rest[-4:-2]) * rest[-2:]) @ w.T + b
                log_det = np.linalg.slogdet(w)[1] + np.log(np.abs(rest[-2:])).sum()
                if conditioned != "latents":
                    z += lift @ tables[-1]
                latents, of_u = z, 0
                if conditioned != "layers":
                    of_u = (lift @ tables[1]).sum(1)
                    z = (z - lift @ tables[0]) * np.exp(-lift @ tables[1])
                form = log_det - of_u - 0.5 * (z**2 + np.log(2 * np.pi)).sum(1)
                np.testing.assert_allclose(log_p, form, rtol=100 * small, atol=100 * small)
                np.testing.assert_allclose(model.forward(x, condition=given), latents,
                                           rtol=100 * small, atol=100 * small)
                np.testing.assert_allclose(model.inverse(latents, condition=given), x, atol=1000 * small)

                drawn = model.sample(seed=3, condition=given)
                residuals = (drawn - [1, 4] - u * [2, -1]) / scale
                self.assertLess(np.abs(residuals.mean(0)).max(), 0.15)
                self.assertLess(np.abs(residuals.std(0) - 1).max(), 0.15)
                np.testing.assert_array_equal(
                    drawn[70:90], model.sample(20, seed=3, first_row=70, condition=given[70:90]))
                slope = np.zeros((40, 2))
                step = 1e-3 if dtype == np.float32 else 1e-6
                for i in range(2):
                    sides = [model.log_likelihood(x[:40] + side * step * np.eye(2)[i], condition=given[:40])
                             for side in (1, -1)]
                    slope[:, i] = (sides[0] - sides[1]) / (2 * step)
                np.testing.assert_allclose(model.input_gradient(x[:40], condition=given[:40]), slope,
                                           rtol=0.05 if dtype == np.float32 else 1e-6, atol=0.05)
                self.assertEqual(model.gradient(x[:40], condition=given[:40]).size,
                                 model.params.size - 4)

                for wrong in (None, np.where(np.arange(2000) == 7, np.nan, 0 * lift[:, 0])):
                    with self.assertRaisesRegex(relgrad.RelgradError, "condition") as caught:
                        model.log_likelihood(x, condition=wrong)
                    self.assertEqual(caught.exception.status, -33)
                self.assertRaises(ValueError, model.step, x[:3], 0.1, condition=given[:2])
                self.assertRaises(ValueError, model.step, x[:3], 0.1, condition=np.zeros((3, 2)))
        with self.assertRaises(relgrad.RelgradError) as caught:
            model = relgrad.Model(2, 1)
            model.start()
            model.sample(2, condition=[0, 1])
        self.assertEqual(caught.exception.status, -33)

    def test_bends(self):
        model = relgrad.Model(2, 1, np.float64, activation="bend", report_norms=1)
        model.start(seed=1)
        self.assertEqual(model.params.size, 4 + 2 + 4)
        model.params[6:8] = [0.5, -2]
        model.params[8:] = [0, 1]
        model.refresh()
        w, b, theta, c = np.split(model.params, [4, 6, 8])
        x = moons(50, 1)
        y = x @ w.reshape(2, 2).T + b
        root = np.sqrt(y**2 + np.exp(-2 * c))
        z = y + np.tanh(theta) * (root - np.exp(-c))
        log_p = (np.log(1 + np.tanh(theta) * y / root) - 0.5 * (z**2 + np.log(2 * np.pi))).sum(1)
        log_p += np.linalg.slogdet(w.reshape(2, 2))[1]
        np.testing.assert_allclose(model.log_likelihood(x), log_p, rtol=1e-12)
        self.assertGreater(model.step(x, 0.01).curve_gradient_norm, 0)

    def test_a_density_of_ones_own(self):
        def normal(sample, z):
            seen.add(sample)
            return -0.5 * (z**2 + np.log(2 * np.pi)), -z

        for dtype in (np.float32, np.float64):
            x = moons(8, 1).astype(dtype)
            seen = set()
            own, builtin = (relgrad.Model(2, 2, dtype, max_batch=8, **base)
                            for base in ({"base": normal}, {}))
            for model in (own, builtin):
                model.start(seed=1)
                for _ in range(5):
                    model.step(x, 0.01)
                model.refresh()
            self.assertEqual(seen, set(range(8)))
            np.testing.assert_allclose(own.params, builtin.params, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(own.log_likelihood(x), builtin.log_likelihood(x), atol=1e-4)

        # Each latent has a density of its own; a condition changes nothing about that.
        def mixed(sample, z):
            return np.array([-0.5 * z[0]**2, -abs(z[1])]), np.array([-z[0], -np.sign(z[1])])

        model = relgrad.Model(2, 1, np.float64, base=mixed, activation="identity",
                              condition="classes", condition_len=2)
        model.start("identity")
        z = np.array([[1.0, -2.0], [0.5, 0.25]])
        np.testing.assert_allclose(model.log_likelihood(z, condition=[0, 1]),
                                   [-0.5 - 2, -0.125 - 0.25], rtol=1e-15)

        # What it raises arrives, and the model is as it was.
        def failing(sample, z):
            raise ZeroDivisionError("not today")

        model = relgrad.Model(2, 2, base=failing)
        model.start(seed=1)
        before = model.params.copy()
        for _ in range(2):
            with self.assertRaisesRegex(ZeroDivisionError, "not today"):
                model.step(moons(3, 1), 0.1)
        np.testing.assert_array_equal(model.params, before)
        self.assertEqual(model.steps, 0)
        model = relgrad.Model(2, 2, base=lambda sample, z: (z[:1] * np.nan, z))
        model.start(seed=1)
        with self.assertRaisesRegex(relgrad.RelgradError, "base"):
            model.step(moons(3, 1), 0.1)
        model = relgrad.Model(2, 2, base=lambda sample, z: (np.zeros(3), z))
        model.start(seed=1)
        self.assertRaises(ValueError, model.step, moons(3, 1), 0.1)

    def test_independent_weights(self):
        for start, variance in (("uniform", 1 / 60), ("normal", 1 / 20)):
            model = relgrad.Model(20, 1, np.float64, activation="identity", bias="none")
            model.start(start, seed=4)
            self.assertEqual(len(model.params), 400)
            self.assertAlmostEqual(np.mean(model.params**2), variance, delta=0.2 * variance)
            self.assertTrue(np.isfinite(model.log_likelihood(np.zeros((1, 20)))).all())

    def test_alarm(self):
        random = np.random.default_rng(4)
        for rate in (0.1, 0.01):
            rows = int(2000 / rate)
            alarm = relgrad.Alarm(rate)
            self.assertEqual(alarm.memory, 20 / rate)
            t = np.arange(2 * rows) / rows
            drift = -2 * t - (1 + np.sin(10 * t) / 2) * random.normal(size=2 * rows)**2
            raised = [alarm.see(log_p) for log_p in drift]
            self.assertLess(abs(np.mean(raised[rows:]) / rate - 1), 0.1)
            self.assertEqual((alarm.rows, alarm.raised), (2 * rows, sum(raised)))
            self.assertTrue(alarm.see(-np.inf))
            copy = relgrad.Alarm.from_buffer_copy(bytes(alarm))
            self.assertEqual([copy.see(v) for v in drift], [alarm.see(v) for v in drift])
        for rate, memory in ((0, None), (0.6, None), (0.1, 9)):
            with self.assertRaises(relgrad.RelgradError) as caught:
                relgrad.Alarm(rate, memory)
            self.assertEqual(caught.exception.status, -25)
        alarm.spread = np.nan
        with self.assertRaisesRegex(relgrad.RelgradError, "alarm") as caught:
            alarm.see(0)
        self.assertEqual(caught.exception.status, -50)

    def test_errors(self):
        with self.assertRaisesRegex(relgrad.RelgradError, "dim") as caught:
            relgrad.Model(0, 2)
        self.assertEqual(caught.exception.status, -20)
        model = relgrad.Model(2, 2, max_batch=4)
        with self.assertRaisesRegex(relgrad.RelgradError, "log"):
            model.log_likelihood(np.zeros((1, 2)))
        model.start(seed=1)
        before = model.params.copy()
        with self.assertRaisesRegex(relgrad.RelgradError, "x"):
            model.step(np.full((2, 2), np.nan), 0.1)
        with self.assertRaisesRegex(relgrad.RelgradError, "rows"):
            model.step(np.zeros((5, 2)), 0.1)
        np.testing.assert_array_equal(before, model.params)
        for wrong in (np.zeros(2), np.zeros((2, 3))):
            self.assertRaises(ValueError, model.step, wrong, 0.1)
        self.assertRaises(ValueError, model.step, np.zeros((2, 2)), 0.1, weights=[1])
        self.assertRaises(TypeError, relgrad.Model, 2, 2, colour=1)
        self.assertRaises(TypeError, relgrad.Model, 2, 2, np.int32)
        self.assertRaises(ValueError, relgrad.Model, 2, 2, optimizer="newton")

    def test_steps_are_the_same_twice(self):
        x = moons(40, 1).astype(np.float32)
        models = [relgrad.Model(2, 3, max_batch=40, optimizer="natural", track_inverse=1)
                  for _ in range(2)]
        for model in models:
            model.start(seed=1)
            for _ in range(5):
                model.step(x, 0.1)
            self.assertEqual(model.steps, 5)
            self.assertEqual(model.log_det[1], 0)
        np.testing.assert_array_equal(models[0].params, models[1].params)
        np.testing.assert_array_equal(models[0].sample(3), models[1].sample(3))
        many = models[0].sample(100, seed=3)
        np.testing.assert_array_equal(many[:7], models[0].sample(7, seed=3))
        np.testing.assert_array_equal(many[45:], models[0].sample(55, seed=3, first_row=45))
        self.assertEqual(len(np.unique(np.concatenate([many, models[0].sample(100, seed=4)]), axis=0)),
                         200)

    def test_pickles_and_copies_go_on_the_same(self):
        x = moons(40, 1) + [1e9, 0]
        for settings in ({"optimizer": "natural", "track_inverse": 1}, {"optimizer": "adam"},
                         {"base": normal_density, "optimizer": "sgd"}):
            model = relgrad.Model(2, 3, max_batch=40, input_transform=1, **settings)
            model.start("whitened", seed=1, data=x)
            model.refresh()
            model.step(x, 0.1)
            model.refresh()
            log_p = model.log_likelihood(x)
            others = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)]
            with model.threads(2):
                model.step(x, 0.1)
            for other in others:
                self.assertEqual(other.steps, 1)
                np.testing.assert_array_equal(other.log_likelihood(x), log_p)
                other.step(x, 0.1)
                np.testing.assert_array_equal(other.params, model.params)
                np.testing.assert_array_equal(other.origin, model.origin)
                np.testing.assert_array_equal(*(m.inverse(m.forward(x)) for m in (other, model)))
        error = pickle.loads(pickle.dumps(relgrad.RelgradError(-20, "dim: 0")))
        self.assertEqual((error.status, str(error)), (-20, "dim: 0"))

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_forked_children_work_alone(self):
        x = np.random.default_rng(1).normal(size=(40, 160)).astype(np.float32)
        model, other = [relgrad.Model(160, 2, max_batch=40) for _ in range(2)]
        model.set_parallel(2)
        for one in (model, other):
            one.start(seed=1)
            one.step(x, 0.1)
        other.step(x, 0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
            child = os.fork()
        if child == 0:
            fine = False
            try:
                signal.alarm(60)
                model.step(x, 0.1)
                fine = np.array_equal(model.params, other.params)
            finally:
                os._exit(0 if fine else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        model.step(x, 0.1)
        np.testing.assert_array_equal(model.params, other.params)

    def test_components(self):
        random = np.random.default_rng(3)
        sources = np.stack([random.uniform(-2, 2, 4000), random.laplace(size=4000)], 1)
        mixing = np.array([[2, 1], [0.3, -1]])
        for dtype in (np.float32, np.float64):
            x = (sources @ mixing.T + [5, 0]).astype(dtype)
            ica = relgrad.ICA(restarts=3).fit(x)
            product = np.abs(ica.components_ @ mixing) * sources.std(0)
            self.assertTrue((product.min(1) < 0.1 * product.max(1)).all())
            np.testing.assert_allclose(ica.components_ @ ica.mixing_, np.eye(2), atol=1e-10)
            s = ica.transform(x)
            np.testing.assert_allclose(s.std(0), 1, rtol=1e-5)
            np.testing.assert_allclose(ica.inverse_transform(s), x, rtol=1e-5, atol=1e-5)
            self.assertEqual(sorted(ica.kinds_), ["sub", "super"])
            self.assertFalse(ica.gaussian_.any())
            self.assertTrue((ica.stability_ > 0.99).all() and ica.stop_ == "converged")
            again = relgrad.ICA(**{**ica.get_params(), "n_jobs": 2})
            np.testing.assert_array_equal(again.fit_transform(x), s)
            one = relgrad.ICA(n_components=1, orthogonal=True).fit(x)
            self.assertEqual(one.mixing_.shape, (2, 1))
            self.assertIsNone(one.log_likelihood_)
        with self.assertWarnsRegex(RuntimeWarning, "converge"):
            relgrad.ICA(max_iter=1, tol=1e-12).fit(random.laplace(size=(3000, 5)))
        for wrong in (dict(n_components=3), dict(density="round"), dict(tol=0), dict(restarts=0)):
            self.assertRaises(ValueError, relgrad.ICA(**wrong).fit, x)
        self.assertRaisesRegex(ValueError, "NaN", ica.transform, x * np.nan)
        self.assertRaisesRegex(ValueError, "n_component", ica.set_params, component=1)

    def test_same_bits_on_threads(self):
        class Pool(concurrent.futures.ThreadPoolExecutor):
            parts = interrupts = 0

            def submit(self, run, task, i):
                self.parts += 1
                if self.interrupts:
                    self.interrupts -= 1
                    os.kill(os.getpid(), signal.SIGINT)
                return super().submit(run, task, i)

        for dtype in (np.float32, np.float64):
            x = np.random.default_rng(1).normal(size=(40, 160)).astype(dtype)
            alone, together, own = models = [
                relgrad.Model(160, 2, dtype, optimizer="natural", max_batch=40) for _ in range(3)]
            pool = Pool(2)
            together.set_parallel(3, pool)
            own.set_parallel(2)
            for model in models:
                model.start(seed=1)
                for _ in range(4):
                    model.step(x, 0.1)
            self.assertGreater(pool.parts, 4 * 3)
            # Ctrl-C waits for the end of the call, which is done. (Python leaves it ignored where it
            # was at the start, as in a shell's background.)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            together.sample(1)
            pool.interrupts = 1
            self.assertRaises(KeyboardInterrupt, together.step, x, 0.1)
            alone.step(x, 0.1)
            own.step(x, 0.1)
            np.testing.assert_array_equal(alone.sample(1), together.sample(1))
            # One thread leaves the pool alone.
            before = pool.parts
            together.set_parallel(1, pool)
            for model in models:
                model.step(x, 0.1)
            self.assertEqual(pool.parts, before)
            pool.shutdown()
            for model in (together, own):
                np.testing.assert_array_equal(alone.params, model.params)
                np.testing.assert_array_equal(alone.state, model.state)
                self.assertRaises(relgrad.RelgradError, model.set_parallel, 0)
                self.assertRaises(relgrad.RelgradError, model.set_parallel, 65)


def normal_density(sample, z):
    return -0.5 * (z**2 + np.log(2 * np.pi)), -z


def layout():
    named = {"relgrad_config": relgrad.Config, "relgrad_sizes": relgrad.Sizes,
             "relgrad_report": relgrad.Report, "relgrad_refresh_report": relgrad.RefreshReport,
             "relgrad_batch": relgrad.Batch, "relgrad_alarm": relgrad.Alarm,
             "relgrad_ica": relgrad.IcaSettings, "relgrad_ica_report": relgrad.IcaReport,
             "relgrad_component": relgrad.Component, "relgrad_schedule": relgrad.Schedule}
    for name, structure in named.items():
        print(name, ctypes.sizeof(structure))
        for field, *_ in structure._fields_:
            print("%s.%s %d" % (name, field, getattr(structure, field).offset))


if __name__ == "__main__":
    layout() if sys.argv[1:] == ["layout"] else unittest.main()
