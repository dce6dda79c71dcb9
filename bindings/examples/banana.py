"""Learns a noisy parabola, scores two points, samples, and hashes the parameters."""

import numpy as np
import relgrad

seed = 1


def uniform():  # 0 to 1023, from a 31-bit generator
    global seed
    seed = seed * 16807 % 2147483647
    return seed // 2097152


def point():
    t = (uniform() - 512) / 256
    return t, t * t + (uniform() + uniform() - 1024) / 1024


x = np.array([point() for _ in range(2000)], np.float32)

model = relgrad.Model(2, 4, optimizer="natural", max_batch=20, input_transform=1)
model.start("whitened", seed=1, data=x)
for epoch in range(20):
    for i in range(0, 2000, 20):
        model.step(x[i:i + 20], 0.05)
model.refresh()

print("mean log-likelihood %8.4f" % (sum(model.log_likelihood(x)) / 2000))
print("log-density on the curve %8.4f, off it %8.4f"
      % tuple(model.log_likelihood([[1, 1], [1, 3]])))
print("a sample %8.4f %8.4f" % tuple(model.sample(1, seed=7)[0]))

hash = 2166136261
for word in model.params.view(np.uint32):
    hash = (hash ^ int(word)) * 16777619 % 2**32
print("parameters %08X" % hash)
