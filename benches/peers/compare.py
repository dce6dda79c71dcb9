"""Times relgrad, JAX, PyTorch and NumPy alternately and writes tables and pictures.

Started by benches/peers/run, which sets up what this needs. Every cell is timed in rounds; in
each round every competitor has its turn, on the same cores, one at a time. Rivals are processes
that stay, so that imports and compilation are not timed.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import figures
import report
from machine import ROOT, machine, stem
from rival import STEPS

HERE = pathlib.Path(__file__).resolve().parent
RELGRAD = os.environ["RELGRAD"]
RIVALS = ("jax", "torch", "numpy")


def environment(threads):
    """Thread counts said once for every library, and nothing that slows a BLAS down."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "OMP_", "MKL_", "KMP_"))}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = str(threads)
    env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false" if threads == 1 else ""
    env.update(JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="")
    return env


def start(command, threads, cores, **more):
    """A process on the last `threads` of `cores`."""
    pin = lambda: os.sched_setaffinity(0, cores[-threads:])
    return subprocess.Popen(command, env=environment(threads), preexec_fn=pin, text=True,
                            stdout=subprocess.PIPE, **more)


def relgrad(arguments, threads, cores):
    """What `relgrad bench` prints, or None if it refuses the number of threads."""
    command = [RELGRAD, "bench", "--json", "--threads", str(threads), *arguments]
    process = start(command, threads, cores, stderr=subprocess.PIPE)
    out, errors = process.communicate()
    if process.returncode:
        if "threads" in errors:
            return None
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}: {errors}")
    return [json.loads(line) for line in out.splitlines()]


class Rival:
    """A process that holds one prepared step at a time."""

    def __init__(self, name, threads, cores):
        self.name = name
        command = [sys.executable, str(HERE / f"{name}_rival.py"), str(threads)]
        self.process = start(command, threads, cores, stdin=subprocess.PIPE)

    def ask(self, do, **order):
        print(json.dumps(dict(do=do, **order)), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended at {do} {order}; its message is above")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def our_case(variant, D, L, B):
    gradient, optimizer = variant.split("_")
    case = ["--dim", str(D), "--layers", str(L), "--batch", str(B), "--optimizer", optimizer.replace("grad", "none")]
    if gradient == "learned":
        return [*case, "--activation", f"tanh_mixture:{STEPS}"]
    return [*case, "--gradient", gradient]


def best_variants(rival, kind, D, L):
    """Of each rival the variants that could be its best; kind is relative or learned."""
    if rival == "jax" and L >= 10:
        return [f"{kind}_scan_adam"]
    # Compiled, small products gain, and curves at all sizes; many layers take minutes to compile.
    if rival == "torch" and L < 10 and D <= 1024:
        return [f"{kind}_adam", f"{kind}_compiled_adam"]
    return [f"{kind}_adam"]


def time_cell(cell, ours, theirs, args, threads, cores, limits):
    """Rounds over all competitors. `theirs` are (rival, variant)."""
    D, L, B = cell
    for rival, variant in theirs:
        rival.ask("prepare", variant=variant, D=D, L=L, batch=B)
    rows = []
    for number in range(args.rounds):
        for variant in ours:
            case = [*our_case(variant, D, L, B), "--budget", str(args.budget), "--limits", str(limits)]
            rows += [{**row, "variant": variant} for row in relgrad(case, threads, cores)]
        for rival, _ in theirs:
            # Whoever ran before may still be spinning.
            time.sleep(0.05)
            rows.append(rival.ask("time", budget=args.budget))
        print(f"\r{threads} threads, D {D}, L {L}, B {B}: round {number + 1}", end=" ", file=sys.stderr)
    for rival, _ in theirs:
        rival.ask("drop")
    print(file=sys.stderr)
    # A run that is broken off leaves what it has measured.
    with (args.out / "rows.jsonl").open("a") as kept:
        kept.writelines(json.dumps(row) + "\n" for row in rows)
    return rows


def compare(args, cores, limits, cells, ours):
    """All cells, with the rivals' variants of the kind that ours are."""
    rows, kind = [], ours[0].split("_")[0]
    for threads in args.threads:
        started = [Rival(name, threads, cores) for name in RIVALS]
        extra = Rival("torch", threads, cores) if args.compiled else None
        for cell in cells:
            theirs = []
            for rival in started:
                # A process holds one step, so a second variant needs a second process.
                for who, variant in zip((rival, extra), best_variants(rival.name, kind, *cell[:2])):
                    theirs += [(who, variant)] if who else []
            rows += time_cell(cell, ours, theirs, args, threads, cores, limits)
        for rival in [*started, extra]:
            if rival:
                rival.close()
    return rows


# Against D at B = 10: who, what, and up to which D.
CURVES = [("relgrad", "relative_natural", 8192), ("relgrad", "relative_adam", 8192),
          ("relgrad", "ordinary_adam", 2048), ("jax", "relative_adam", 4096),
          ("jax", "ordinary_adam", 2048), ("jax", "autodiff_adam", 256)]


def cost(args, cores, limits):
    rows, jax = [], Rival("jax", 1, cores)
    for D in args.cost_dims:
        here = [(who, variant) for who, variant, most in CURVES if D <= most]
        ours = [v for who, v in here if who == "relgrad"]
        rows += time_cell((D, 2, 10), ours, [], args, 1, cores, limits)
        for variant in [v for who, v in here if who == "jax"]:
            rows += time_cell((D, 2, 10), [], [(jax, variant)], args, 1, cores, limits)
    jax.close()
    return rows


def memory(args, cores, _):
    """Each in a process of its own, which does nothing else."""
    D, L, B = args.memory_dim, 2, 100
    rows = []
    for variant in ("relative_natural", "relative_sgd", "relative_adam"):
        rows += relgrad([*our_case(variant, D, L, B), "--budget", "0.01"], 1, cores)
    for name in RIVALS:
        rival = Rival(name, 1, cores)
        rival.ask("prepare", variant="relative_adam", D=D, L=L, batch=B)
        rows.append(dict(peer=name, variant="relative_adam", D=D, L=L, batch=B, **rival.ask("memory")))
        rival.close()
    return rows


# Each makes rows of the results, under its name.
PARTS = dict(
    cells=lambda args, cores, limits: compare(args, cores, limits, args.cells, report.OURS),
    learned=lambda args, cores, limits: compare(args, cores, limits, args.learned, report.LEARNED),
    cost=cost, memory=memory)


def arguments():
    p = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(n) for n in text.split(",")]
    p.add_argument("--quick", action="store_true", help="a handful of cells, in about two minutes")
    p.add_argument("--record", action="store_true", help="keep the results in benches/record")
    p.add_argument("--threads", type=numbers, default=[1, 2])
    p.add_argument("--dims", type=numbers, default=[16, 64, 256, 784, 2048, 5000])
    p.add_argument("--batches", type=numbers, default=[1, 10, 100])
    p.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS),
                   help="what to measure, of " + ",".join(PARTS))
    p.add_argument("--cost-dims", type=numbers, default=[128, 256, 512, 1024, 2048, 4096, 8192])
    p.add_argument("--memory-dim", type=int, default=5000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--budget", type=float, default=0.4, help="seconds a turn")
    p.add_argument("--compiled", action="store_true",
                   help="time torch.compile too where it compiles soon (needs a C++ compiler); records do")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "target/peers/latest")
    args = p.parse_args()
    args.cells = [(2, 100, 100)] + [(D, 2, B) for D in args.dims for B in args.batches]
    args.learned = [(2, 16, 100)] + [(D, 2, B) for D in (64, 784) for B in (10, 100)]
    args.compiled |= args.record
    if not set(args.parts) <= set(PARTS):
        p.error("--parts takes some of " + ",".join(PARTS))
    if args.quick:
        args.cells = [(2, 100, 100), (16, 2, 10), (256, 2, 10), (784, 2, 10), (784, 2, 100)]
        args.learned = [(64, 2, 10), (784, 2, 100)]
        args.cost_dims, args.memory_dim = [64, 128, 256, 512], 1000
        args.rounds, args.budget = 2, 0.1
    return args


def main():
    args = arguments()
    cores = sorted(os.sched_getaffinity(0))
    probe = ["--dim", "2", "--budget", "0.001"]
    for threads in list(args.threads):
        if threads > len(cores) or relgrad(probe, threads, cores) is None:
            print(f"{threads} threads: left out, {len(cores)} cores here and what relgrad takes", file=sys.stderr)
            args.threads.remove(threads)
    if not args.threads:
        sys.exit("no number of threads is left")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "rows.jsonl").unlink(missing_ok=True)
    limits = args.out / "limits.json"
    found = [one for threads in args.threads for one in relgrad(["--roofline"], threads, cores)]
    found = {key: [x for one in found for x in one[key]] for key in ("peaks", "memories")}
    limits.write_text(json.dumps(found))
    results = dict(machine=machine(cores, RIVALS), limits=found)
    for name, part in PARTS.items():
        results[name] = part(args, cores, limits) if name in args.parts else []
    publish(results, args.out, "results")
    if args.record:
        publish(results, ROOT / "benches/record", stem(results["machine"]))
    print(report.markdown(results))


def publish(results, folder, stem):
    """The rows, the tables and the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = dict(ratios="cells", cost="cost", memory="memory")
    pictures = {kind: f"{stem}-{kind}.png" for kind, part in shown.items() if results[part]}
    (folder / f"{stem}.json").write_text(json.dumps(results, indent=1))
    (folder / f"{stem}.csv").write_text(report.csv_text(results))
    (folder / f"{stem}.md").write_text(report.markdown(results, pictures))
    for kind, name in pictures.items():
        getattr(figures, kind)(results, folder / name)
    print(f"written to {folder}/{stem}.*", file=sys.stderr)


if __name__ == "__main__":
    main()
