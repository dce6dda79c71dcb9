"""Linear ICA by relgrad, python-picard, scikit-learn's FastICA, MNE-Python's extended Infomax and jamica's AMICA.

Started by benches/ica/run, which sets up what this needs. Sources of a kind are drawn and mixed by a matrix of normal
numbers, the same for everyone in a seed. Each method whitens, starts as it does by itself and stops at a gradient of
1e-7 (FastICA, Infomax, AMICA: at their own defaults, the latter two at a limit of iterations too). Times are of one
thread: of the call alone for the others, and for relgrad of the whole process, which starts, reads an npy file and
writes the unmixing matrix.

Of recordings the true sources are not known. What a method takes of the mutual information of the channels is measured
(Delorme et al. 2012): their entropies less those of the components, by m-spacings (Ebrahimi et al. 1994), plus
log |det U|. What remains between two components is measured by 16 x 16 bins, each row and column of as many samples,
less what independent ones would have.
"""
import argparse
import collections
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy
import scipy.stats
from jamica import amica
from mne.preprocessing import infomax
from picard import amari_distance, picard
from sklearn.decomposition import FastICA

from machine import machine
from records import publish, table_of
from recordings import RECORDINGS

RELGRAD = os.environ["RELGRAD"]
# Iterations of Infomax and AMICA, whose own criteria are seldom met.
LIMIT = 500


def two_peaked(random, n):
    return numpy.sign(random.normal(size=n)) + 0.5 * random.normal(size=n)


DRAWS = dict(laplace=lambda random, n: random.laplace(size=n), uniform=lambda random, n: random.uniform(-1, 1, n),
             skewed=lambda random, n: random.exponential(size=n), two_peaked=two_peaked)
KINDS = dict(Laplace=["laplace"], uniform=["uniform"], mixed=["laplace", "uniform"], skewed=["skewed"],
             **{"two-peaked": ["two_peaked"]})


def mixture(kind, dim, rows, seed):
    random = numpy.random.default_rng(seed)
    sources = [DRAWS[KINDS[kind][i % len(KINDS[kind])]](random, rows) for i in range(dim)]
    mixing = random.normal(size=(dim, dim))
    return mixing @ numpy.stack(sources), mixing


def of_relgrad(flags, data, seed):
    with tempfile.TemporaryDirectory() as folder:
        numpy.save(f"{folder}/x.npy", numpy.ascontiguousarray(data.T))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run([RELGRAD, "ica", "x.npy", "--threads", "1", "--seed", str(seed + 1), "--json",
                               "--unmixing", "u.npy", *flags], cwd=folder, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if said.returncode:
            raise RuntimeError(f"relgrad ica {flags}: {said.stderr}")
        found = json.loads(said.stdout)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return numpy.load(f"{folder}/u.npy"), used, found["iterations"], found["stop"] == "converged"


def of_picard(options, data, seed):
    began = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        whitening, unmixing, _, iterations = picard(data, tol=1e-7, max_iter=1000, random_state=seed,
                                                    return_n_iter=True, **options)
    used = time.process_time() - began
    # It counts from 0, and warns.
    converged = not any("converge" in str(one.message) for one in said)
    return unmixing @ whitening, used, iterations + 1, converged


def of_fastica(data, seed):
    rows = numpy.ascontiguousarray(data.T)
    began = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = FastICA(whiten="unit-variance", max_iter=1000, random_state=seed).fit(rows)
    used = time.process_time() - began
    return found.components_, used, found.n_iter_, not any("converge" in str(one.message) for one in said)


def whitened(data):
    centred = data - data.mean(axis=1, keepdims=True)
    scales, axes = numpy.linalg.eigh(numpy.cov(centred))
    whitening = (axes / numpy.sqrt(scales)).T
    return whitening @ centred, whitening


def of_infomax(data, seed):
    began = time.process_time()
    white, whitening = whitened(data)
    unmixing, iterations = infomax(numpy.ascontiguousarray(white.T), extended=True, max_iter=LIMIT, rng=seed,
                                   return_n_iter=True, verbose="error")
    return unmixing @ whitening, time.process_time() - began, iterations, iterations < LIMIT


def of_amica(data, seed):
    began = time.process_time()
    white, whitening = whitened(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, unmixing, _, iterations = amica(white, max_iter=LIMIT, random_state=seed, return_n_iter=True)
    return unmixing @ whitening, time.process_time() - began, iterations, iterations < LIMIT


METHODS = {
    "relgrad ica": lambda data, seed: of_relgrad([], data, seed),
    "relgrad ica --orthogonal": lambda data, seed: of_relgrad(["--orthogonal"], data, seed),
    "Picard, extended": lambda data, seed: of_picard(dict(ortho=False, extended=True), data, seed),
    "Picard-O": lambda data, seed: of_picard(dict(ortho=True), data, seed),
    "FastICA": of_fastica,
    "Infomax, extended": of_infomax,
    "relgrad ica --density sech": lambda data, seed: of_relgrad(["--density", "sech"], data, seed),
    "Picard, tanh": lambda data, seed: of_picard(dict(ortho=False, extended=False), data, seed),
    "AMICA": of_amica,
}
# Of one peaked density: for peaked sources.
PEAKED = ("relgrad ica --density sech", "Picard, tanh")
# A density is fitted to each source, in minutes: for recordings of fewer numbers than this.
FITTED = dict(AMICA=1e6)
# The same function of the data, by another method: their solutions are held against each other.
SAME = {"relgrad ica": "Picard, extended", "relgrad ica --orthogonal": "Picard-O",
        "relgrad ica --density sech": "Picard, tanh"}


def suits(method, kind, numbers):
    if method in FITTED:
        return kind in RECORDINGS and numbers < FITTED[method]
    return method not in PEAKED or kind in ("Laplace", "skewed", *RECORDINGS)


def entropies(components):
    return scipy.stats.differential_entropy(components, axis=1, method="ebrahimi").sum()


def taken(unmixing, data):
    return entropies(data) - entropies(unmixing @ data) + numpy.linalg.slogdet(unmixing)[1]


def between_pairs(components, bins=16):
    dim, samples = components.shape
    places = bins * components.argsort(axis=1).argsort(axis=1) // samples
    found = []
    for i in range(dim):
        for j in range(i):
            shares = numpy.bincount(bins * places[i] + places[j]) / samples
            shares = shares[shares > 0]
            found.append(numpy.sum(shares * numpy.log(bins * bins * shares)))
    return numpy.mean(found) - (bins - 1) ** 2 / (2 * samples)


def markdown(results):
    groups = collections.defaultdict(list)
    for row in results["rows"]:
        groups[row["sources"], row["dim"], row["method"]].append(row)
    of = lambda kind, dim, method, key: [row[key] for row in groups[kind, dim, method]]
    every = list(dict.fromkeys((kind, dim) for kind, dim, _ in groups))
    parts = ["# Linear ICA", table_of(list(results["machine"]), [results["machine"].values()]),
             __doc__.split("\n\n", 1)[1].strip(),
             f"Medians over seeds. In brackets: on how many seeds a method did not converge. Infomax and AMICA end "
             f"after {results['limit']} iterations. AMICA takes recordings of less than a million numbers."]

    def tables(cases, what, measures, about=""):
        methods = [m for m in METHODS if any((*case, m) in groups for case in cases)]
        seeds = {dim: " ".join(map(str, of(kind, dim, methods[0], "seed"))) for kind, dim in cases}
        listed = ", ".join(f"D = {dim}: {which}" for dim, which in seeds.items())
        parts.extend([f"# {what}", *filter(None, [about]), f"Seeds ({listed})."])

        def cell(case, method, key, form):
            if (*case, method) not in groups:
                return ""
            failed = of(*case, method, "converged").count(False)
            text = form(statistics.median(of(*case, method, key)))
            return f"{text} ({failed})" if failed and key == next(iter(measures)) else text

        shared = dict(processor_s=("Processor seconds, one thread", "{:.3f}"), iterations=("Iterations", "{:.0f}"))
        for key, (title, form) in {**measures, **shared}.items():
            parts.extend([f"## {title}", table_of(["sources", "D", *methods], [
                [*case, *(cell(case, m, key, form.format) for m in methods)] for case in cases])])
        rivals = [m for m in methods if not m.startswith("relgrad") and m not in PEAKED]
        median = lambda case, m: statistics.median(of(*case, m, "processor_s"))
        own = [m for m in ("relgrad ica", "relgrad ica --orthogonal") if m in methods]
        if own and rivals:
            parts.extend([f"## Processor time of others, divided by that of {', '.join(own)}",
                          table_of(["sources", "D", *rivals], [
                              [*case, *(", ".join(f"{median(case, m) / median(case, one):.1f}" for one in own)
                                        if (*case, m) in groups else "" for m in rivals)] for case in cases])])
        same = [m for m in SAME if m in methods and SAME[m] in methods]
        if same:
            parts.extend(["## Largest Amari distance between relgrad's and Picard's solutions of the same function",
                          table_of(["sources", "D", *(f"{m}, {SAME[m]}" for m in same)], [
                              [*case, *(f"{max(of(*case, m, 'distance')):.1e}" if (*case, m) in groups else ""
                                        for m in same)] for case in cases])])

    known = [case for case in every if case[0] in KINDS]
    if known:
        tables(known, f"Known sources, {results['samples']} samples",
               dict(amari=("Amari distance (of squares, as python-picard has it)", "{:.2e}")))
    recorded = [case for case in every if case[0] in RECORDINGS]
    if recorded:
        rows = {case: next(row for row in results["rows"] if row["sources"] == case[0]) for case in recorded}
        tables(recorded, "Recordings", dict(
            taken=("Mutual information that a method takes away, nats a sample: the more the better", "{:.3f}"),
            pairs=("Mutual information between two components, mean over pairs, thousandths of nats", "{:.2f}")),
            table_of(["", "package", "", "channels", "samples"],
                     [[name, *RECORDINGS[name][:2], dim, rows[name, dim]["samples"]] for name, dim in recorded]))
    return "\n\n".join(parts) + "\n"


def main():
    numbers = lambda text: [int(n) for n in text.split(",")]
    p = argparse.ArgumentParser(prog="benches/ica/run", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dims", type=numbers, default=[10, 40, 100])
    p.add_argument("--rows", type=int, default=10000, help="samples")
    p.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    p.add_argument("--large-seeds", type=numbers, metavar="SEEDS", help="those of D = 64 and above and of AMICA, where "
                   "others take minutes [default: all]")
    names = lambda text: [name for name in text.split(",") if name]
    p.add_argument("--sources", type=names, default=list(KINDS), metavar="KINDS")
    p.add_argument("--recordings", type=names, default=list(RECORDINGS), metavar="NAMES", help="'' for none, as above")
    p.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD",
                   help=", ".join(f"'{name}'" for name in METHODS))
    p.add_argument("--record", action="store_true", help="keep the results in benches/record")
    args = p.parse_args()
    rows = []

    def compare(kind, dim, draw):
        for seed in args.seeds:
            found = {}
            data, mixing = draw(seed)
            for name in args.methods:
                large = dim >= 64 or name in FITTED
                if not suits(name, kind, data.size) or args.large_seeds and large and seed not in args.large_seeds:
                    continue
                found[name], used, iterations, converged = METHODS[name](data, seed)
                row = dict(sources=kind, dim=dim, samples=data.shape[1], seed=seed, method=name, processor_s=used,
                           iterations=iterations, converged=converged, amari=None, distance=None, taken=None,
                           pairs=None)
                if mixing is None:
                    row.update(taken=taken(found[name], data), pairs=1e3 * between_pairs(found[name] @ data))
                else:
                    row.update(amari=amari_distance(found[name], mixing))
                rows.append(row)
            for row in rows[len(rows) - len(found):]:
                if SAME.get(row["method"]) in found:
                    other = numpy.linalg.inv(found[SAME[row["method"]]])
                    row["distance"] = amari_distance(found[row["method"]], other)
            print(f"{kind}, D = {dim}, seed {seed}", file=sys.stderr)

    for name in args.recordings:
        data = numpy.ascontiguousarray(RECORDINGS[name][-1]())
        compare(name, len(data), lambda _: (data, None))
    for kind in args.sources:
        for dim in args.dims:
            compare(kind, dim, lambda seed: mixture(kind, dim, args.rows, seed))
    packages = ("python-picard", "scikit-learn", "mne", "jamica", "numpy")
    results = dict(machine=machine(os.sched_getaffinity(0), packages), samples=args.rows, limit=LIMIT, rows=rows)
    publish(results, markdown(results), "ica", args.record)


if __name__ == "__main__":
    main()
