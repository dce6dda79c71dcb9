"""The Python module: structures as in C, numbers against NumPy, errors, resuming, both types, threads."""

import concurrent.futures
import ctypes
import os
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


def layout():
    named = {"relgrad_config": relgrad.Config, "relgrad_sizes": relgrad.Sizes,
             "relgrad_report": relgrad.Report, "relgrad_refresh_report": relgrad.RefreshReport,
             "relgrad_batch": relgrad.Batch}
    for name, structure in named.items():
        print(name, ctypes.sizeof(structure))
        for field, *_ in structure._fields_:
            print("%s.%s %d" % (name, field, getattr(structure, field).offset))


if __name__ == "__main__":
    layout() if sys.argv[1:] == ["layout"] else unittest.main()
