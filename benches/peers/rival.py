"""What the rivals share: the problem, the clock, and a loop that takes orders on stdin.

All train the same network on the same work as `relgrad bench`: y_k = z_{k-1} W_k + b_k (rows
are samples, W_k is (in, out)), z_k = s(y_k) for k < L with the smooth leaky ReLU, the last layer
affine, a standard normal base, and the relative gradient with the `separate` bias rule,

    dW_k = W_k (u_k^T delta_k) - W_k,   db_k = sum delta_k,   u_k = z_{k-1} W_k,

delta_k being the derivative of the negative mean log-likelihood by y_k, so steps descend. All
start from the identity, as relgrad does; the first step makes it dense.
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


def batch(D, B):
    """Rows of unit variance."""
    return np.random.default_rng(7).standard_normal((B, D), dtype=np.float32)


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
