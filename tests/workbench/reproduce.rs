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
    let own = "relgrad: natural steps, learned curves";
    // Three methods, three starts, twenty epochs and the start.
    assert_eq!(rows.len(), 3 * 3 * 21);
    for (key, method) in [("relative", "relative"), ("ordinary", "ordinary"), ("own", own)] {
        let loss = -mean_final(&rows, method);
        close(&object, &format!("final_loss_{key}"), loss);
        says(&object, &format!("{loss:.3} ({method})"));
        for start in 0..3 {
            let curve = curve(&rows, method, start);
            assert!(curve[20].1 > curve[0].1, "{method} {start}: {curve:?}");
        }
    }
    // The same starts.
    for start in 0..3 {
        let first = ["relative", "ordinary"].map(|m| curve(&rows, m, start)[0]);
        assert_eq!(first[0], first[1]);
    }
    let costs = cost_rows(folder.path(), "fig1_time.csv", 3 * 3);
    close(&object, "ordinary_over_relative", ratio(&costs, "ordinary", 64, 100));
}

#[test]
fn seeds_repeat_and_differ() {
    let run = |seed: &str| {
        let (folder, _) = quick("sgd", &["--seed", seed, "--threads", "1"]);
        let rows = rows(folder.path(), "sgd.csv", &CURVES);
        rows.iter().map(|r| r["log_likelihood"].clone()).collect::<Vec<_>>()
    };
    let first = run("1");
    assert_eq!(first, run("1"));
    assert!(first != run("2"));
}

#[test]
fn curves_of_a_known_network_say_what_they_say() {
    for (what, names) in [
        ("sgd", ["relative, SGD", "ordinary, SGD", "transposed, SGD"]),
        ("adam", ["relative, Adam", "ordinary, Adam", "relative, Adam, the paper's biases"]),
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
fn figures_2_and_5_compare_the_paper_with_what_is_own() {
    for (what, rates) in [("fig2", [0.001, 0.001, 0.005]), ("fig5", [0.001; 3])] {
        let (folder, object) = quick(what, &[]);
        let columns = [
            "set",
            "recipe",
            "layers",
            "rate",
            "epochs",
            "best_epoch",
            "test",
            "test_error",
            "gaussian",
            "truth",
            "seconds",
        ];
        let rows = rows(folder.path(), &format!("{what}.csv"), &columns);
        assert_eq!(rows.len(), 9);
        for (of, rate) in rows.chunks(3).zip(rates) {
            let recipes: Vec<&str> = of.iter().map(|r| &*r["recipe"]).collect();
            assert_eq!(recipes, ["paper", "exact biases", "relgrad"]);
            assert_eq!([number(&of[0], "rate"), number(&of[1], "rate")], [rate; 2]);
            // Nothing is above what the data are drawn from; even the small version learns.
            let [test, truth, gaussian] = ["test", "truth", "gaussian"]
                .map(|c| of.iter().map(|r| number(r, c)).collect::<Vec<_>>());
            assert!(test.iter().zip(&truth).all(|(t, limit)| t < limit), "{of:?}");
            assert!(test[2] > gaussian[2], "{of:?}");
            says(&object, &format!("{} {:.3}", of[2]["set"], test[2]));
        }
    }
}

/// Costs of gradients, so many.
fn cost_rows(folder: &Path, name: &str, count: usize) -> Vec<Row> {
    let columns = [
        "method",
        "D",
        "batch",
        "threads",
        "gradients",
        "seconds_mean",
        "seconds_error",
        "seconds_min",
    ];
    let rows = rows(folder, name, &columns);
    assert_eq!(rows.len(), count);
    for row in &rows {
        let [least, mean] = ["seconds_min", "seconds_mean"].map(|c| number(row, c));
        assert!(0.0 < least && least <= mean && mean < 10.0, "{row:?}");
        assert!(number(row, "gradients") >= 2.0);
    }
    rows
}

/// Over the relative gradient, on one thread.
fn ratio(rows: &[Row], method: &str, dim: usize, batch: usize) -> f64 {
    let of = |method: &str| {
        let is = |r: &&Row| {
            r["method"] == method
                && r["D"] == dim.to_string()
                && r["batch"] == batch.to_string()
                && r["threads"] == "1"
        };
        number(rows.iter().find(is).unwrap(), "seconds_mean")
    };
    of(method) / of("relative")
}

#[test]
fn figure_3_says_what_its_times_say() {
    let (folder, object) = quick("fig3", &["--threads", "2"]);
    // Relative and ordinary on one thread and on two, the Jacobian up to D = 32 on one.
    let rows = cost_rows(folder.path(), "fig3.csv", 4 * 3 + 2);
    assert!(object["numbers"]["disagreement"].as_f64().unwrap() < 1e-4);
    close(&object, "jacobian_over_relative", ratio(&rows, "jacobian", 32, 100));
    says(&object, &format!("the Jacobian {:.0} times", ratio(&rows, "jacobian", 32, 100)));
    // At three powers of two the slope of least squares is that of the ends.
    let alone: Vec<Row> = rows.into_iter().filter(|r| r["threads"] == "1").collect();
    let times = column(&alone, ("method", "ordinary"), "seconds_mean");
    let exponent = (times[2] / times[0]).log2() / 2.0;
    let found = object["numbers"]["exponents"]["ordinary"].as_f64().unwrap();
    assert!((found - exponent).abs() < 1e-9, "{found} {exponent}");
}

#[test]
fn an_epoch_is_as_many_gradients_as_it_has_batches() {
    let (folder, object) = quick("epoch", &[]);
    let rows = cost_rows(folder.path(), "epoch.csv", 2 * 3);
    for (numbers, batch) in [(&object["numbers"][0], 10), (&object["numbers"][1], 100)] {
        let found = numbers["ordinary_over_relative"].as_f64().unwrap();
        assert!((found - ratio(&rows, "ordinary", 64, batch)).abs() < 1e-9);
    }
}

#[test]
fn memory_is_what_processes_took() {
    let columns = ["method", "D", "params_mib", "sizes_mib", "peak_mib", "multiple"];
    for (what, count) in [("fig4", 3 * 2), ("memory", 4 * 2)] {
        let (folder, object) = quick(what, &[]);
        let rows = rows(folder.path(), &format!("{what}.csv"), &columns);
        assert_eq!(rows.len(), count);
        for row in &rows {
            let d = number(row, "D");
            let [params, peak] = ["params_mib", "peak_mib"].map(|c| number(row, c));
            assert!((params - 8.0 * (d * d + d) / f64::from(1 << 20)).abs() < 1e-9);
            assert!(peak > params, "{row:?}");
            assert!((number(row, "multiple") - peak / params).abs() < 1e-9);
        }
        if what == "fig4" {
            let relative = column(&rows, ("method", "relative"), "peak_mib")[1];
            close(&object, "relative_mib", relative);
            says(&object, &format!("at D = 256 {relative:.0} MiB"));
            continue;
        }
        let sizes = |method: &str| column(&rows, ("method", method), "sizes_mib")[1];
        assert!(2.0 * sizes("relative, natural") < sizes("relative, Adam"));
        assert!(sizes("relative, Adam") < sizes("ordinary, Adam"));
        let last = column(&rows, ("method", "relative, Adam"), "multiple")[1];
        says(&object, &format!("relative, Adam {last:.1} (D = 256)"));
    }
}

#[test]
fn figure_6_follows_validation() {
    let data = tempfile::tempdir().unwrap();
    write_set(data.path(), "mnist", 784);
    let (folder, object) = quick("fig6", &["--data", data.path().to_str().unwrap()]);
    let columns = ["method", "rate", "batch", "epoch", "seconds", "validation"];
    let rows = rows(folder.path(), "fig6.csv", &columns);
    // Three methods, two epochs and the start.
    assert_eq!(rows.len(), 3 * 3);
    for (of, numbers) in rows.chunks(3).zip(object["numbers"].as_array().unwrap()) {
        assert_eq!(numbers["method"], of[0]["method"]);
        let values: Vec<f64> = of.iter().map(|r| number(r, "validation")).collect();
        let best = values.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
        assert!((numbers["best"].as_f64().unwrap() - best).abs() < 1e-9);
        assert!(number(&of[2], "seconds") > number(&of[1], "seconds"));
    }
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
        "parameters",
        "epochs",
        "best_epoch",
        "validation",
        "selected",
        "test",
        "test_error",
        "gaussian",
        "paper",
        "paper_error",
        "paper_best",
        "seconds",
    ];
    let rows = rows(folder.path(), "table1.csv", &columns);
    assert_eq!(rows.len(), 3);
    let of_paper = &rows[0]["candidate"];
    assert_eq!(
        of_paper,
        "paper: smooth_leaky_relu:0.3, 50 layers, 0.001, 100 rows, normal, biases"
    );
    let validation: Vec<f64> = rows.iter().map(|r| number(r, "validation")).collect();
    let best = validation.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
    for (row, validation) in rows.iter().zip(validation) {
        assert_eq!(row["selected"], (validation == best).to_string());
        assert_eq!((number(row, "paper"), number(row, "epochs")), (0.065, 2.0));
        assert_eq!(number(row, "paper_best"), 0.375);
    }
    let chosen = rows.iter().find(|r| r["selected"] == "true").unwrap();
    let [test, error] = ["test", "test_error"].map(|c| number(chosen, c));
    says(&object, &format!("power {test:.3} +- {error:.3}"));
    says(&object, "not there: gas, hepmass, miniboone, bsds300, mnist");
    says(&object, chosen["candidate"].as_str());
    let published = &object["numbers"]["published"][5];
    assert_eq!(
        (&published["set"], &published["rows"][2]["test"]),
        (&"mnist".into(), &(-1038.5).into())
    );

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

#[test]
fn components_of_mixtures_are_found() {
    let (folder, object) = quick("components", &["--threads", "2"]);
    let columns = [
        "setting", "dim", "depth", "layers", "segments", "mixture", "starts", "gap", "mcc",
        "seconds",
    ];
    let rows = rows(folder.path(), "components.csv", &columns);
    for (depth, settings) in [("1", &object["numbers"][0]), ("2", &object["numbers"][1])] {
        let found = column(&rows, ("depth", depth), "mcc");
        assert_eq!(settings["mixtures"], found.len());
        let least = found.iter().fold(1.0, |a: f64, b| a.min(*b));
        assert!((settings["least_mcc"].as_f64().unwrap() - least).abs() < 1e-9);
        assert!((settings["median_mcc"].as_f64().unwrap() - median(found)).abs() < 1e-9);
    }
    assert!(column(&rows, ("depth", "1"), "mcc").iter().all(|m| *m > 0.99), "{rows:?}");
    says(&object, "depth 2");
}

#[test]
fn a_drifting_stream_keeps_its_promised_alarms() {
    let (folder, object) = quick("drift", &[]);
    let columns =
        ["method", "last_row", "usual", "false_alarms", "far", "far_found", "amid", "amid_found"];
    let rows = rows(folder.path(), "drift.csv", &columns);
    let [ours, gaussian] = [&object["numbers"][0], &object["numbers"][1]];
    for method in [ours, gaussian] {
        let name = method["method"].as_str().unwrap();
        let sum = |of| column(&rows, ("method", name), of).iter().sum::<f64>();
        let share = sum("false_alarms") / sum("usual");
        assert!((method["false_alarms"].as_f64().unwrap() - share).abs() < 1e-9);
        assert_eq!(method["faults"], 7);
    }
    let number = |of: &Value, key: &str| of[key].as_f64().unwrap();
    // Alarms on faults and anomalies count too: false ones are fewer than promised.
    assert!((0.001..0.012).contains(&number(ours, "false_alarms")), "{object}");
    assert!(number(ours, "faults_found") > number(gaussian, "faults_found"), "{object}");
    // Amid the others a Gaussian sees nothing.
    assert!(number(ours, "amid_found") > 0.1 && number(gaussian, "amid_found") < 0.1, "{object}");
}
