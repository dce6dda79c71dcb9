"""JAX: whole steps under jit with donated buffers, analytic deltas; for deep narrow networks a
scan over the layers."""
from functools import partial

import jax
import jax.numpy as jnp

from rival import ALPHA, BETA1, BETA2, EPSILON, RATE, batch, serve


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


def autodiff(params, x):
    """log|det J| of the Jacobian itself, differentiated: what relative gradients avoid."""
    def f(p, v):
        for W, b in p[:-1]:
            v = activation(v @ W + b)
        W, b = p[-1]
        return v @ W + b

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


GRADIENTS = {"relative": relative, "scan": relative_scan, "ordinary": ordinary, "autodiff": autodiff}


def prepare(variant, D, L, B):
    name, kind = variant.rsplit("_", 1)
    gradient = GRADIENTS[name.removeprefix("relative_")]
    x = jnp.asarray(batch(D, B))
    if gradient is relative_scan:
        params = jnp.broadcast_to(jnp.eye(D), (L, D, D)) + 0, jnp.zeros((L, D))
    else:
        params = [(jnp.eye(D), jnp.zeros(D)) for _ in range(L)]
    if kind == "grad":
        compiled = jax.jit(gradient)
        return lambda: jax.block_until_ready(compiled(params, x))
    zeros = partial(jax.tree_util.tree_map, jnp.zeros_like)
    held = [params, (zeros(params), zeros(params), jnp.zeros((), jnp.int32))]
    del params

    def step():
        held[:] = adam(gradient, *held, x)
        jax.block_until_ready(held[0])
    return step


if __name__ == "__main__":
    # So that the library itself is there before memory is looked at.
    jax.block_until_ready(jnp.ones((2, 2)) @ jnp.ones((2, 2)))
    serve("jax", prepare)
