"""Held-out log-likelihoods and processor times of relgrad and its rivals on small tables.

Started by benches/tables/run, which sets up what this needs. For each seed the rows are permuted; the first fifth is
for test, the last fifth of the rest for validation, the same rows for everyone. A method is a list of candidates; what
it reports on test is the candidate that is best on validation. Likelihoods are means in nats of the data's own units.
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
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy
from sklearn import datasets

import rivals
from machine import machine
from records import publish, table_of

RELGRAD = os.environ["RELGRAD"]
PARTS = ("train", "validation", "test")


def smooth(rows):
    """Repeated values let a density grow without bound. A column with a value in every tenth row goes; in the others
    each value is spread evenly, as wide as the gap to its nearer neighbour."""
    random = numpy.random.default_rng(0)
    columns = []
    for column in rows.T:
        values, which, counts = numpy.unique(column, return_inverse=True, return_counts=True)
        if counts.max() < len(column) / 10:
            gaps = numpy.diff(values)
            gap = numpy.minimum(numpy.append(gaps, numpy.inf), numpy.append(numpy.inf, gaps))
            columns.append(column + gap[which] * random.uniform(-0.5, 0.5, len(column)))
    return numpy.stack(columns, axis=1)


def tables(extra):
    diabetes = datasets.load_diabetes().data
    found = {"wine": datasets.load_wine().data, "breast cancer": datasets.load_breast_cancer().data,
             "diabetes": diabetes, "smoothed diabetes": smooth(diabetes)}
    for name, file in extra:
        found[name] = numpy.load(file) if file.endswith(".npy") else numpy.genfromtxt(file, delimiter=",")
        if not numpy.isfinite(found[name]).all():
            sys.exit(f"{file}: not all of it are numbers; a CSV file should have no header")
    return found


def split(rows, seed):
    rows = rows[numpy.random.default_rng(seed).permutation(len(rows))].astype(float)
    test, rest = numpy.split(rows, [len(rows) // 5])
    train, validation = numpy.split(rest, [len(rest) - round(len(rest) / 5)])
    return dict(zip(PARTS, (train, validation, test)))


def of_relgrad(flags, parts, seed):
    with tempfile.TemporaryDirectory() as folder:
        for part, rows in parts.items():
            numpy.save(f"{folder}/{part}.npy", rows)
        said = subprocess.run([RELGRAD, "train", "--data", "train.npy", "--val", "validation.npy", "--test", "test.npy",
                               "--out", "model", "--json", "--threads", "1", "--seed", str(seed + 1), *flags.split()],
                              cwd=folder, capture_output=True, text=True)
    if said.returncode:
        raise RuntimeError(f"relgrad train {flags}: {said.stderr}")
    found = json.loads(said.stdout)
    likelihoods = found["log_likelihood"]
    return dict(flags=flags, epoch=found["best_epoch"]), likelihoods["validation"], likelihoods["test"]


def of_rival(fit, parts, seed):
    """Standardised for the rival; the determinant of that is put back."""
    mean, deviation = parts["train"].mean(0), parts["train"].std(0)
    train, validation, test = ((parts[part] - mean) / deviation for part in PARTS)
    settings, chosen, scores = fit(train, validation, seed)
    units = numpy.log(deviation).sum()
    return settings, chosen - units, float(scores(test).mean() - units)


RATES = (0.001, 0.003, 0.01)
SMALL = "--layers 4 --activation tanh_mixture:2 --epochs 50"
METHODS = {
    "relgrad, defaults": [partial(of_relgrad, "")],
    "relgrad --thorough": [partial(of_relgrad, "--thorough")],
    "relgrad, best of 3 rates": [partial(of_relgrad, f"--lr {rate}") for rate in (0.01, 0.03, 0.1)],
    # Best on validation over these tables together.
    f"relgrad {SMALL}": [partial(of_relgrad, SMALL)],
    "Gaussian": [partial(of_rival, rivals.gaussian)],
    "mixture of Gaussians, BIC": [partial(of_rival, rivals.mixture)],
    **{f"zuko {name}, best of 3 rates": [partial(of_rival, partial(rivals.flow, name, rate)) for rate in RATES]
       for name in rivals.FLOWS},
}


def processor_time():
    """Seconds of this process and of the programs it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def fit(table, method, candidates, seed, parts):
    """All candidates of a method, best on validation first."""
    rows = []
    for candidate in candidates:
        used, began = processor_time(), time.perf_counter()
        settings, validation, test = candidate(parts, seed)
        rows.append(dict(table=table, method=method, seed=seed, validation=validation, test=test,
                         processor_s=processor_time() - used, wall_s=time.perf_counter() - began, settings=settings))
    print(f"{table}, seed {seed}: {method}", file=sys.stderr)
    return sorted(rows, key=lambda row: -row["validation"])


def chosen(rows):
    """{table: {method: its line}}: the candidate each seed chooses, and what all of them took."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["table"], row["method"], row["seed"]].append(row)
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for (table, method, _), several in groups.items():
        best = max(several, key=lambda row: row["validation"])
        found[table][method].append(dict(best, all_processor_s=sum(row["processor_s"] for row in several)))
    return found


def mean(lines, key):
    return statistics.fmean(line[key] for line in lines)


def markdown(results):
    found = chosen(results["rows"])
    methods = [m for m in METHODS if any(m in lines for lines in found.values())]
    highest = {table: max(mean(lines, "test") for lines in here.values()) for table, here in found.items()}

    def cell(table, method):
        test = mean(found[table][method], "test")
        return f"**{test:.2f}**" if test == highest[table] else f"{test:.2f}"

    parts = ["# relgrad and other densities on small tables",
             table_of(list(results["machine"]), [results["machine"].values()]),
             "Mean log-likelihoods of test rows in nats, means over seeds; what is chosen is chosen on validation rows, "
             "the mixture by BIC. Likelihoods of *diabetes* have no bound, since in two columns one value holds a tenth "
             "of the rows or more: whoever makes the narrowest peaks wins. *Smoothed*, these two are left out and "
             "repeated values of the others spread evenly over the gaps.",
             table_of(["", *found], [[m, *(cell(table, m) for table in found)] for m in methods])]
    for table, here in found.items():
        lines = []
        for method in methods:
            of = sorted(here[method], key=lambda line: line["seed"])
            seeds = ", ".join(f"{line['test']:.2f}" for line in of)
            lines.append([method, cell(table, method), seeds, f"{mean(of, 'validation'):.2f}",
                          f"{mean(of, 'processor_s'):.3f}", f"{mean(of, 'all_processor_s'):.3f}"])
        rows, features = results["shapes"][table]
        head = ["", "test", "seeds " + ", ".join(map(str, results["seeds"])), "validation",
                "processor s, the chosen run", "all its runs"]
        parts += [f"## {table}: {rows} rows, {features} features", table_of(head, lines)]
    return "\n\n".join(parts) + "\n"


def named(text):
    name, equals, file = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: must be NAME=FILE")
    return name, file


def main():
    p = argparse.ArgumentParser(prog="benches/tables/run", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", action="append", default=[], metavar="NAME=FILE", type=named,
                   help="one more table, npy or CSV; can be repeated")
    p.add_argument("--only", type=lambda text: text.split(","), metavar="NAMES", help="these tables alone")
    p.add_argument("--relgrad", action="append", default=[], metavar="FLAGS", help="one more line with these flags of "
                   "`relgrad train`; can be repeated")
    p.add_argument("--seeds", type=lambda text: [int(n) for n in text.split(",")], default=[0, 1, 2])
    p.add_argument("--jobs", type=int, default=1, help="fits at once, each on one thread")
    p.add_argument("--record", action="store_true", help="keep the results in benches/record")
    args = p.parse_args()
    METHODS.update({f"relgrad {flags}": [partial(of_relgrad, flags)] for flags in args.relgrad})
    found = {name: rows for name, rows in tables(args.data).items() if not args.only or name in args.only}
    if not found:
        p.error(f"--only: must name some of {', '.join(tables(args.data))}")
    with ProcessPoolExecutor(args.jobs) as pool:
        fits = [pool.submit(fit, table, method, candidates, seed, split(rows, seed))
                for table, rows in found.items() for method, candidates in METHODS.items() for seed in args.seeds]
        rows = [row for one in fits for row in one.result()]
    results = dict(machine=machine(os.sched_getaffinity(0), ("zuko", "torch", "scikit-learn", "numpy")),
                   seeds=args.seeds, shapes={table: rows.shape for table, rows in found.items()}, rows=rows)
    publish(results, markdown(results), "tables", args.record)


if __name__ == "__main__":
    main()
