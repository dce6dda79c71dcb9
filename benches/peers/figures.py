"""Pictures of the results."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import TwoSlopeNorm

import report

NAMES = {"relative_adam": "Adam", "relative_natural": "natural"}


def save(figure, path):
    figure.savefig(path, dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def ratios(results, path):
    """A map for each optimizer and number of threads: D down, batch across."""
    table = report.ratios(results["cells"])
    counts = sorted({line["cell"][3] for line in table}) or [1]
    figure, axes = plt.subplots(len(counts), 2, squeeze=False, figsize=(9, 0.6 + 4.2 * len(counts)))
    for row, threads in zip(axes, counts):
        here = [line for line in table if line["cell"][3] == threads]
        sizes = sorted({line["cell"][:2] for line in here})
        batches = sorted({line["cell"][2] for line in here})
        for axis, variant in zip(row, report.OURS):
            grid = np.full((len(sizes), len(batches)), np.nan)
            for line in here:
                at = sizes.index(line["cell"][:2]), batches.index(line["cell"][2])
                grid[at] = line["ratio"].get(variant, np.nan)
            axis.set_facecolor("0.92")
            # Doublings, so that twice as fast and half as fast are equally far from white.
            axis.imshow(np.log2(grid), cmap="RdYlGn", norm=TwoSlopeNorm(0, -2, 4), aspect="auto")
            for (i, j), ratio in np.ndenumerate(grid):
                if ratio == ratio:
                    axis.text(j, i, f"{ratio:.2f}", ha="center", va="center")
            axis.set_xticks(range(len(batches)), batches)
            axis.set_yticks(range(len(sizes)), [f"{D}" if L == 2 else f"{D}, L = {L}" for D, L in sizes])
            mean = report.geometric_mean(grid[grid == grid])
            plural = "s" if threads > 1 else ""
            axis.set_title(f"{NAMES[variant]}, {threads} thread{plural}: geometric mean {mean:.2f}", fontsize=10)
            axis.set_xlabel("rows of a step")
            axis.set_ylabel("features")
    figure.suptitle("Best peer's Adam step, in steps of relgrad (above 1: relgrad is faster)")
    figure.tight_layout()
    save(figure, path)


def speed(results, path):
    """The README's picture: Adam's steps on one thread, bars for each size and batch."""
    table = [line for line in report.ratios(results["cells"]) if line["cell"][3] == 1]
    sizes = sorted({line["cell"][:2] for line in table if line["cell"][1] == 2})
    batches = sorted({line["cell"][2] for line in table})
    ratio = {line["cell"][:3]: line["ratio"]["relative_adam"] for line in table}
    figure, axis = plt.subplots(figsize=(7.5, 2.9))
    for j, batch in enumerate(batches):
        at = np.arange(len(sizes)) + 0.27 * (j - 1)
        bars = axis.bar(at, [ratio[D, L, batch] for D, L in sizes], 0.25, color=["#08519c", "#4292c6", "#9ecae1"][j],
                        label=f"{batch} row{'s' if batch > 1 else ''} per step")
        axis.bar_label(bars, fmt=lambda r: f"{r:.1f}", fontsize=7, padding=1)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_yscale("log", base=2)
    axis.set_yticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    axis.set_ylim(0.8, 32)
    axis.set_xticks(range(len(sizes)), [f"D = {D}" for D, _ in sizes])
    axis.set_ylabel("times as fast")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper right")
    save(figure, path)


def cost(results, path):
    figure, axis = plt.subplots(figsize=(7.5, 5.5))
    for (peer, variant), line in report.curves(results["cost"]).items():
        raw, net = report.exponents(line)
        label = f"{peer} {variant.replace('_', ' ')}"
        label += "" if raw is None else f", D^{raw:.2f}"
        label += "" if net is None else f" ({net:.2f} net of cache levels)"
        style = "-o" if peer == "relgrad" else "--s"
        axis.loglog([D for D, _ in line], [r["ms_median"] for _, r in line], style, label=label, markersize=4)
    sizes = sorted({D for line in report.curves(results["cost"]).values() for D, _ in line})
    axis.set_xticks(sizes, sizes)
    axis.minorticks_off()
    axis.set_xlabel("features D")
    axis.set_ylabel("ms a step, 10 rows, 1 thread")
    axis.set_title(f"Cost against D; exponents fitted from D = {report.FIT_FROM}")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
    save(figure, path)


def memory(results, path):
    rows = results["memory"]
    figure, axis = plt.subplots(figsize=(7.5, 0.8 + 0.5 * len(rows)))
    labels = [f"{r['peer']} {r['variant'].split('_')[-1]}" for r in rows]
    net = [r["rss_peak_mib"] - r["rss_base_mib"] for r in rows]
    bars = axis.barh(labels, net, color=["tab:green" if r["peer"] == "relgrad" else "tab:gray" for r in rows])
    axis.bar_label(bars, fmt="%.0f", padding=3)
    axis.margins(x=0.1)
    parameters = next((r["params_mib"] for r in rows if r["peer"] == "relgrad"), None)
    if parameters:
        axis.axvline(parameters, color="black", linestyle=":", label="the parameters themselves")
        axis.legend(loc="lower right")
    axis.invert_yaxis()
    axis.set_xlabel("peak MiB above the process's start")
    axis.set_title("Memory of training, D = {D}, L = {L}, {batch} rows".format(**rows[0]))
    save(figure, path)


if __name__ == "__main__":
    # python3 figures.py RECORD.json PICTURE.png: the picture of the README.
    import json
    import sys

    with open(sys.argv[1]) as record:
        speed(json.load(record), sys.argv[2])
