"""NumPy: preallocated buffers, everything in place, products by its BLAS."""
import numpy as np

from rival import ALPHA, BETA1, BETA2, EPSILON, RATE, STEPS, batch, curves, serve

f = np.float32


class Net:
    def __init__(self, D, L, B):
        self.L, self.B, self.x = L, B, batch(D, B)
        self.W = [np.eye(D, dtype=f) for _ in range(L)]
        self.b = [np.zeros(D, f) for _ in range(L)]
        self.dW = [np.zeros((D, D), f) for _ in range(L)]
        self.db = [np.zeros(D, f) for _ in range(L)]
        rows = lambda n: [np.empty((B, D), f) for _ in range(n)]
        self.U, self.Z = rows(L), [self.x] + rows(L - 1)
        # s' and (s''/s')/B of each hidden layer.
        self.slope, self.ratio = rows(L - 1), rows(L - 1)
        self.y, self.P, self.delta = rows(1) * L, rows(1)[0], rows(2)
        self.t = 0
        self.moments = None

    def forward(self):
        for k in range(self.L):
            np.matmul(self.Z[k], self.W[k], out=self.U[k])
            np.add(self.U[k], self.b[k], out=self.y[k])
            if k < self.L - 1:
                self.activate(k, self.y[k], self.Z[k + 1])

    def activate(self, k, y, z):
        a, one, s, r = f(ALPHA), f(1), self.slope[k], self.ratio[k]
        # e = exp(-|y|) serves the softplus and the sigmoid.
        np.abs(y, out=s)
        np.negative(s, out=s)
        np.exp(s, out=s)
        np.log1p(s, out=z)
        z += np.maximum(y, f(0))
        z *= one - a
        z += a * y
        np.add(s, one, out=r)
        sigmoid = np.where(y >= 0, one, s)
        sigmoid /= r
        np.multiply(sigmoid, one - a, out=s)
        s += a
        np.subtract(one, sigmoid, out=r)
        r *= sigmoid
        r *= (one - a) / f(self.B)
        r /= s

    def differentiate(self, k, d):
        """The derivatives by y_k in place of those by z_k."""
        d *= self.slope[k]
        d -= self.ratio[k]

    def deltas(self):
        """Forward, then (k, delta_k) from the last layer down."""
        self.forward()
        d, other = self.delta
        np.multiply(self.y[-1], f(1 / self.B), out=d)
        yield self.L - 1, d
        for k in range(self.L - 2, -1, -1):
            np.matmul(d, self.W[k + 1].T, out=other)
            self.differentiate(k, other)
            d, other = other, d
            yield k, d

    def relative(self):
        for k, d in self.deltas():
            np.matmul(self.U[k], self.W[k].T, out=self.P)
            np.matmul(self.P.T, d, out=self.dW[k])
            self.dW[k] -= self.W[k]
            np.sum(d, axis=0, out=self.db[k])

    def ordinary(self):
        for k, d in self.deltas():
            np.matmul(self.Z[k].T, d, out=self.dW[k])
            self.dW[k] -= np.linalg.inv(self.W[k]).T
            np.sum(d, axis=0, out=self.db[k])

    def pairs(self):
        return list(zip(self.W + self.b, self.dW + self.db))

    def adam(self):
        if self.moments is None:
            self.moments = [(p, g, np.zeros_like(p), np.zeros_like(p)) for p, g in self.pairs()]
        self.t += 1
        root = f(1 / np.sqrt(1 - BETA2 ** self.t))
        rate = f(RATE / (1 - BETA1 ** self.t))
        for p, g, m, v in self.moments:
            # The gradient is not needed afterwards: it is the scratch.
            m *= f(BETA1)
            v *= f(BETA2)
            g *= f(1 - BETA1)
            m += g
            g *= g
            g *= f((1 - BETA2) / (1 - BETA1) ** 2)
            v += g
            np.sqrt(v, out=g)
            g *= root
            g += f(EPSILON)
            np.divide(m, g, out=g)
            g *= rate
            p -= g


class Learned(Net):
    """Learned curves; steps are the first axis."""

    def __init__(self, D, L, B):
        super().__init__(D, L, B)
        self.p = [curves(D) for _ in range(L - 1)]
        self.dp = [np.zeros_like(p) for p in self.p]
        # What layers keep for the way back: y, s', t and r.
        self.y = [np.empty((B, D), f) for _ in range(L)]
        self.T, self.R = ([np.empty((STEPS, B, D), f) for _ in range(L - 1)] for _ in range(2))
        self.exponentials = [np.empty((1 + 2 * STEPS, D), f) for _ in range(L - 1)]
        self.row, self.sums, self.ones = np.empty((B, D), f), np.empty((STEPS, D), f), np.ones((1, B), f)

    def unpack(self, k):
        e = self.exponentials[k]
        return e[0], e[1:1 + STEPS], e[1 + STEPS:], self.p[k][1 + 2 * STEPS:]

    def activate(self, k, y, z):
        np.exp(self.p[k][:1 + 2 * STEPS], out=self.exponentials[k])
        (beta, w, a, m), t, r, s = self.unpack(k), self.T[k], self.R[k], self.slope[k]
        np.subtract(y, m[:, None], out=t)
        t *= a[:, None]
        np.tanh(t, out=t)
        np.multiply(t, t, out=r)
        np.subtract(f(1), r, out=r)
        r *= (w * a)[:, None]
        np.einsum("kd,kbd->bd", w, t, out=z)
        z += np.multiply(beta, y, out=self.row)
        np.add.reduce(r, 0, out=s)
        s += beta

    def differentiate(self, k, d):
        (beta, w, a, m), c, r, y = self.unpack(k), self.T[k], self.R[k], self.y[k]
        by_w, by_a, by_m = self.dp[k][1:].reshape(3, STEPS, -1)
        o = np.divide(f(1 / self.B), self.slope[k], out=self.slope[k])
        sum_ro = np.einsum("kbd,bd->kd", r, o, out=self.sums)
        np.einsum("kbd,bd->kd", c, d, out=by_w)
        by_w *= w
        by_w -= sum_ro
        # c takes the place of t.
        c *= (f(2) * a)[:, None]
        c *= o
        c += d
        c *= r
        np.einsum("kbd,bd->kd", c, y, out=by_a)
        # A product with ones is the fastest sum over rows.
        np.matmul(self.ones, c, out=by_m[:, None])
        by_a -= m * by_m
        by_a -= sum_ro
        np.negative(by_m, out=by_m)
        y *= d
        y -= o
        np.matmul(self.ones, y, out=self.dp[k][:1])
        self.dp[k][0] *= beta
        d *= beta
        d += np.add.reduce(c, 0, out=self.row)

    def pairs(self):
        return super().pairs() + list(zip(self.p, self.dp))


def prepare(variant, D, L, B):
    net = Learned(D, L, B) if variant == "learned_adam" else Net(D, L, B)
    if variant.endswith("adam"):
        def step():
            net.relative()
            net.adam()
        return step
    return {"relative_grad": net.relative, "ordinary_grad": net.ordinary}[variant]


if __name__ == "__main__":
    # So that the library itself is there before memory is looked at.
    np.matmul(np.ones((2, 2), f), np.ones((2, 2), f))
    serve("numpy", prepare)
