"""python3 -m unittest discover -s benches/peers; gradients are compared where the rivals are installed."""
import json
import pathlib
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
        learned = [row("relgrad", "learned_adam", 2), row("torch", "learned_compiled_adam", 5)]
        results = dict(machine=dict(cpu="a", date="b"), limits=limits, cells=rows, learned=learned, cost=rows,
                       memory=memory)
        text = report.markdown(results, dict(ratios="r.png"))
        self.assertIn("| 1 | relative_adam | 2 | 2 | 2.00 at D 16, B 1 | 0 |", text)
        self.assertIn("| relgrad | relative_adam | 16 | 5 | 36 | 31 | 3.1 |", text)
        self.assertIn("![ratios](r.png)", text)
        self.assertIn("| 1 | learned_adam | 1 | 2.5 | 2.50 at D 16, B 10 | 0 |", text)
        lines = report.csv_text(results).splitlines()
        self.assertEqual(len(lines), 4)
        self.assertTrue(lines[1].startswith("1,16,2,1,1,,2,,,jax,2.0,"), lines[1])
        self.assertEqual(lines[3], "1,16,2,10,2,,,5,,torch,2.5,,,,0,learned")


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

    def nets(self, kind="Net"):
        import jax_rival
        import numpy_rival
        import torch_rival
        import rival
        rng = np.random.default_rng(1)
        D, L = self.D, self.L
        W = [(np.eye(D) + 0.3 * rng.standard_normal((D, D))).astype("f4") for _ in range(L)]
        b = [rng.standard_normal(D).astype("f4") for _ in range(L)]
        ours, theirs = (getattr(module, kind)(D, L, self.B) for module in (numpy_rival, torch_rival))
        params = list(zip(W, b))
        if kind == "Learned":
            p = rival.curves(D)
            # Less steep than relgrad's start, so that every step bends for some row.
            p[1 + rival.STEPS:1 + 2 * rival.STEPS] = 0
            params = params, [(p + 0.3 * rng.standard_normal(p.shape)).astype("f4") for _ in range(L - 1)]
        self.put(ours, theirs, params)
        return ours, theirs, jax_rival, params, ours.x

    def put(self, ours, theirs, params):
        layers, curves = params if isinstance(params, tuple) else (params, [])
        ours.W, ours.b = [W.copy() for W, _ in layers], [b.copy() for _, b in layers]
        theirs.W = [torch.from_numpy(W.T.copy()) for W, _ in layers]
        theirs.b = [torch.from_numpy(b.copy()) for _, b in layers]
        ours.p, theirs.p = [p.copy() for p in curves], [torch.from_numpy(p.copy()) for p in curves]

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

    def test_learned_gradients_agree(self):
        ours, theirs, jax_rival, params, x = self.nets("Learned")
        ours.relative()
        theirs.relative()
        layers, curves = jax_rival.learned(params, x)
        stacked = tuple(np.stack(p) for p in zip(*params[0])), np.stack(params[1])
        scanned = jax_rival.learned_scan(stacked, x)
        ordinary, by_curves = jax_rival.autodiff(params, x, jax_rival.learned_network)
        for k, (dW, db) in enumerate(layers):
            W = params[0][k][0]
            self.same([ours.dW[k], theirs.dW[k].t(), scanned[0][0][k], W @ W.T @ ordinary[k][0]], [dW] * 4)
            self.same([ours.db[k], theirs.db[k], scanned[0][1][k], ordinary[k][1]], [db] * 4)
        for k, dp in enumerate(curves):
            self.same([ours.dp[k], theirs.dp[k], scanned[1][k], by_curves[k]], [dp] * 4)

    def test_learned_gradients_are_those_of_relgrad(self):
        """By the numbers that relgrad's own tests go by."""
        import numpy_rival
        import rival
        import torch_rival
        data = pathlib.Path(__file__).resolve().parents[2] / "tests/data/learned.json"
        array = lambda rows: np.array(rows, "f4")
        # (D, K) there, rows of D numbers here.
        curve = lambda p: np.vstack([array(p["log_slope"]), *(array(p[name]).T for name in (
            "log_weight", "log_steepness", "center"))])
        case = next(c for c in json.loads(data.read_text())["cases"] if c["K"] == rival.STEPS
                    and c["base"] == "normal" and not c["d"] and not c["final_activation"])
        ours, theirs = (m.Learned(case["D"], case["L"], case["B"]) for m in (numpy_rival, torch_rival))
        W, b = [array(W).T for W in case["W"]], [array(b) for b in case["b"]]
        hidden = case["L"] - 1
        self.put(ours, theirs, (list(zip(W, b)), [curve(p) for p in case["activation"][:hidden]]))
        ours.x[:] = array(case["x"])
        theirs.x.copy_(torch.from_numpy(ours.x))
        ours.relative()
        theirs.relative()
        # Those of the log-likelihood.
        right = case["gradient"]
        for k in range(case["L"]):
            self.same([ours.dW[k], theirs.dW[k].t()], [-array(right["dW"][k]).T] * 2)
            self.same([ours.db[k], theirs.db[k]], [-array(right["db"][k])] * 2)
        for k in range(hidden):
            self.same([ours.dp[k], theirs.dp[k]], [-curve(right["activation"][k])] * 2)

    def test_adam_steps_agree(self):
        self.adam_steps_agree("Net", "relative")

    def test_learned_adam_steps_agree(self):
        self.adam_steps_agree("Learned", "learned")

    def adam_steps_agree(self, kind, gradient):
        import rival
        import torch_rival
        ours, theirs, jax_rival, params, x = self.nets(kind)
        before = [p.copy() for p in ours.W + ours.p]
        zeros = jax.tree_util.tree_map(np.zeros_like, params)
        state = params, (zeros, jax.tree_util.tree_map(np.zeros_like, params), np.int32(0))
        # What is compiled for timing.
        whole = [[p.clone() for p in kept] for kept in (theirs.W, theirs.b, theirs.p)]
        moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in sum(whole, [])]
        for step in range(1, 4):
            ours.relative()
            ours.adam()
            theirs.relative()
            theirs.fused_adam()
            state = jax_rival.adam(jax_rival.GRADIENTS[gradient], *state, x)
            torch_rival.whole_step(*whole, moments, theirs.x, 1 - rival.BETA1**step, 1 - rival.BETA2**step)
        layers, curves = state[0] if kind == "Learned" else (state[0], [])
        others = zip([W.detach().t() for W in theirs.W] + [p.detach() for p in theirs.p],
                     [W for W, _ in layers] + curves, [W.t() for W in whole[0]] + whole[2])
        for start, new, several in zip(before, ours.W + ours.p, others):
            moved = (new - start) / rival.RATE
            self.assertGreater(np.abs(moved).min(), 0.5)
            # In steps of the rate, up to rounding of W.
            for other in several:
                np.testing.assert_allclose((np.asarray(other) - start) / rival.RATE, moved, atol=0.5)


if __name__ == "__main__":
    unittest.main()
