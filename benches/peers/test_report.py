"""python3 -m unittest discover -s benches/peers; gradients are compared where the rivals are installed."""
import math
import unittest

import report


def row(peer, variant, ms, D=16, B=10, threads=1, **more):
    base = dict(peer=peer, variant=variant, D=D, L=2, batch=B, threads=threads, ms_median=ms,
                ms_min=ms / 2, n=5, other_cpu=0.0)
    return {**base, **more}


class Tables(unittest.TestCase):
    def test_rounds_become_one_row(self):
        rounds = [row("relgrad", "relative_adam", ms, limit_ms=0.5, other_cpu=noise, bound="l2")
                  for ms, noise in ((1.0, 0.0), (3.0, 0.4), (2.0, 0.1))]
        (merged,) = report.merge(rounds).values()
        self.assertEqual((merged["ms_median"], merged["ms_min"], merged["n"]), (2.0, 0.5, 15))
        self.assertEqual((merged["share"], merged["other_cpu"]), (0.25, 0.4))

    def test_the_best_rival_and_its_best_variant_count(self):
        rows = [row("relgrad", "relative_adam", 2.0), row("relgrad", "relative_natural", 1.0),
                row("jax", "relative_adam", 8.0), row("numpy", "relative_adam", 9.0),
                row("torch", "relative_adam", 7.0), row("torch", "relative_compiled_adam", 6.0),
                # Not an Adam step, and another cell.
                row("torch", "relative_grad", 0.1), row("jax", "relative_adam", 0.1, D=64)]
        (line,) = report.ratios(rows)
        self.assertEqual(line["winner"], "torch")
        self.assertEqual(line["ratio"], dict(relative_adam=3.0, relative_natural=6.0))
        self.assertFalse(line["noisy"])
        rows[2]["other_cpu"] = 0.3
        self.assertTrue(report.ratios(rows)[0]["noisy"])

    def test_means_and_exponents(self):
        self.assertAlmostEqual(report.geometric_mean([2, 8]), 4)
        self.assertAlmostEqual(report.exponent([(D, 5 * D ** 2.5) for D in (256, 512, 4096)]), 2.5)
        self.assertIsNone(report.exponent([(1, 1)]))
        # Twice as slow a memory from 1024 on: no power of D.
        line = [(D, row("relgrad", "relative_adam", slow * D ** 2, limit_ms=slow * D ** 2 / 3))
                for D, slow in ((64, 9), (256, 1), (512, 1), (1024, 2), (2048, 2))]
        raw, net = report.exponents(line)
        self.assertGreater(raw, 2.3)
        self.assertAlmostEqual(net, 2)
        for _, r in line:
            r["variant"] = "ordinary_adam"
        self.assertEqual(report.exponents(line), (raw, None))

    def test_markdown_and_csv_have_every_cell(self):
        rows = [row(peer, variant, 1 + i, B=B) for B in (1, 10)
                for i, (peer, variant) in enumerate([("relgrad", "relative_adam"), ("jax", "relative_adam")])]
        memory = [dict(row("relgrad", "relative_adam", 1), params_mib=10, rss_base_mib=5, rss_peak_mib=36)]
        limits = dict(peaks=[dict(threads=1, dtype="f32", level="avx2", gflops=50.0)],
                      memories=[dict(threads=1, memory="l1", bytes=1 << 14, read_gbs=1.0, update_gbs=2.0, copy_gbs=3.0)])
        results = dict(machine=dict(cpu="a", date="b"), limits=limits, cells=rows, cost=rows, memory=memory)
        text = report.markdown(results, dict(ratios="r.png"))
        self.assertIn("| 1 | relative_adam | 2 | 2 | 2.00 at D 16, B 1 | 0 |", text)
        self.assertIn("| relgrad | relative_adam | 16 | 5 | 36 | 31 | 3.1 |", text)
        self.assertIn("![ratios](r.png)", text)
        lines = report.csv_text(results).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[1].startswith("1,16,2,1,1,,2,,,jax,2.0,"), lines[1])


try:
    import jax
    import numpy as np
    import torch
except ImportError:
    np = None


@unittest.skipIf(np is None, "needs the rivals: benches/peers/run --test")
class Gradients(unittest.TestCase):
    """All rivals do the same, right work."""

    D, L, B = 5, 3, 7

    def nets(self):
        import jax_rival
        import numpy_rival
        import torch_rival
        rng = np.random.default_rng(1)
        D, L = self.D, self.L
        W = [(np.eye(D) + 0.3 * rng.standard_normal((D, D))).astype("f4") for _ in range(L)]
        b = [rng.standard_normal(D).astype("f4") for _ in range(L)]
        ours, theirs = numpy_rival.Net(D, L, self.B), torch_rival.Net(D, L, self.B)
        ours.W, ours.b = [w.copy() for w in W], [v.copy() for v in b]
        theirs.W = [torch.from_numpy(w.T.copy()) for w in W]
        theirs.b = [torch.from_numpy(v.copy()) for v in b]
        return ours, theirs, jax_rival, list(zip(W, b)), ours.x

    def same(self, a, b):
        for x, y in zip(a, b):
            np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=2e-4, atol=2e-5)

    def test_gradients_agree(self):
        ours, theirs, jax_rival, params, x = self.nets()
        ours.ordinary()
        theirs.ordinary()
        autodiff = jax_rival.autodiff(params, x)
        ordinary = [d.copy() for d in ours.dW]
        for k, (dW, db) in enumerate(autodiff):
            self.same([ours.dW[k], ours.db[k], theirs.dW[k].t(), theirs.db[k]], [dW, db, dW, db])
        ours.relative()
        theirs.relative()
        stacked = tuple(np.stack(p) for p in zip(*params))
        scanned = jax_rival.relative_scan(stacked, x)
        for k, (dW, db) in enumerate(jax_rival.relative(params, x)):
            # The relative gradient is the ordinary one times its metric, W W^T in this layout.
            W = params[k][0]
            self.same([ours.dW[k], theirs.dW[k].t(), scanned[0][k], W @ W.T @ ordinary[k]], [dW] * 4)
            self.same([ours.db[k], theirs.db[k], scanned[1][k]], [db] * 3)

    def test_adam_steps_agree(self):
        import rival
        ours, theirs, jax_rival, params, x = self.nets()
        before = [w.copy() for w in ours.W]
        zeros = jax.tree_util.tree_map(np.zeros_like, params)
        state = params, (zeros, jax.tree_util.tree_map(np.zeros_like, params), np.int32(0))
        for _ in range(3):
            ours.relative()
            ours.adam()
            theirs.relative()
            theirs.fused_adam()
            state = jax_rival.adam(jax_rival.relative, *state, x)
        for k in range(self.L):
            moved = (ours.W[k] - before[k]) / rival.RATE
            self.assertGreater(np.abs(moved).min(), 0.5)
            # In steps of the rate, up to rounding of W.
            for other in (theirs.W[k].detach().t(), state[0][k][0]):
                np.testing.assert_allclose((np.asarray(other) - before[k]) / rival.RATE, moved, atol=0.5)


if __name__ == "__main__":
    unittest.main()
