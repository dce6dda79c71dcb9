"""JAX: whole steps under jit with donated buffers, analytic deltas; for deep narrow networks a
scan over the layers."""
from functools import partial

import jax
import jax.numpy as jnp

from rival import ALPHA, BETA1, BETA2, EPSILON, RATE, STEPS, batch, curves, serve


def activation(y):
    return ALPHA * y + (1 - ALPHA) * jax.nn.softplus(y)


def slopes(y):
    """s' and s''/s'."""
    g = jax.nn.sigmoid(y)
    slope = ALPHA + (1 - ALPHA) * g
    return slope, (1 - ALPHA) * g * (1 - g) / slope


def backward(params, x):
    """Of each layer: its input z, u = z W, and delta."""
    B, z, layers = x.shape[0], x, []
    for W, b in params:
        u = z @ W
        layers.append((z, u, u + b))
        z = activation(u + b)
    d = layers[-1][2] / B
    out = [(*layers[-1][:2], d)]
    for (W, _), (z, u, y) in zip(params[:0:-1], layers[-2::-1]):
        slope, ratio = slopes(y)
        d = (d @ W.T) * slope - ratio / B
        out.append((z, u, d))
    return out[::-1]


def relative(params, x):
    return [((u @ W.T).T @ d - W, d.sum(0))
            for (W, _), (_, u, d) in zip(params, backward(params, x))]


def ordinary(params, x):
    return [(z.T @ d - jnp.linalg.inv(W).T, d.sum(0))
            for (W, _), (z, _, d) in zip(params, backward(params, x))]


def relative_scan(params, x):
    """Layers stacked on axis 0."""
    W, b = params
    B = x.shape[0]

    def up(z, layer):
        u = z @ layer[0]
        return activation(u + layer[1]), u
    _, us = jax.lax.scan(up, x, (W, b))
    ys = us + b[:, None, :]
    last = ys[-1] / B

    def down(d, layer):
        slope, ratio = slopes(layer[1])
        d = (d @ layer[0].T) * slope - ratio / B
        return d, d
    _, ds = jax.lax.scan(down, last, (W[1:], ys[:-1]), reverse=True)
    ds = jnp.concatenate([ds, last[None]])
    P = jnp.einsum("lbo,lio->lbi", us, W)
    return jnp.einsum("lbi,lbo->lio", P, ds) - W, ds.sum(1)


def unpack(p):
    """beta, w, a and m of a layer's curves."""
    e = jnp.exp(p[:1 + 2 * STEPS])
    return e[0], e[1:1 + STEPS], e[1 + STEPS:], p[1 + 2 * STEPS:]


def over_steps(x):
    """The sum over axis 1, written out: several times as fast as a reduction."""
    return sum(x[:, j] for j in range(STEPS))


def curve(p, y):
    """Values, and what curve_gradient needs. Steps are an axis between rows and features."""
    beta, w, a, m = unpack(p)
    t = jnp.tanh(a * (y[:, None] - m))
    r = w * a * (1 - t * t)
    return beta * y + over_steps(w * t), (y, t, r, beta + over_steps(r))


def curve_gradient(p, kept, G):
    """delta and the gradient of the curves, from the derivative by their values."""
    (beta, w, a, m), (y, t, r, slope) = unpack(p), kept
    o = 1 / (y.shape[0] * slope)
    G1, o1 = G[:, None], o[:, None]
    c = r * (G1 + 2 * a * t * o1)
    sum_c, sum_ro = c.sum(0), (r * o1).sum(0)
    gradient = [(beta * (y * G - o).sum(0))[None], w * (t * G1).sum(0) - sum_ro,
                (c * y[:, None]).sum(0) - m * sum_c - sum_ro, -sum_c]
    return beta * G + over_steps(c), jnp.concatenate(gradient)


def learned(params, x):
    """The relative gradient of layers, and that of the curves after all but the last."""
    layers, ps = params
    z, us, kept = x, [], []
    for (W, b), p in zip(layers, ps):
        us.append(z @ W)
        z, keep = curve(p, us[-1] + b)
        kept.append(keep)
    W, b = layers[-1]
    us.append(z @ W)
    ds, dps = [(us[-1] + b) / x.shape[0]], []
    for (W, _), p, keep in zip(layers[:0:-1], ps[::-1], kept[::-1]):
        d, dp = curve_gradient(p, keep, ds[-1] @ W.T)
        ds.append(d)
        dps.append(dp)
    return [((u @ W.T).T @ d - W, d.sum(0))
            for (W, _), u, d in zip(layers, us, ds[::-1])], dps[::-1]


def learned_scan(params, x):
    """As relative_scan."""
    (W, b), ps = params

    def up(z, layer):
        u = z @ layer[0]
        z, keep = curve(layer[2], u + layer[1])
        return z, (u, keep)
    z, (us, kept) = jax.lax.scan(up, x, (W[:-1], b[:-1], ps))
    us = jnp.concatenate([us, (z @ W[-1])[None]])
    last = (us[-1] + b[-1]) / x.shape[0]

    def down(d, layer):
        d, dp = curve_gradient(layer[1], layer[2], d @ layer[0].T)
        return d, (d, dp)
    _, (ds, dps) = jax.lax.scan(down, last, (W[1:], ps, kept), reverse=True)
    ds = jnp.concatenate([ds, last[None]])
    P = jnp.einsum("lbo,lio->lbi", us, W)
    return (jnp.einsum("lbi,lbo->lio", P, ds) - W, ds.sum(1)), dps


def network(params, v):
    """The latents of one row."""
    for W, b in params[:-1]:
        v = activation(v @ W + b)
    W, b = params[-1]
    return v @ W + b


def learned_network(params, v):
    layers, ps = params
    for (W, b), p in zip(layers, ps):
        y = v @ W + b
        beta, w, a, m = unpack(p)
        v = beta * y + (w * jnp.tanh(a * (y - m))).sum(0)
    W, b = layers[-1]
    return v @ W + b


def autodiff(params, x, f=network):
    """log|det J| of the Jacobian itself, differentiated: what relative gradients avoid."""
    def loss(p):
        def one(v):
            z = f(p, v)
            return 0.5 * jnp.sum(z * z) - jnp.linalg.slogdet(jax.jacrev(partial(f, p))(v))[1]
        return jnp.mean(jax.vmap(one)(x))
    return jax.grad(loss)(params)


@partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
def adam(gradient, params, state, x):
    m, v, t = state
    g = gradient(params, x)
    t = t + 1
    over = jax.tree_util.tree_map
    m = over(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
    v = over(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, g)
    c1, c2 = 1 - BETA1 ** t.astype(jnp.float32), 1 - BETA2 ** t.astype(jnp.float32)
    params = over(lambda p, m, v: p - RATE * (m / c1) / (jnp.sqrt(v / c2) + EPSILON), params, m, v)
    return params, (m, v, t)


GRADIENTS = {"relative": relative, "relative_scan": relative_scan, "learned": learned,
             "learned_scan": learned_scan, "ordinary": ordinary, "autodiff": autodiff}


def prepare(variant, D, L, B):
    name, kind = variant.rsplit("_", 1)
    gradient = GRADIENTS[name]
    x = jnp.asarray(batch(D, B))
    params = [(jnp.eye(D), jnp.zeros(D)) for _ in range(L)]
    # Copies, since buffers are donated.
    ps = [jnp.array(curves(D)) for _ in range(L - 1)]
    if name.endswith("scan"):
        params, ps = tuple(map(jnp.stack, zip(*params))), jnp.stack(ps)
    if name.startswith("learned"):
        params = params, ps
    if kind == "grad":
        compiled = jax.jit(gradient)
        return lambda: jax.block_until_ready(compiled(params, x))
    zeros = partial(jax.tree_util.tree_map, jnp.zeros_like)
    held = [params, (zeros(params), zeros(params), jnp.zeros((), jnp.int32))]
    del params, ps

    def step():
        held[:] = adam(gradient, *held, x)
        jax.block_until_ready(held[0])
    return step


if __name__ == "__main__":
    # So that the library itself is there before memory is looked at.
    jax.block_until_ready(jnp.ones((2, 2)) @ jnp.ones((2, 2)))
    serve("jax", prepare)
