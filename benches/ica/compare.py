"""Amari distances and processor times of linear ICA: relgrad, python-picard and scikit-learn's FastICA.

Started by benches/ica/run, which sets up what this needs. Sources of a kind are drawn and mixed by a matrix of normal
numbers, the same for everyone in a seed. Each method whitens, starts as it does by itself and stops at a gradient of
1e-7 (FastICA: at its own default, 1e-4). Times are of one thread: of the call alone for the others, and for relgrad of
the whole process, which starts, reads an npy file and writes the unmixing matrix.
"""
import argparse
import collections
import csv
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy
from picard import amari_distance, picard
from sklearn.decomposition import FastICA

from machine import ROOT, machine, stem

RELGRAD = os.environ["RELGRAD"]


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


METHODS = {
    "relgrad ica": lambda data, seed: of_relgrad([], data, seed),
    "relgrad ica --orthogonal": lambda data, seed: of_relgrad(["--orthogonal"], data, seed),
    "Picard, extended": lambda data, seed: of_picard(dict(ortho=False, extended=True), data, seed),
    "Picard-O": lambda data, seed: of_picard(dict(ortho=True), data, seed),
    "FastICA": of_fastica,
    "relgrad ica --density sech": lambda data, seed: of_relgrad(["--density", "sech"], data, seed),
    "Picard, tanh": lambda data, seed: of_picard(dict(ortho=False, extended=False), data, seed),
}
# Of one peaked density: for peaked sources.
PEAKED = ("relgrad ica --density sech", "Picard, tanh")
# The same function of the data, by another method: their solutions are held against each other.
SAME = {"relgrad ica": "Picard, extended", "relgrad ica --orthogonal": "Picard-O",
        "relgrad ica --density sech": "Picard, tanh"}


def table_of(head, lines):
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in [head, ["--"] * len(head), *lines])


def markdown(results):
    groups = collections.defaultdict(list)
    for row in results["rows"]:
        groups[row["sources"], row["dim"], row["method"]].append(row)
    of = lambda kind, dim, method, key: [row[key] for row in groups[kind, dim, method]]
    cases = list(dict.fromkeys((kind, dim) for kind, dim, _ in groups))
    methods = [m for m in METHODS if any((*case, m) in groups for case in cases)]
    seeds = {dim: sorted({row["seed"] for row in results["rows"] if row["dim"] == dim}) for _, dim in cases}
    listed = ", ".join(f"D = {dim}: {' '.join(map(str, of))}" for dim, of in seeds.items())
    parts = ["# Linear ICA", table_of(list(results["machine"]), [results["machine"].values()]), __doc__.split("\n\n", 1)[1],
             f"{results['samples']} samples, medians over seeds ({listed}). In brackets: on how many seeds a method did "
             f"not converge.",
             "## Amari distance (of squares, as python-picard has it)"]

    def cell(case, method, key, form):
        if (*case, method) not in groups:
            return ""
        failed = of(*case, method, "converged").count(False)
        text = form(statistics.median(of(*case, method, key)))
        return f"{text} ({failed})" if failed and key == "amari" else text

    def table(key, form):
        return table_of(["sources", "D", *methods],
                        [[*case, *(cell(case, m, key, form) for m in methods)] for case in cases])

    parts += [table("amari", "{:.2e}".format), "## Processor seconds, one thread", table("processor_s", "{:.3f}".format),
              "## Iterations", table("iterations", "{:.0f}".format)]
    rivals = [m for m in methods if not m.startswith("relgrad") and m not in PEAKED]
    lines = []
    for case in cases:
        median = lambda m, key: statistics.median(of(*case, m, key))
        own = median("relgrad ica --orthogonal", "processor_s")
        free = median("relgrad ica", "processor_s")
        lines.append([*case, *(f"{median(m, 'processor_s') / free:.1f}, {median(m, 'processor_s') / own:.1f}"
                               for m in rivals)])
    parts += ["## Processor time of others, divided by relgrad's: free, orthogonal",
              table_of(["sources", "D", *rivals], lines),
              "## Largest Amari distance between the solutions of relgrad and Picard for the same function, over seeds",
              table_of(["sources", "D", *(f"{a}, {b}" for a, b in SAME.items())],
                       [[*case, *(f"{max(of(*case, m, 'distance')):.1e}" if (*case, m) in groups else ""
                                  for m in SAME)] for case in cases])]
    return "\n\n".join(parts) + "\n"


def publish(results, folder, stem):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(results, indent=1))
    (folder / f"{stem}.md").write_text(markdown(results))
    with (folder / f"{stem}.csv").open("w") as file:
        write = csv.DictWriter(file, list(results["rows"][0]), lineterminator="\n")
        write.writeheader()
        write.writerows(results["rows"])
    print(f"written to {folder}/{stem}.*", file=sys.stderr)


def main():
    numbers = lambda text: [int(n) for n in text.split(",")]
    p = argparse.ArgumentParser(prog="benches/ica/run", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dims", type=numbers, default=[10, 40, 100])
    p.add_argument("--rows", type=int, default=10000, help="samples")
    p.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    p.add_argument("--large-seeds", type=numbers, metavar="SEEDS", help="those of D = 100 and above [default: all], where "
                   "others take minutes")
    p.add_argument("--sources", type=lambda text: text.split(","), default=list(KINDS), metavar="KINDS")
    p.add_argument("--record", action="store_true", help="keep the results in benches/record")
    args = p.parse_args()
    rows = []
    for kind in args.sources:
        for dim in args.dims:
            for seed in args.large_seeds if args.large_seeds and dim >= 100 else args.seeds:
                data, mixing = mixture(kind, dim, args.rows, seed)
                found = {}
                for name, method in METHODS.items():
                    if name in PEAKED and kind not in ("Laplace", "skewed"):
                        continue
                    found[name], used, iterations, converged = method(data, seed)
                    rows.append(dict(sources=kind, dim=dim, seed=seed, method=name, processor_s=used,
                                     amari=amari_distance(found[name], mixing), iterations=iterations,
                                     converged=converged, distance=None))
                for row in rows[-len(found):]:
                    if row["method"] in SAME:
                        other = numpy.linalg.inv(found[SAME[row["method"]]])
                        row["distance"] = amari_distance(found[row["method"]], other)
                print(f"{kind}, D = {dim}, seed {seed}", file=sys.stderr)
    results = dict(machine=machine(os.sched_getaffinity(0), ("python-picard", "scikit-learn", "numpy")),
                   samples=args.rows, rows=rows)
    publish(results, ROOT / "target/ica/latest", "results")
    if args.record:
        publish(results, ROOT / "benches/record", f"{stem(results['machine'])}-ica")
    print(markdown(results))


if __name__ == "__main__":
    main()
