"""Tables from rows of results; the standard library alone."""
import collections
import csv
import io
import math
import statistics

# relgrad's steps: with the fixed activation, and with learned curves.
OURS = ("relative_adam", "relative_natural")
LEARNED = ("learned_adam", "learned_natural")
RIVALS = ("jax", "torch", "numpy")
# Above this many cores kept busy by others, a row is marked.
QUIET = 0.2


def merge(rows):
    """One row for each case: the median of the rounds' medians, the least of all, the most noise."""
    rounds = collections.defaultdict(list)
    for row in rows:
        rounds[tuple(row[k] for k in ("peer", "variant", "D", "L", "batch", "threads"))].append(row)
    merged = {}
    for key, several in rounds.items():
        row = dict(several[-1])
        row["ms_median"] = statistics.median(r["ms_median"] for r in several)
        row["ms_min"] = min(r["ms_min"] for r in several)
        row["n"] = sum(r["n"] for r in several)
        row["other_cpu"] = max(r["other_cpu"] or 0 for r in several)
        if row.get("limit_ms"):
            row["share"] = row["limit_ms"] / row["ms_median"]
        merged[key] = row
    return merged


def best(merged, peer, cell):
    """A peer's fastest Adam step of a cell (D, L, batch, threads), or None."""
    rows = [r for (p, variant, *c), r in merged.items()
            if p == peer and tuple(c) == cell and variant.endswith("adam")]
    return min(rows, key=lambda r: r["ms_median"], default=None)


def ratios(rows, ours=OURS):
    """For each cell: our rows, each rival's best, and how many times the best rival takes ours."""
    merged = merge(rows)
    cells = sorted({key[2:] for key in merged if key[0] == "relgrad"}, key=lambda c: (c[3], c[0], c[2]))
    table = []
    for cell in cells:
        rivals = {peer: best(merged, peer, cell) for peer in RIVALS}
        known = {peer: r for peer, r in rivals.items() if r}
        if not known:
            continue
        winner = min(known, key=lambda peer: known[peer]["ms_median"])
        line = dict(cell=cell, ours={}, ratio={}, rivals=rivals, winner=winner)
        for variant in ours:
            row = merged.get(("relgrad", variant, *cell))
            if row:
                line["ours"][variant] = row
                line["ratio"][variant] = known[winner]["ms_median"] / row["ms_median"]
        everyone = [*line["ours"].values(), *known.values()]
        line["noisy"] = any(r["other_cpu"] > QUIET for r in everyone)
        table.append(line)
    return table


def geometric_mean(numbers):
    numbers = list(numbers)
    return math.exp(sum(map(math.log, numbers)) / len(numbers)) if numbers else math.nan


def exponent(points):
    """The slope of a line through (log D, log y), by least squares; None for less than two."""
    points = [(math.log(x), math.log(y)) for x, y in points]
    if len(points) < 2:
        return None
    mean_x, mean_y = (statistics.fmean(p[i] for p in points) for i in (0, 1))
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def curves(rows):
    """{(peer, variant): [(D, row), ...]} by growing D."""
    lines = collections.defaultdict(list)
    for (peer, variant, D, *_), row in merge(rows).items():
        lines[peer, variant].append((D, row))
    return {key: sorted(line, key=lambda p: p[0]) for key, line in lines.items()}


# Fits start here: below, calls and not products take the time.
FIT_FROM = 256


def exponents(line):
    """The exponent of a curve; and net of cache levels: that of the time over its limit, which
    grows as D^2 but for them (for relative gradients; None for others)."""
    fitted = [(D, r) for D, r in line if D >= FIT_FROM]
    square = [(D, r) for D, r in fitted if r.get("limit_ms") and r["variant"].startswith("relative")]
    net = exponent([(D, D ** 2 * r["ms_median"] / r["limit_ms"]) for D, r in square])
    return exponent([(D, r["ms_median"]) for D, r in fitted]), net


def table_of(head, lines):
    """A markdown table."""
    rows = [head, ["--"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def number(x, digits=4):
    return "-" if x is None else f"{x:.{digits}g}"


def share(row):
    return "-" if not row or not row.get("share") else f"{100 * row['share']:.0f} % {row['bound']}"


def markdown(results, pictures=None):
    pictures = pictures or {}
    shown = lambda kind: [f"![{kind}]({pictures[kind]})"] if kind in pictures else []
    parts = ["# relgrad and its peers", table_of(list(results["machine"]), [results["machine"].values()])]
    if results["cells"]:
        table = ratios(results["cells"])
        parts += ["## Training steps, f32", summary(table), *shown("ratios"), cells(table)]
    # Earlier records have none.
    if results.get("learned"):
        table = ratios(results["learned"], LEARNED)
        parts += ["## Learned curves, Adam: best rival / relgrad", summary(table, LEARNED), cells(table, LEARNED)]
    parts += ["## The machine's limits", *limits(results["limits"])]
    if results["cost"]:
        parts += ["## Cost against D, B = 10, 1 thread", cost(results["cost"]), *shown("cost")]
    if results["memory"]:
        parts += ["## Peak memory of a training process", memory(results["memory"]), *shown("memory")]
    return "\n\n".join(parts) + "\n"


def summary(table, ours=OURS):
    lines = []
    for threads in sorted({line["cell"][3] for line in table}):
        here = [line for line in table if line["cell"][3] == threads]
        for variant in ours:
            found = [(line["ratio"][variant], line["cell"]) for line in here if variant in line["ratio"]]
            if found:
                worst = min(found)
                lines.append([threads, variant, len(found), number(geometric_mean(r for r, _ in found), 3),
                              f"{worst[0]:.2f} at D {worst[1][0]}, B {worst[1][2]}",
                              sum(r < 1 for r, _ in found)])
    head = ["threads", "relgrad's", "cells", "geometric mean of ratios", "lowest", "below 1"]
    return table_of(head, lines)


def cells(table, ours=OURS):
    head = ["threads", "D", "L", "B", "relgrad adam", "relgrad natural", *RIVALS,
            "best / adam", "best / natural", "adam of limit", "natural of limit", ""]
    lines = []
    for line in table:
        D, L, B, threads = line["cell"]
        adam, natural = (line["ours"].get(v) for v in ours)
        times = [adam, natural, *(line["rivals"][p] for p in RIVALS)]
        lines.append([threads, D, L, B, *(number(r and r["ms_median"]) for r in times),
                      *(f"{line['ratio'][v]:.2f}" if v in line["ratio"] else "-" for v in ours),
                      share(adam), share(natural), "*" if line["noisy"] else ""])
    note = f"Milliseconds, medians. \\* others kept more than {QUIET} cores busy during one of the row's turns."
    return table_of(head, lines) + "\n\n" + note


def limits(found):
    peaks = [[p["threads"], p["dtype"], p["level"], number(p["gflops"], 4)] for p in found["peaks"]]
    memories = [[m["threads"], m["memory"], number(m["bytes"] / 2**20, 3),
                 *(number(m[k], 3) for k in ("read_gbs", "update_gbs", "copy_gbs"))] for m in found["memories"]]
    return [table_of(["threads", "dtype", "level", "GFLOP/s"], peaks),
            table_of(["threads", "memory", "MiB", "read GB/s", "update GB/s", "copy GB/s"], memories)]


def cost(rows):
    lines = []
    for (peer, variant), line in curves(rows).items():
        raw, net = exponents(line)
        times = ", ".join(f"{D}: {number(r['ms_median'], 3)}" for D, r in line)
        lines.append([peer, variant, number(raw, 3), number(net, 3), times])
    head = ["", "", f"exponent from D = {FIT_FROM}", "net of cache levels", "ms at D"]
    return table_of(head, lines)


def memory(rows):
    parameters = next((r["params_mib"] for r in rows if r["peer"] == "relgrad"), None)
    lines = []
    for r in rows:
        net = r["rss_peak_mib"] - r["rss_base_mib"]
        lines.append([r["peer"], r["variant"], r["D"], number(r["rss_base_mib"]), number(r["rss_peak_mib"]),
                      number(net), number(net / parameters, 3) if parameters else "-"])
    return table_of(["", "", "D", "base MiB", "peak MiB", "peak - base", "of the parameters"], lines)


def csv_text(results):
    """The cells' table for other programs."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(["threads", "D", "L", "batch", *OURS, *RIVALS, "best_peer",
                    *(f"ratio_{v}" for v in OURS), *(f"share_{v}" for v in OURS), "noisy", "curves"])
    tables = [("fixed", OURS, results["cells"]), ("learned", LEARNED, results.get("learned", []))]
    for curves, variants, rows in tables:
        for line in ratios(rows, variants):
            D, L, B, threads = line["cell"]
            ours = [line["ours"].get(v) for v in variants]
            median = lambda r: "" if r is None else r["ms_median"]
            write.writerow([threads, D, L, B, *map(median, ours), *(median(line["rivals"][p]) for p in RIVALS),
                            line["winner"], *(line["ratio"].get(v, "") for v in variants),
                            *((r or {}).get("share", "") for r in ours), int(line["noisy"]), curves])
    return out.getvalue()
