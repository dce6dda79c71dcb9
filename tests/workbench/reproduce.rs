//! `relgrad reproduce`: what it writes, and that its line says what its numbers say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use relgrad::hosted::{Toy, write_npy};
use serde_json::Value;

use crate::{json, refusal, relgrad, stdout};

type Row = BTreeMap<String, String>;

/// The rows of a CSV file whose columns are these.
fn rows(folder: &Path, name: &str, columns: &[&str]) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(folder.join(name)).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names, columns, "{name}");
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn number(row: &Row, column: &str) -> f64 {
    let value: f64 = row[column].parse().unwrap_or_else(|_| panic!("{column}: {row:?}"));
    assert!(value.is_finite(), "{column}: {row:?}");
    value
}

/// The numbers of a column, of the rows where another has this value.
fn column(rows: &[Row], which: (&str, &str), of: &str) -> Vec<f64> {
    rows.iter().filter(|r| r[which.0] == which.1).map(|r| number(r, of)).collect()
}

/// Width and height of a PNG that decodes and is no blank sheet.
fn picture(path: &Path) -> (u32, u32) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let colours: BTreeSet<&[u8]> = pixels[..info.buffer_size()].chunks(3).collect();
    assert!(colours.len() > 8, "{}: {} colours", path.display(), colours.len());
    (info.width, info.height)
}

/// A quick run: its folder, and what it prints with --json.
fn quick(what: &str, more: &[&str]) -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let object = json(&[&["reproduce", what, "--quick", "--json", "--out", out], more].concat());
    assert_eq!((&object["figure"], &object["quick"]), (&what.into(), &true.into()));
    let (width, height) = picture(&folder.path().join(format!("{what}.png")));
    assert!(width >= 300 && height >= 100, "{width} {height}");
    (folder, object)
}

fn close(object: &Value, key: &str, expected: f64) {
    let found = object["numbers"][key].as_f64().unwrap();
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{key}: {found} {expected}"
    );
}

fn says(object: &Value, text: &str) {
    let line = object["line"].as_str().unwrap();
    assert!(line.starts_with(object["figure"].as_str().unwrap()) && line.contains("paper: "));
    assert!(line.contains(text), "{text:?} in {line:?}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    0.5 * (values[(n - 1) / 2] + values[n / 2])
}

const CURVES: [&str; 6] = ["method", "rate", "start", "epoch", "seconds", "log_likelihood"];

/// The curve of one method and start.
fn curve(rows: &[Row], method: &str, start: usize) -> Vec<(f64, f64)> {
    rows.iter()
        .filter(|r| r["method"] == method && r["start"] == start.to_string())
        .map(|r| (number(r, "epoch"), number(r, "log_likelihood")))
        .collect()
}

/// For each of three starts, how many times sooner the first method is where the second ends; 0
/// for never.
fn leads(rows: &[Row], [fast, slow]: [&str; 2]) -> Vec<f64> {
    (0..3)
        .map(|start| {
            let (last, end) = *curve(rows, slow, start).last().unwrap();
            let fast = curve(rows, fast, start);
            fast.iter().find(|p| p.0 > 0.0 && p.1 >= end).map_or(0.0, |p| last / p.0)
        })
        .collect()
}

fn mean_final(rows: &[Row], method: &str) -> f64 {
    (0..3).map(|start| curve(rows, method, start).last().unwrap().1).sum::<f64>() / 3.0
}

#[test]
fn figure_1_says_what_its_curves_say() {
    let (folder, object) = quick("fig1", &[]);
    let rows = rows(folder.path(), "fig1.csv", &CURVES);
    // Two gradients, three starts, every second of sixty steps and the start.
    assert_eq!(rows.len(), 2 * 3 * 31);
    let leads = leads(&rows, ["relative", "ordinary"]);
    close(&object, "lead_in_steps", median(leads.clone()));
    close(&object, "sooner", leads.iter().filter(|l| **l > 1.0).count() as f64);
    let finals = ["relative", "ordinary"].map(|m| mean_final(&rows, m));
    says(&object, &format!("final means {:.3} and {:.3}", finals[0], finals[1]));
    for method in ["relative", "ordinary"] {
        for start in 0..3 {
            let curve = curve(&rows, method, start);
            assert!(curve[30].1 > curve[0].1, "{method} {start}: {curve:?}");
        }
    }
    let costs = cost_rows(folder.path(), "fig1_time.csv", 1);
    assert_eq!(costs.len(), 3 * 3);
    close(&object, "ordinary_over_relative", ratio(&costs, "ordinary", 64));
}

#[test]
fn seeds_repeat_and_differ() {
    let run = |seed: &str| {
        let (folder, _) = quick("fig5", &["--seed", seed, "--threads", "1"]);
        let rows = rows(folder.path(), "fig5.csv", &CURVES);
        rows.iter().map(|r| r["log_likelihood"].clone()).collect::<Vec<_>>()
    };
    let first = run("1");
    assert_eq!(first, run("1"));
    assert!(first != run("2"));
}

#[test]
fn figures_5_and_6_say_what_their_curves_say() {
    for (what, names) in [
        ("fig5", ["relative, SGD", "ordinary, SGD", "transposed, SGD"]),
        ("fig6", ["relative, Adam", "ordinary, Adam", "relative, Adam, the paper's biases"]),
    ] {
        let (folder, object) = quick(what, &[]);
        let rows = rows(folder.path(), &format!("{what}.csv"), &CURVES);
        // Four methods, three starts, six epochs and the start.
        assert_eq!(rows.len(), 4 * 3 * 7);
        let leads = leads(&rows, [names[0], names[1]]);
        close(&object, "lead_in_epochs", median(leads));
        for name in names.into_iter().chain(["natural relative"]) {
            says(&object, &format!("{name} {:.3}", mean_final(&rows, name)));
        }
    }
}

#[test]
fn figure_2_compares_with_the_gaussian() {
    let (folder, object) = quick("fig2", &[]);
    let columns = [
        "set",
        "recipe",
        "layers",
        "steps",
        "best_epoch",
        "validation",
        "test",
        "test_standard_error",
        "gaussian",
        "bending",
    ];
    let rows = rows(folder.path(), "fig2.csv", &columns);
    let names: Vec<_> = rows.iter().map(|r| (&*r["set"], &*r["recipe"])).collect();
    let expected = [("sine", "paper"), ("sine", "exact"), ("rings", "paper"), ("rings", "exact")];
    assert_eq!(names, expected);
    let above = |recipe: &str| {
        let test = column(&rows, ("recipe", recipe), "test");
        let gaussian = column(&rows, ("recipe", recipe), "gaussian");
        test.iter().zip(gaussian).filter(|(t, g)| **t > *g).count() as f64
    };
    close(&object, "paper_above_gaussian", above("paper"));
    close(&object, "exact_above_gaussian", above("exact"));
    // Even the small version learns something on one set.
    assert!(above("exact") > 0.0);
    says(&object, &format!("sine {:.3}", number(&rows[1], "test")));
}

/// Costs of gradients at D = 16, 32 and 64.
fn cost_rows(folder: &Path, name: &str, batch: usize) -> Vec<Row> {
    let columns = ["method", "D", "batch", "seconds_min", "seconds_median", "other_cpu"];
    let rows = rows(folder, name, &columns);
    for row in &rows {
        assert_eq!(row["batch"], batch.to_string());
        let [least, median] = ["seconds_min", "seconds_median"].map(|c| number(row, c));
        assert!(0.0 < least && least <= median && median < 1.0, "{row:?}");
    }
    rows
}

/// Over the relative gradient.
fn ratio(rows: &[Row], method: &str, dim: usize) -> f64 {
    let of = |method: &str| {
        let row = rows.iter().find(|r| r["method"] == method && r["D"] == dim.to_string());
        number(row.unwrap(), "seconds_min")
    };
    of(method) / of("relative")
}

#[test]
fn figure_3_says_what_its_times_say() {
    let (folder, object) = quick("fig3", &[]);
    let rows = cost_rows(folder.path(), "fig3.csv", 10);
    assert_eq!(rows.len(), 4 * 3);
    assert!(object["numbers"]["disagreement"].as_f64().unwrap() < 1e-4);
    close(&object, "jacobian_over_relative", ratio(&rows, "jacobian", 64));
    says(&object, &format!("the Jacobian {:.0} times", ratio(&rows, "jacobian", 64)));
    // At three powers of two the slope of least squares is that of the ends.
    let times = column(&rows, ("method", "ordinary"), "seconds_min");
    let exponent = (times[2] / times[0]).log2() / 2.0;
    let found = object["numbers"]["exponents"]["ordinary"].as_f64().unwrap();
    assert!((found - exponent).abs() < 1e-9, "{found} {exponent}");
}

#[test]
fn figure_4_says_what_its_processes_took() {
    let (folder, object) = quick("fig4", &[]);
    let columns = ["method", "D", "params_mib", "sizes_mib", "peak_mib", "multiple"];
    let rows = rows(folder.path(), "fig4.csv", &columns);
    assert_eq!(rows.len(), 5 * 2);
    for row in &rows {
        let d = number(row, "D");
        let [params, peak] = ["params_mib", "peak_mib"].map(|c| number(row, c));
        assert!((params - 8.0 * (d * d + d) / f64::from(1 << 20)).abs() < 1e-9);
        assert!(peak > params, "{row:?}");
        assert!((number(row, "multiple") - peak / params).abs() < 1e-9);
    }
    let sizes = |method: &str| column(&rows, ("method", method), "sizes_mib")[1];
    assert!(2.0 * sizes("relative, natural") < sizes("relative, Adam"));
    assert!(sizes("relative, Adam") < sizes("ordinary, Adam"));
    let last = column(&rows, ("method", "relative, Adam"), "multiple")[1];
    says(&object, &format!("relative, Adam {last:.1} (D = 256)"));
}

/// Rows of `dim` features made of two-dimensional points.
fn write_set(folder: &Path, name: &str, dim: usize) {
    for (part, seed, rows) in [("train", 1, 600), ("validation", 2, 200), ("test", 3, 200)] {
        let data = Toy::Rings.sample::<f32>(rows * dim / 2, seed).unwrap();
        write_npy(folder.join(format!("{name}_{part}.npy")), dim, data.values()).unwrap();
    }
}

#[test]
fn table_1_selects_on_validation_and_says_what_is_missing() {
    let data = tempfile::tempdir().unwrap();
    write_set(data.path(), "power", 6);
    let path = data.path().to_str().unwrap();
    let (folder, object) = quick("table1", &["--data", path, "--epochs", "2"]);
    let columns = [
        "set",
        "D",
        "train_rows",
        "candidate",
        "epochs",
        "best_epoch",
        "validation",
        "selected",
        "test",
        "test_standard_error",
        "gaussian",
        "paper",
        "paper_error",
        "seconds",
    ];
    let rows = rows(folder.path(), "table1.csv", &columns);
    assert_eq!(rows.len(), 3);
    let validation: Vec<f64> = rows.iter().map(|r| number(r, "validation")).collect();
    let best = validation.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
    for (row, validation) in rows.iter().zip(validation) {
        assert_eq!(row["selected"], (validation == best).to_string());
        assert_eq!((number(row, "paper"), number(row, "epochs")), (0.065, 2.0));
    }
    let chosen = rows.iter().find(|r| r["selected"] == "true").unwrap();
    says(&object, &format!("power {:.3} +- ", number(chosen, "test")));
    says(&object, "not there: gas, hepmass, miniboone, bsds300, mnist");
    says(&object, chosen["candidate"].as_str());

    // Without --json it says how to get the others.
    let out = folder.path().to_str().unwrap();
    let args = ["reproduce", "table1", "--quick", "--data", path, "--out", out];
    let output = relgrad(&args);
    assert!(stdout(&output).starts_with("table1: paper: power 0.065 +- 0.013; here: "));
    assert!(String::from_utf8_lossy(&output.stderr).contains("relgrad prepare mnist"));
}

#[test]
fn what_cannot_be_reproduced_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let out = data.path().join("out");
    let out = out.to_str().unwrap();
    let table = ["reproduce", "table1", "--data", path, "--quick", "--json", "--out", out];
    let text = refusal(&table);
    assert!(text.contains("power") && text.contains("prepare"), "{text}");
    write_set(data.path(), "gas", 6);
    let text = refusal(&table);
    assert!(text.contains("gas_train.npy") && text.contains("must be 8"), "{text}");
    write_set(data.path(), "gas", 8);
    std::fs::remove_file(data.path().join("gas_validation.npy")).unwrap();
    assert!(refusal(&table).contains("gas_validation.npy"));
    assert!(refusal(&["reproduce", "table1", "--out", out]).contains("--data"));
    assert!(refusal(&["reproduce", "fig9"]).contains("fig9"));
    // A file where the folder must be.
    let taken = data.path().join("gas_test.npy");
    let text = refusal(&["reproduce", "fig3", "--quick", "--out", taken.to_str().unwrap()]);
    assert!(text.contains("gas_test.npy"), "{text}");
}
