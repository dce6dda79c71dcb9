"""What the rivals share: the problem, the clock, and a loop that takes orders on stdin.

All train the same network on the same work as `relgrad bench`: y_k = z_{k-1} W_k + b_k (rows
are samples, W_k is (in, out)), z_k = s(y_k) for k < L with the smooth leaky ReLU, the last layer
affine, a standard normal base, and the relative gradient with the `separate` bias rule,

    dW_k = W_k (u_k^T delta_k) - W_k,   db_k = sum delta_k,   u_k = z_{k-1} W_k,

delta_k being the derivative of the negative mean log-likelihood by y_k, so steps descend. All
start from the identity, as relgrad does; the first step makes it dense.

In variants "learned", each unit of each hidden layer has a curve of its own in place of the
leaky ReLU, as with `relgrad bench --activation tanh_mixture:4`:

    z = beta y + sum_j w_j t_j,   t_j = tanh(a_j (y - m_j)),

and Adam moves log beta, log w, log a and m with the weights: `1 + 3 K` rows of D numbers a layer.
With G the derivative of the loss by z, o = 1 / (B s'), and

    r_j = w_j a_j (1 - t_j^2),   s' = beta + sum_j r_j,   c_j = r_j (G + 2 a_j t_j o),

what the rivals compute is, sums being over rows,

    delta = beta G + sum_j c_j,   dlog beta = beta sum (y G - o),   dm_j = -sum c_j,
    dlog w_j = w_j sum t_j G - sum r_j o,   dlog a_j = sum c_j (y - m_j) - sum r_j o.

relgrad also keeps these parameters within bounds, which the rivals are spared.
"""
import json
import os
import resource
import statistics
import sys
import time

import numpy as np

ALPHA = 0.01
RATE = 1e-6
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
# K of learned curves.
STEPS = 4


def batch(D, B):
    """Rows of unit variance."""
    return np.random.default_rng(7).standard_normal((B, D), dtype=np.float32)


def curves(D):
    """What a layer's curves start from in relgrad."""
    steps = np.ones(STEPS)
    rows = [[0.5], steps / STEPS, 3 * steps]
    column = np.concatenate([np.log(np.concatenate(rows)), np.linspace(-1.5, 1.5, STEPS)])
    return np.repeat(column.astype(np.float32)[:, None], D, axis=1)


def machine_cpu():
    """Processor seconds that the whole machine has spent."""
    with open("/proc/stat") as f:
        ticks = [int(x) for x in f.readline().split()[1:]]
    return (sum(ticks[:3]) + sum(ticks[5:8])) / os.sysconf("SC_CLK_TCK")


def own_cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(step, budget, warm=0.1, least=5):
    """Times step(), which returns when its result is there, until the budget is spent."""
    started = time.perf_counter()
    step()
    while time.perf_counter() - started < min(warm, budget):
        step()
    times = []
    others, own, started = machine_cpu(), own_cpu(), time.perf_counter()
    while len(times) < least or time.perf_counter() - started < budget:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    wall = time.perf_counter() - started
    others = max(0.0, (machine_cpu() - others) - (own_cpu() - own)) / wall
    return times, others


def resident(key):
    """MiB of memory in use (VmRSS) or the most so far (VmHWM)."""
    with open("/proc/self/status") as f:
        line = next(line for line in f if line.startswith(key + ":"))
    return int(line.split()[1]) / 1024


def serve(peer, prepare):
    """Takes one JSON object a line on stdin and answers with one on stdout.

    {"do": "prepare", "variant", "D", "L", "batch"}   makes the step and runs it once
    {"do": "time", "budget"}                          a row of results
    {"do": "memory"}                                  MiB in use, and the most so far
    {"do": "drop"}                                    frees the step
    """
    threads = int(sys.argv[1])
    base = resident("VmRSS")
    step, case = None, None
    # Only answers go to stdout, whatever a library prints.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        answer = {}
        if order["do"] == "prepare":
            case = {k: order[k] for k in ("variant", "D", "L", "batch")}
            step = None
            step = prepare(case["variant"], case["D"], case["L"], case["batch"])
            step()
        elif order["do"] == "time":
            times, others = measure(step, order["budget"])
            answer = dict(peer=peer, **case, threads=threads,
                          ms_median=1e3 * statistics.median(times), ms_min=1e3 * min(times),
                          n=len(times), other_cpu=round(others, 2), dtype="f32")
        elif order["do"] == "memory":
            answer = dict(rss_base_mib=base, rss_peak_mib=resident("VmHWM"))
        elif order["do"] == "drop":
            step = None
        print(json.dumps(answer), file=answers, flush=True)
