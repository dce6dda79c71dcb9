//! The workbench as a user sees it.

use std::path::Path;
use std::process::{Command, Output};

use relgrad::hosted::{ModelFile, write_npy};

const DIGITS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits_train.npy"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits_test.npy"),
];

fn relgrad(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relgrad")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line of a refusal.
fn refusal(args: &[&str]) -> String {
    let output = relgrad(args);
    assert!(!output.status.success() && output.stdout.is_empty(), "{args:?} was accepted");
    String::from_utf8(output.stderr).unwrap()
}

/// The number behind `label`, `column` columns to the right.
fn figure(text: &str, label: &str, column: usize) -> f64 {
    let line = text.lines().find(|l| l.starts_with(label)).expect(label);
    line[label.len()..].split_whitespace().nth(column).unwrap().parse().unwrap()
}

#[test]
fn trains_on_the_digits_and_evaluates() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("digits.safetensors");
    let model = model.to_str().unwrap();
    let run = relgrad(&[
        "train",
        "--data",
        DIGITS[0],
        "--test",
        DIGITS[1],
        "--activation",
        "smooth_leaky_relu:0.01",
        "--optimizer",
        "natural",
        "--batch",
        "10",
        "--epochs",
        "40",
        "--out",
        model,
    ]);
    let text = stdout(&run);
    let (ours, gaussian) =
        (figure(&text, "relgrad", 1), figure(&text, "full-covariance Gaussian", 1));
    assert!((gaussian + 65.3017).abs() < 1e-3, "{gaussian}");
    assert!(ours > gaussian + 2.0, "{ours} {gaussian}");
    assert!(text.contains("straddle the kink"));

    let eval = relgrad(&["eval", "--model", model, "--data", DIGITS[1], "--json"]);
    let object: serde_json::Value = serde_json::from_str(&stdout(&eval)).unwrap();
    let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["log_det", "mean_log_likelihood", "n", "standard_error"]);
    assert_eq!(object["n"], 297);
    assert!((object["mean_log_likelihood"].as_f64().unwrap() - ours).abs() < 1e-3);

    // A model is a start: its architecture holds, and a rate of almost nothing keeps it.
    let again = folder.path().join("again.safetensors");
    let again = again.to_str().unwrap();
    stdout(&relgrad(&[
        "train", "--data", DIGITS[0], "--init", model, "--epochs", "1", "--lr", "1e-12", "--out",
        again,
    ]));
    let eval = relgrad(&["eval", "--model", again, "--data", DIGITS[1], "--json"]);
    let kept: serde_json::Value = serde_json::from_str(&stdout(&eval)).unwrap();
    assert!((kept["mean_log_likelihood"].as_f64().unwrap() - ours).abs() < 1e-3);
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a", "b", "c"].map(|n| folder.path().join(n));
    for (file, seed) in files.iter().zip(["3", "3", "4"]) {
        stdout(&relgrad(&[
            "train",
            "--data",
            DIGITS[1],
            "--epochs",
            "2",
            "--dtype",
            "f64",
            "--seed",
            seed,
            "--out",
            file.to_str().unwrap(),
        ]));
    }
    let bytes = files.each_ref().map(|f| std::fs::read(f).unwrap());
    assert!(bytes[0] == bytes[1] && bytes[0] != bytes[2]);
    let file = ModelFile::read(&files[0]).unwrap();
    assert!((file.dim, file.layers, file.input_transform) == (64, 2, true));
}

#[test]
fn reads_csv_and_idx() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let rows: Vec<[u8; 2]> =
        (0..200u32).map(|i| [(i * 7 % 50) as u8, (i * 11 % 64) as u8]).collect();
    let lines = rows.iter().map(|[a, b]| format!("{a},{b}\n"));
    std::fs::write(path("d.csv"), "width,height\n".to_owned() + &lines.collect::<String>())
        .unwrap();
    let mut idx = vec![0, 0, 8, 2, 0, 0, 0, 200, 0, 0, 0, 2];
    idx.extend(rows.as_flattened());
    std::fs::write(path("d-idx2-ubyte"), idx).unwrap();
    for name in ["d.csv", "d-idx2-ubyte"] {
        stdout(&relgrad(&["train", "--data", &path(name), "--epochs", "2", "--out", &path("m")]));
        let eval = stdout(&relgrad(&["eval", "--model", &path("m"), "--data", &path("d.csv")]));
        assert!(eval.contains("200"), "{eval}");
    }
}

#[test]
fn refuses_with_the_place_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let out = path("m.safetensors");
    let train = |data: &str, more: &[&str]| {
        let mut args = vec!["train", "--data", data, "--out", &out];
        args.extend(more);
        refusal(&args)
    };
    let csv = |text: &str| {
        let name = path("bad.csv");
        std::fs::write(&name, text).unwrap();
        name
    };
    let all = |text: String, parts: &[&str]| {
        assert!(parts.iter().all(|p| text.contains(p)), "{text}");
        assert!(!Path::new(&out).exists());
    };
    all(train(&csv("1,2\n3\n"), &[]), &["bad.csv", "row 2"]);
    all(train(&csv("1,2\n3,x\n"), &[]), &["row 2", "column 2", "\"x\""]);
    all(train(&csv("1,2\n3,nan\n"), &[]), &["row 2", "column 2"]);
    all(train("missing.npy", &[]), &["missing.npy"]);
    all(train(DIGITS[0], &["--lr", "-1"]), &["rate", "-1"]);
    all(train(DIGITS[0], &["--batch", "0"]), &["max_batch", "0"]);
    all(train(DIGITS[0], &["--layers", "0"]), &["layers", "0"]);
    let zero = ["--activation", "smooth_leaky_relu:0"];
    all(train(DIGITS[0], &zero), &["activation.a", "[1e-6, 1)"]);
    let both = ["--optimizer", "natural", "--gradient", "ordinary"];
    all(train(DIGITS[0], &both), &["natural"]);
    write_npy(path("two.npy"), 2, &[1.0f32, 2.0, 3.0, 4.5, 0.5, 0.1]).unwrap();
    all(train(DIGITS[0], &["--test", &path("two.npy")]), &["two.npy", "64"]);
    let nowhere = refusal(&["train", "--data", DIGITS[0], "--out", &path("no/where")]);
    assert!(nowhere.contains("where"), "{nowhere}");
    std::fs::write(path("cut.safetensors"), [1, 2, 3]).unwrap();
    let cut = refusal(&["eval", "--model", &path("cut.safetensors"), "--data", DIGITS[0]]);
    assert!(cut.contains("cut.safetensors"), "{cut}");
}

/// `relgrad bench --json` on small cases: its lines.
fn bench(args: &[&str]) -> Vec<serde_json::Value> {
    let all = [&["bench", "--budget", "0.001", "--json"], args].concat();
    let text = stdout(&relgrad(&all));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn bench_prints_a_line_for_each_case() {
    let all = ["--dim", "3,17", "--batch", "1,4", "--layers", "1,2"];
    let mut seen = std::collections::HashSet::new();
    for (gradient, optimizers) in [
        ("relative", "sgd,adam,natural,none"),
        ("transposed", "sgd,adam,none"),
        ("ordinary", "sgd,adam,none"),
    ] {
        let more = ["--gradient", gradient, "--optimizer", optimizers, "--dtype", "f32,f64"];
        for row in bench(&[&all[..], &more].concat()) {
            let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"));
            for key in ["ms_median", "ms_min", "n", "gflops", "params_mib"] {
                assert!(number(key) > 0.0, "{key} of {row}");
            }
            assert!(number("ms_min") <= number("ms_median") && number("n") >= 5.0);
            assert_eq!((&row["peer"], &row["threads"]), (&"relgrad".into(), &1.into()));
            for key in ["limit_ms", "share", "bound"] {
                assert!(row[key].is_null(), "{key} was not measured: {row}");
            }
            if cfg!(target_os = "linux") {
                assert!(number("other_cpu") >= 0.0);
                assert!(number("rss_peak_mib") >= number("rss_base_mib"));
            }
            let case = ["variant", "dtype", "D", "L", "batch", "level"].map(|k| row[k].to_string());
            assert!(case[0].starts_with(&format!("\"{gradient}_")), "{row}");
            assert!(seen.insert(case), "twice: {row}");
        }
    }
    assert_eq!(seen.len(), (4 + 3 + 3) * 2 * 8);
}

#[test]
fn bench_judges_by_measured_limits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.json");
    let file = file.to_str().unwrap();
    let limits = bench(&["--roofline"]);
    let [limits] = &limits[..] else { panic!("one object, not {limits:?}") };
    let peaks = limits["peaks"].as_array().unwrap();
    assert_eq!(peaks.len(), 2 * relgrad::Level::available().count());
    assert!(peaks.iter().all(|p| p["gflops"].as_f64().unwrap() > 0.0), "{limits}");
    let memories = limits["memories"].as_array().unwrap();
    assert!(memories.iter().any(|m| m["memory"] == "dram" && m["capacity"].is_null()));
    for memory in memories {
        for key in ["read_gbs", "update_gbs", "copy_gbs"] {
            assert!(memory[key].as_f64().unwrap() > 0.0, "{memory}");
        }
    }

    // The first layer needs three products, the others four.
    std::fs::write(file, limits.to_string()).unwrap();
    let rows = bench(&["--dim", "64", "--batch", "100", "--limits", file, "--level", "scalar"]);
    let peak = peaks.iter().find(|p| p["level"] == "scalar" && p["dtype"] == "f32").unwrap();
    let expected = 14.0 * 100.0 * 64.0 * 64.0 / peak["gflops"].as_f64().unwrap() / 1e6;
    let [limit, share, median] =
        ["limit_ms", "share", "ms_median"].map(|key| rows[0][key].as_f64().unwrap());
    assert_eq!(rows[0]["bound"], "flops");
    assert!((limit - expected).abs() < 1e-4 * expected, "{limit} {expected}");
    assert!((share - limit / median).abs() < 1e-3, "{share} {limit} {median}");
}

#[test]
fn bench_refuses_the_whole_product() {
    let both = ["--dim", "4", "--optimizer", "adam,natural", "--gradient", "ordinary"];
    for (args, says) in [
        (&both[..], "natural"),
        (&["--dim", "0"], "dim"),
        (&["--dim", "4", "--threads", "0"], "threads"),
        (&["--roofline", "--threads", "0"], "threads"),
        (&["--dim", "4", "--level", "sse9"], "scalar"),
        (&["--dim", "4", "--budget", "0"], "budget"),
        (&["--dim", "4", "--limits", "nowhere.json"], "nowhere.json"),
        (&[], "--dim"),
    ] {
        let text = refusal(&[&["bench"], args].concat());
        assert!(text.contains(says), "{args:?}: {text}");
    }
}
