"""How the comparisons write down what they found."""
import csv
import json
import sys

from machine import ROOT, stem


def table_of(head, lines):
    """A markdown table."""
    rows = [head, ["--"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def publish(results, text, name, record):
    """Prints the page `text`, and keeps it under target/ with results and rows; with `record` in benches/record too."""
    write(results, text, ROOT / f"target/{name}/latest", "results")
    if record:
        write(results, text, ROOT / "benches/record", f"{stem(results['machine'])}-{name}")
    print(text)


def write(results, text, folder, stem):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(results, indent=1))
    (folder / f"{stem}.md").write_text(text)
    flat = lambda value: json.dumps(value) if isinstance(value, dict) else value
    with (folder / f"{stem}.csv").open("w") as file:
        rows = csv.DictWriter(file, list(results["rows"][0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows({key: flat(value) for key, value in row.items()} for row in results["rows"])
    print(f"written to {folder}/{stem}.*", file=sys.stderr)
