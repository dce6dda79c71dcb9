"""PyTorch: backward by hand, preallocated buffers, no autograd, the fused Adam."""
import sys

import torch
import torch.nn.functional as F

from rival import ALPHA, BETA1, BETA2, EPSILON, RATE, STEPS, batch, curves, serve


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
        inputs, kept = [self.x], []
        for k in range(self.L):
            torch.mm(inputs[k], self.W[k].t(), out=self.U[k])
            y = self.U[k] + self.b[k]
            if k < self.L - 1:
                z, *keep = self.activate(k, y)
                inputs.append(z)
                kept.append(keep)
        return y, inputs, kept

    def activate(self, k, y):
        return activation(y, 1 / self.B)

    def differentiate(self, k, d, slope, ratio):
        """The derivatives by y_k in place of those by z_k."""
        d.mul_(slope).sub_(ratio)

    def deltas(self, y, kept):
        d, other = self.delta
        torch.mul(y, 1 / self.B, out=d)
        yield self.L - 1, d
        for k in range(self.L - 2, -1, -1):
            torch.mm(d, self.W[k + 1], out=other)
            self.differentiate(k, other, *kept[k])
            d, other = other, d
            yield k, d

    @torch.no_grad()
    def relative(self):
        y, _, kept = self.forward()
        for k, d in self.deltas(y, kept):
            torch.mm(self.U[k], self.W[k], out=self.P)
            torch.addmm(self.W[k], d.t(), self.P, beta=-1, out=self.dW[k])
            torch.sum(d, 0, out=self.db[k])

    @torch.no_grad()
    def ordinary(self):
        y, inputs, kept = self.forward()
        for k, d in self.deltas(y, kept):
            inverse = torch.linalg.inv(self.W[k]).t()
            torch.addmm(inverse, d.t(), inputs[k], beta=-1, out=self.dW[k])
            torch.sum(d, 0, out=self.db[k])

    def parameters(self):
        return self.W + self.b, self.dW + self.db

    def fused_adam(self):
        if self.optimizer is None:
            parameters, gradients = self.parameters()
            for p, g in zip(parameters, gradients):
                p.requires_grad_(True)
                p.grad = g
            self.optimizer = torch.optim.Adam(
                parameters, lr=RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True)
        self.optimizer.step()


class Learned(Net):
    """Learned curves; steps are the first axis."""

    def __init__(self, D, L, B):
        super().__init__(D, L, B)
        self.p = [torch.from_numpy(curves(D)) for _ in range(L - 1)]
        self.dp = [torch.zeros_like(p) for p in self.p]
        several = lambda *shape: [torch.empty(*shape) for _ in range(L - 1)]
        self.T, self.R = several(STEPS, B, D), several(STEPS, B, D)
        self.z, self.slope = several(B, D), several(B, D)
        self.steps, self.row, self.sums = torch.empty(STEPS, B, D), torch.empty(B, D), torch.empty(STEPS, D)

    def activate(self, k, y):
        e = self.p[k][:1 + 2 * STEPS].exp()
        beta, w, a, m = e[0], e[1:1 + STEPS, None], e[1 + STEPS:, None], self.p[k][1 + 2 * STEPS:, None]
        t, r, z, slope = self.T[k], self.R[k], self.z[k], self.slope[k]
        torch.sub(y, m, out=t).mul_(a).tanh_()
        torch.mul(t, t, out=r)
        wa = w * a
        torch.addcmul(wa, wa, r, value=-1, out=r)
        torch.sum(torch.mul(t, w, out=self.steps), 0, out=z).addcmul_(beta, y)
        torch.sum(r, 0, out=slope).add_(beta)
        return z, y, t, r, slope, (beta, w, a, m)

    def differentiate(self, k, d, y, t, r, slope, unpacked):
        (beta, w, a, m), x, sum_ro = unpacked, self.steps, self.sums
        by_w, by_a, by_m = self.dp[k][1:].view(3, STEPS, -1)
        o = slope.reciprocal_().mul_(1 / self.B)
        torch.sum(torch.mul(t, d, out=x), 1, out=by_w).mul_(w[:, 0])
        torch.sum(torch.mul(r, o, out=x), 1, out=sum_ro)
        # c takes the place of r.
        c = r.mul_(d).add_(x.mul_(t).mul_(a), alpha=2)
        torch.sum(torch.mul(c, y, out=x), 1, out=by_a)
        torch.sum(c, 1, out=by_m)
        by_w.sub_(sum_ro)
        by_a.addcmul_(m[:, 0], by_m, value=-1).sub_(sum_ro)
        by_m.neg_()
        torch.sum(y.mul_(d).sub_(o), 0, out=self.dp[k][0]).mul_(beta)
        d.mul_(beta).add_(torch.sum(c, 0, out=self.row))

    def parameters(self):
        parameters, gradients = super().parameters()
        return parameters + self.p, gradients + self.dp


def curve(p, y):
    """As Learned.activate, for torch.compile."""
    e = p[:1 + 2 * STEPS].exp()
    beta, w, a, m = e[0], e[1:1 + STEPS, None], e[1 + STEPS:, None], p[1 + 2 * STEPS:, None]
    # Faster than its tanh.
    t = 2 * torch.sigmoid(2 * a * (y - m)) - 1
    r = w * a * (1 - t * t)
    return beta * y + (w * t).sum(0), y, t, r, beta + r.sum(0), (beta, w, a, m)


def curve_gradient(G, y, t, r, slope, unpacked):
    """delta and the gradient of the curves, from the derivative by their values."""
    beta, w, a, m = unpacked
    o = 1 / (y.shape[0] * slope)
    c = r * (G + 2 * a * t * o)
    sum_c, sum_ro = c.sum(1), (r * o).sum(1)
    gradient = [(beta * (y * G - o).sum(0))[None], w[:, 0] * (t * G).sum(1) - sum_ro,
                (c * y).sum(1) - m[:, 0] * sum_c - sum_ro, -sum_c]
    return beta * G + c.sum(0), torch.cat(gradient)


def whole_step(Ws, bs, ps, moments, x, c1, c2):
    """A functional Adam step, for torch.compile; with learned curves if there are ps."""
    B, L = x.shape[0], len(Ws)
    z, us, kept = x, [], []
    for k in range(L):
        u = torch.mm(z, Ws[k].t())
        y = u + bs[k]
        us.append(u)
        if k < L - 1:
            z, *keep = curve(ps[k], y) if ps else activation(y, 1 / B)
            kept.append(keep)
    d = y / B
    gradients = [None] * (2 * L + len(ps))
    for k in range(L - 1, -1, -1):
        gradients[k] = torch.mm(d.t(), torch.mm(us[k], Ws[k])) - Ws[k]
        gradients[L + k] = d.sum(0)
        if k and ps:
            d, gradients[2 * L + k - 1] = curve_gradient(torch.mm(d, Ws[k]), *kept[k - 1])
        elif k:
            slope, ratio = kept[k - 1]
            d = torch.mm(d, Ws[k]) * slope - ratio
    for p, (m, v), g in zip(Ws + bs + ps, moments, gradients):
        m.mul_(BETA1).add_((1 - BETA1) * g)
        v.mul_(BETA2).add_((1 - BETA2) * g * g)
        p.sub_(RATE * (m / c1) / ((v / c2).sqrt() + EPSILON))


def prepare(variant, D, L, B):
    learned = variant.startswith("learned")
    net = Learned(D, L, B) if learned else Net(D, L, B)
    if variant in ("relative_adam", "learned_adam"):
        def step():
            net.relative()
            net.fused_adam()
        return step
    if variant in ("relative_compiled_adam", "learned_compiled_adam"):
        moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in net.parameters()[0]]
        corrections = torch.tensor(1 - BETA1), torch.tensor(1 - BETA2)
        compiled = torch.compile(torch.no_grad()(whole_step), dynamic=False)
        ps = net.p if learned else []
        return lambda: compiled(net.W, net.b, ps, moments, net.x, *corrections)
    return {"relative_grad": net.relative, "ordinary_grad": net.ordinary}[variant]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    # So that the library itself is there before memory is looked at.
    torch.mm(torch.ones(2, 2), torch.ones(2, 2))
    serve("torch", prepare)
