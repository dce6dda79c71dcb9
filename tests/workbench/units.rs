//! Everybody's data: other units, columns far from zero, fill values, constant columns.

use relgrad::hosted::{ModelFile, write_npy};
use serde_json::{Value as Json, json};

use crate::{json, refusal, relgrad, stdout};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, dim: usize, values: &[f64]) -> String {
        let path = self.path(name);
        write_npy(&path, dim, values).unwrap();
        path
    }

    /// Trains on a file; the end as JSON.
    fn train(&self, data: &str, out: &str, more: &str) -> Json {
        let out = self.path(out);
        let mut args = vec!["train", "--data", data, "--out", &out, "--json"];
        args.extend(more.split_whitespace());
        json(&args)
    }
}

/// A noisy parabola; of the rows' golden-ratio sequences, so that it is the same everywhere.
fn parabola(rows: usize) -> Vec<f64> {
    let row = |i: usize| {
        let part = |step: f64| (i as f64 * step).fract();
        let x = 3.0 * part(0.618033988749) - 1.5;
        [x, x * x + 0.4 * part(0.754877666247)]
    };
    (0..rows).flat_map(row).collect()
}

fn change(values: &[f64], column: usize, change: impl Fn(f64) -> f64) -> Vec<f64> {
    let change = |(i, v): (usize, &f64)| if i % 2 == column { change(*v) } else { *v };
    values.iter().enumerate().map(change).collect()
}

fn number(of: &Json, keys: [&str; 2]) -> f64 {
    of[keys[0]][keys[1]].as_f64().unwrap()
}

const LIKELIHOOD: [&str; 2] = ["log_likelihood", "train"];
const GAUSSIAN: [&str; 2] = ["gaussian", "train"];

#[test]
fn units_and_offsets_move_likelihoods_and_nothing_else() {
    let folder = Folder::new();
    let plain = parabola(600);
    let data = folder.write("plain.npy", 2, &plain);
    for how in ["--optimizer adam", "--optimizer natural --init standardized", "--init aligned"] {
        let how = format!("{how} --epochs 15 --batch 20");
        let own = folder.train(&data, "m", &how);
        type Change = fn(f64) -> f64;
        let others: [(Change, f64); 4] =
            [(|x| x * 1e-30, 1e-30), (|x| x * 1e30, 1e30), (|x| x + 1e8, 1.0), (|x| x - 20.0, 1.0)];
        for (i, (change_one, s)) in others.into_iter().enumerate() {
            let other = folder.write("other.npy", 2, &change(&plain, i % 2, change_one));
            let moved = folder.train(&other, "o", &how);
            let by = |keys| number(&moved, keys) + f64::ln(s) - number(&own, keys);
            assert!(by(GAUSSIAN).abs() < 1e-4, "{how} {i}: {}", by(GAUSSIAN));
            assert!(by(LIKELIHOOD).abs() < 2e-2, "{how} {i}: {}", by(LIKELIHOOD));
        }
    }
}

/// Two normals of unlike scale are a Gaussian, and the Gaussian beside them is its maximum.
#[test]
fn the_gaussian_of_unlike_scales_is_the_exact_one() {
    let folder = Folder::new();
    let values = change(&parabola(500), 1, |x| 1e6 * x);
    let data = folder.write("x.npy", 2, &values);
    let mean = |c: usize| values.iter().skip(c).step_by(2).sum::<f64>() / 500.0;
    let [a, b] = [mean(0), mean(1)];
    let covariance = |i: usize, j: usize| {
        let m = [a, b];
        values.chunks(2).map(|x| (x[i] - m[i]) * (x[j] - m[j])).sum::<f64>() / 500.0
    };
    let determinant = covariance(0, 0) * covariance(1, 1) - covariance(0, 1).powi(2);
    let exact = -1.0 - std::f64::consts::TAU.ln() - 0.5 * determinant.ln();
    let end = folder.train(&data, "m", "--epochs 1");
    assert!((number(&end, GAUSSIAN) - exact).abs() < 1e-4, "{end} {exact}");
}

/// Columns that floats would lose: every command has the numbers of doubles.
#[test]
fn an_origin_goes_with_the_model() {
    let folder = Folder::new();
    let plain = parabola(400);
    let far = change(&plain, 0, |x| x + 1.7e9);
    let data = folder.write("far.npy", 2, &far);
    let how = "--epochs 10 --batch 20 --optimizer natural --val 0.2";
    let single = folder.train(&data, "m", how);
    let double = folder.train(&data, "d", &format!("{how} --dtype f64"));
    for keys in [LIKELIHOOD, GAUSSIAN, ["log_likelihood", "validation"]] {
        let off = number(&single, keys) - number(&double, keys);
        assert!(off.abs() < 1e-2, "{keys:?}: {off}");
    }
    let (model, file) = (folder.path("m"), ModelFile::read(folder.path("m")).unwrap());
    let origin = file.origin.as_ref().unwrap().offsets().to_vec();
    assert!((origin[0] - 1.7e9).abs() < 2.0 && origin[1] == 0.0, "{origin:?}");
    assert_eq!(ModelFile::read(folder.path("d")).unwrap().origin, None);
    assert_eq!(json(&["inspect", "--model", &model, "--json"])["origin"], json!(origin));

    let run = |args: &str| {
        let args = args.replace("MODEL", &model).replace("FAR", &data);
        let args: Vec<&str> = args.split_whitespace().collect();
        stdout(&relgrad(&args));
    };
    let rows = |name: &str| {
        let data = relgrad::hosted::Data::<f64>::read(folder.path(name)).unwrap();
        data.values().to_vec()
    };
    let eval = json(&["eval", "--model", &model, "--data", &data, "--json"]);
    let mean =
        0.8 * number(&single, LIKELIHOOD) + 0.2 * number(&single, ["log_likelihood", "validation"]);
    assert!((eval["mean_log_likelihood"].as_f64().unwrap() - mean).abs() < 1e-4, "{eval}");
    let score = ["score", "--model", &model, "--data", &data, "--calibrate", &data, "--json"];
    assert!(json(&score)["anomalies"].as_u64().unwrap() < 20);

    run(&format!("encode --model MODEL --data FAR --out {}", folder.path("z.npy")));
    let z = folder.path("z.npy");
    run(&format!("decode --model MODEL --data {z} --out {}", folder.path("back.npy")));
    let worst = rows("back.npy").iter().zip(&far).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-4, "{worst}");
    run(&format!("sample --model MODEL --rows 50 --out {}", folder.path("s.npy")));
    assert!(rows("s.npy").chunks(2).all(|x| (x[0] - 1.7e9).abs() < 20.0 && x[1].abs() < 20.0));
    // As the network sees them, without it.
    run(&format!("sample --model MODEL --rows 50 --prepared --out {}", folder.path("p.npy")));
    let placed = |x: &f64, i: usize| x + origin[i % 2];
    let prepared: Vec<f64> = rows("p.npy").iter().enumerate().map(|(i, x)| placed(x, i)).collect();
    assert_eq!(prepared, rows("s.npy"));
    run(&format!("plot density --model MODEL --data FAR --out {}", folder.path("d.png")));
    run(&format!("plot latents --model MODEL --data FAR --out {}", folder.path("l.png")));

    // A deeper model, and a run that begins where this one ended, have it too.
    let deeper = folder.path("deeper");
    run(&format!("deepen --model MODEL --out {deeper}"));
    let more = format!("--init {deeper} --epochs 1 --lr 1e-9");
    let again = folder.train(&data, "again", &more);
    assert_eq!(ModelFile::read(folder.path("again")).unwrap().origin, file.origin);
    assert!((number(&again, LIKELIHOOD) - mean).abs() < 1.0, "{again}");
    // Text has it from the start: 17 digits, not 7.
    let text: String = far.chunks(2).map(|x| format!("{},{}\n", x[0], x[1])).collect();
    std::fs::write(folder.path("far.csv"), text).unwrap();
    let csv = folder.train(&folder.path("far.csv"), "c", how);
    assert_eq!(csv["log_likelihood"], single["log_likelihood"]);
}

#[test]
fn an_origin_is_taken_up_again_with_the_run() {
    let folder = Folder::new();
    let data = folder.write("far.npy", 2, &change(&parabola(200), 1, |x| x + 1e9));
    let checkpoint = folder.path("run");
    let how = format!("--epochs 3 --checkpoint {checkpoint}");
    folder.train(&data, "m", &how);
    let first = std::fs::read(folder.path("m")).unwrap();
    let out = folder.path("m");
    stdout(&relgrad(&["train", "--resume", "--checkpoint", &checkpoint, "--out", &out, "--json"]));
    assert!(std::fs::read(folder.path("m")).unwrap() == first);
    assert!(ModelFile::read(&out).unwrap().origin.is_some());
}

#[test]
fn rows_that_cannot_be_scored_leave_the_others_alone() {
    let folder = Folder::new();
    let plain = parabola(300);
    let data = folder.write("plain.npy", 2, &plain);
    folder.train(&data, "m", "--epochs 5 --optimizer natural");
    let model = folder.path("m");
    let mut filled = plain.clone();
    filled[2 * 70] = 1e20;
    let bad = folder.write("filled.npy", 2, &filled);
    let scores = |data: &str, out: &str| {
        let out = folder.path(out);
        let run = relgrad(&["eval", "--model", &model, "--data", data, "--scores", &out, "--json"]);
        let end: Json = serde_json::from_str(&stdout(&run)).unwrap();
        (end, String::from_utf8(run.stderr).unwrap(), std::fs::read(out).unwrap())
    };
    let (clean, quiet, own) = scores(&data, "own.csv");
    let (end, said, got) = scores(&bad, "got.csv");
    assert!(quiet.is_empty() && clean["unscored"] == 0, "{quiet}");
    assert_eq!((&end["n"], &end["unscored"]), (&json!(300), &json!(1)));
    let place = &end["unscored_rows"][0];
    assert_eq!((&place["row"], &place["column"]), (&json!(71), &json!(1)));
    assert!(said.contains("warning:") && said.contains("row 71 (column 1: 1e20)"), "{said}");
    let lines = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8(bytes.to_vec()).unwrap().lines().skip(1).map(str::to_owned).collect()
    };
    let mut expected = lines(&own);
    expected[70] = "-inf".into();
    assert_eq!(lines(&got), expected);
    let sum = |lines: &[String]| -> f64 {
        let numbers = lines.iter().map(|l| l.parse::<f64>().unwrap()).filter(|v| v.is_finite());
        numbers.sum()
    };
    let mean = end["mean_log_likelihood"].as_f64().unwrap();
    assert!((mean - sum(&expected) / 299.0).abs() < 1e-9);

    let table = folder.path("table.csv");
    let args = ["score", "--model", &model, "--data", &bad, "--calibrate", &data, "--out", &table];
    let run = relgrad(&args);
    assert!(stdout(&run).contains("anomalies"));
    assert!(String::from_utf8(run.stderr).unwrap().contains("row 71"));
    let table = std::fs::read_to_string(&table).unwrap();
    let row = table.lines().nth(71).unwrap();
    let least = 1.0 / 301.0;
    assert_eq!(row, format!("71,-inf,{least},1"));

    // In held-out data of a run as well: named, and left out of the means.
    let test = folder.train(&data, "t", &format!("--epochs 3 --test {bad} --val {bad}"));
    let names = ["test", "validation"].map(|set| test["log_likelihood"][set].as_f64().unwrap());
    assert!(names.iter().all(|v| v.abs() < 20.0), "{test}");
    assert!(test["gaussian"]["test"].as_f64().unwrap().abs() < 20.0, "{test}");
    assert_eq!(test["unscored"]["test"], 1);
    let warnings = test["warnings"].to_string();
    assert!(warnings.contains("left out of the validation data"), "{warnings}");
}

#[test]
fn one_absurd_row_is_named_before_training() {
    let folder = Folder::new();
    let mut values = parabola(1000);
    let out = folder.path("m");
    values[2 * 500 + 1] = 1e20;
    let data = folder.write("fill.npy", 2, &values);
    let text = refusal(&["train", "--data", &data, "--out", &out]);
    assert!(
        text.contains("row 501, column 2: 1e20 is") && text.contains("drop such rows"),
        "{text}"
    );
    assert!(!std::path::Path::new(&out).exists());
    // A filler that leaves something to learn is a warning.
    values[2 * 500 + 1] = -9999.0;
    let data = folder.write("fill.npy", 2, &values);
    let end = folder.train(&data, "m", "--epochs 2");
    let warnings = end["warnings"].to_string();
    assert!(warnings.contains("column 2: -9999 in row 501"), "{warnings}");
}

#[test]
fn what_is_peculiar_is_named_and_results_are_judged() {
    let folder = Folder::new();
    let warned = |end: &Json, text: &str| {
        let warnings = end["warnings"].as_array().unwrap();
        assert!(
            warnings.iter().any(|w| w.as_str().unwrap().contains(text)),
            "{text}: {warnings:?}"
        );
    };
    let plain = parabola(500);
    let data = folder.write("plain.npy", 2, &plain);
    let end =
        folder.train(&data, "m", "--epochs 60 --batch 20 --optimizer natural --layers 4 --val 0.2");
    assert_eq!(end["warnings"], json!([]));
    assert_eq!(end["verdict"]["below_gaussian"], false);
    assert_eq!(end["verdict"]["set"], "validation data");
    let above = end["verdict"]["nats_above_gaussian"].as_f64().unwrap();
    let both = ["log_likelihood", "gaussian"].map(|k| number(&end, [k, "validation"]));
    assert!((above - (both[0] - both[1])).abs() < 1e-9 && above > 0.1);

    // Constant columns stay harmless: the rest is learnt as without them, and scored.
    let with: Vec<f64> = plain.chunks(2).flat_map(|x| [x[0], 7.0, x[1], 0.0]).collect();
    let data = folder.write("constant.npy", 4, &with);
    let how = "--epochs 60 --batch 20 --optimizer natural --lr 0.05";
    let end = folder.train(&data, "c", how);
    warned(&end, "2 columns are constant (column 2: 7, column 4: 0)");
    let alone = folder.train(&folder.path("plain.npy"), "a", how);
    let extra = number(&end, GAUSSIAN) - number(&alone, GAUSSIAN);
    assert!((extra + 7f64.ln() + std::f64::consts::TAU.ln()).abs() < 1e-5, "{extra}");
    let off = number(&end, LIKELIHOOD) - number(&alone, LIKELIHOOD) - extra;
    // Without noise it would have grown by 0.05 nats a step, 75 in all.
    assert!(off.abs() < 3.0, "{off}");
    let eval = json(&["eval", "--model", &folder.path("c"), "--data", &data, "--json"]);
    assert_eq!(eval["unscored"], 0);

    let few = folder.write("few.npy", 20, &plain[..100]);
    let run = relgrad(&["train", "--data", &few, "--out", &folder.path("f"), "--json"]);
    let end: Json = serde_json::from_str(&stdout(&run)).unwrap();
    warned(&end, "5 rows for 20 features");
    let text = end["verdict"]["text"].as_str().unwrap();
    assert!(text.contains("not to be believed"), "{text}");
    assert!(String::from_utf8(run.stderr).unwrap().contains(text));

    let whole: Vec<f64> = plain.iter().map(|x| (4.0 * x).round()).collect();
    let data = folder.write("whole.npy", 2, &whole);
    warned(&folder.train(&data, "w", "--epochs 1"), "2 columns repeat their values");

    // A run that has hardly begun is far below the Gaussian, and says so.
    let data = folder.path("plain.npy");
    let out = folder.path("b");
    let run = relgrad(&[
        "train",
        "--data",
        &data,
        "--epochs",
        "1",
        "--lr",
        "0.0001",
        "--init",
        "orthogonal",
        "--out",
        &out,
    ]);
    let said = String::from_utf8(run.stderr.clone()).unwrap();
    assert!(said.contains("warning:") && said.contains("below the Gaussian"), "{said}");
    assert!(stdout(&run).contains("below the Gaussian on the training data"));
}

#[test]
fn only_curves_bend() {
    let folder = Folder::new();
    let data = folder.write("plain.npy", 2, &parabola(200));
    let out = folder.path("m");
    for (how, bends) in [
        ("--layers 2", true),
        ("--layers 1", true),
        ("--layers 1 --final-activation=false", false),
        ("--activation identity", false),
        ("--activation leaky_tanh", true),
    ] {
        let end = folder.train(&data, "m", &format!("--epochs 1 {how}"));
        assert_eq!(end["bending_share"].is_number(), bends, "{how}");
        let mut args = vec!["train", "--data", &data, "--out", &out, "--epochs", "1"];
        args.extend(how.split_whitespace());
        assert_eq!(stdout(&relgrad(&args)).contains("bend"), bends, "{how}");
        let inspect = stdout(&relgrad(&["inspect", "--model", &out, "--data", &data]));
        assert_eq!(inspect.contains("bend"), bends, "{how}");
    }
}
