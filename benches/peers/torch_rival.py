"""PyTorch: backward by hand, preallocated buffers, no autograd, the fused Adam."""
import sys

import torch
import torch.nn.functional as F

from rival import ALPHA, BETA1, BETA2, EPSILON, RATE, batch, serve


def activation(y, scale):
    """s, s' and scale s''/s'."""
    g = torch.sigmoid(y)
    slope = ALPHA + (1 - ALPHA) * g
    ratio = (scale * (1 - ALPHA)) * g * (1 - g) / slope
    return ALPHA * y + (1 - ALPHA) * F.softplus(y), slope, ratio


class Net:
    """Weights are (out, in) here: torch's own layout."""

    def __init__(self, D, L, B):
        self.L, self.B, self.x = L, B, torch.from_numpy(batch(D, B))
        self.W = [torch.eye(D) for _ in range(L)]
        self.b = [torch.zeros(D) for _ in range(L)]
        self.dW = [torch.zeros(D, D) for _ in range(L)]
        self.db = [torch.zeros(D) for _ in range(L)]
        self.U = [torch.empty(B, D) for _ in range(L)]
        self.P, *self.delta = (torch.empty(B, D) for _ in range(3))
        self.optimizer = None

    def forward(self):
        z, inputs, slopes, ratios = self.x, [self.x], [], []
        for k in range(self.L):
            torch.mm(z, self.W[k].t(), out=self.U[k])
            y = self.U[k] + self.b[k]
            if k < self.L - 1:
                z, slope, ratio = activation(y, 1 / self.B)
                inputs.append(z)
                slopes.append(slope)
                ratios.append(ratio)
        return y, inputs, slopes, ratios

    def deltas(self, y, slopes, ratios):
        d, other = self.delta
        torch.mul(y, 1 / self.B, out=d)
        yield self.L - 1, d
        for k in range(self.L - 2, -1, -1):
            torch.mm(d, self.W[k + 1], out=other)
            other.mul_(slopes[k]).sub_(ratios[k])
            d, other = other, d
            yield k, d

    @torch.no_grad()
    def relative(self):
        y, _, slopes, ratios = self.forward()
        for k, d in self.deltas(y, slopes, ratios):
            torch.mm(self.U[k], self.W[k], out=self.P)
            torch.addmm(self.W[k], d.t(), self.P, beta=-1, out=self.dW[k])
            torch.sum(d, 0, out=self.db[k])

    @torch.no_grad()
    def ordinary(self):
        y, inputs, slopes, ratios = self.forward()
        for k, d in self.deltas(y, slopes, ratios):
            inverse = torch.linalg.inv(self.W[k]).t()
            torch.addmm(inverse, d.t(), inputs[k], beta=-1, out=self.dW[k])
            torch.sum(d, 0, out=self.db[k])

    def fused_adam(self):
        if self.optimizer is None:
            parameters = self.W + self.b
            for p, g in zip(parameters, self.dW + self.db):
                p.requires_grad_(True)
                p.grad = g
            self.optimizer = torch.optim.Adam(
                parameters, lr=RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True)
        self.optimizer.step()


def whole_step(Ws, bs, moments, x, c1, c2):
    """A functional Adam step, for torch.compile."""
    B, L = x.shape[0], len(Ws)
    z, us, slopes, ratios = x, [], [], []
    for k in range(L):
        u = torch.mm(z, Ws[k].t())
        y = u + bs[k]
        us.append(u)
        if k < L - 1:
            z, slope, ratio = activation(y, 1 / B)
            slopes.append(slope)
            ratios.append(ratio)
    d = y / B
    gradients = [None] * (2 * L)
    for k in range(L - 1, -1, -1):
        gradients[k] = torch.mm(d.t(), torch.mm(us[k], Ws[k])) - Ws[k]
        gradients[L + k] = d.sum(0)
        if k:
            d = torch.mm(d, Ws[k]) * slopes[k - 1] - ratios[k - 1]
    for p, (m, v), g in zip(Ws + bs, moments, gradients):
        m.mul_(BETA1).add_((1 - BETA1) * g)
        v.mul_(BETA2).add_((1 - BETA2) * g * g)
        p.sub_(RATE * (m / c1) / ((v / c2).sqrt() + EPSILON))


def prepare(variant, D, L, B):
    net = Net(D, L, B)
    if variant == "relative_adam":
        def step():
            net.relative()
            net.fused_adam()
        return step
    if variant == "relative_compiled_adam":
        moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in net.W + net.b]
        corrections = torch.tensor(1 - BETA1), torch.tensor(1 - BETA2)
        compiled = torch.compile(torch.no_grad()(whole_step), dynamic=False)
        return lambda: compiled(net.W, net.b, moments, net.x, *corrections)
    return {"relative_grad": net.relative, "ordinary_grad": net.ordinary}[variant]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    # So that the library itself is there before memory is looked at.
    torch.mm(torch.ones(2, 2), torch.ones(2, 2))
    serve("torch", prepare)
