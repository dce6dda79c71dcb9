"""NumPy: preallocated buffers, everything in place, products by its BLAS."""
import numpy as np

from rival import ALPHA, BETA1, BETA2, EPSILON, RATE, batch, serve

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
        self.y, self.P, self.delta = rows(1)[0], rows(1)[0], rows(2)
        self.t = 0
        self.moments = None

    def forward(self):
        a, one, y = f(ALPHA), f(1), self.y
        for k in range(self.L):
            np.matmul(self.Z[k], self.W[k], out=self.U[k])
            np.add(self.U[k], self.b[k], out=y)
            if k == self.L - 1:
                return
            s, z, r = self.slope[k], self.Z[k + 1], self.ratio[k]
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

    def deltas(self):
        """Forward, then (k, delta_k) from the last layer down."""
        self.forward()
        d, other = self.delta
        np.multiply(self.y, f(1 / self.B), out=d)
        yield self.L - 1, d
        for k in range(self.L - 2, -1, -1):
            np.matmul(d, self.W[k + 1].T, out=other)
            other *= self.slope[k]
            other -= self.ratio[k]
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

    def adam(self):
        if self.moments is None:
            pairs = list(zip(self.W + self.b, self.dW + self.db))
            self.moments = [(p, g, np.zeros_like(p), np.zeros_like(p)) for p, g in pairs]
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


def prepare(variant, D, L, B):
    net = Net(D, L, B)
    if variant == "relative_adam":
        def step():
            net.relative()
            net.adam()
        return step
    return {"relative_grad": net.relative, "ordinary_grad": net.ordinary}[variant]


if __name__ == "__main__":
    # So that the library itself is there before memory is looked at.
    np.matmul(np.ones((2, 2), f), np.ones((2, 2), f))
    serve("numpy", prepare)
