//! What is observed with each row: `--condition`, `--segments` and `--given`.

use relgrad::hosted::{Data, ModelFile, Reading, write_npy};
use relgrad::{Condition, Conditioned};

use crate::{json, program, refusal, relgrad, stdout};

struct Set {
    folder: tempfile::TempDir,
}

/// Numbers that look normal, the same ones in each run.
fn normals(count: usize, seed: f64) -> Vec<f64> {
    let uniform = |i: usize| ((i as f64 + seed) * 0.754_877_666).fract() + 1e-9;
    let angle = |i: usize| ((i as f64 + seed) * 0.569_840_290).fract() * std::f64::consts::TAU;
    (0..count).map(|i| (-2.0 * uniform(i).ln()).sqrt() * angle(i).cos()).collect()
}

const ROWS: usize = 600;

impl Set {
    fn new() -> Self {
        Set { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, header: &str, line: impl Fn(usize) -> String) -> String {
        let rows: String = (0..ROWS).map(|i| line(i) + "\n").collect();
        let header = if header.is_empty() { String::new() } else { format!("{header}\n") };
        std::fs::write(self.path(name), header + &rows).unwrap();
        self.path(name)
    }

    /// Two kinds: "calm" about (0, 0), "wild" about (8, -4), twice as wide.
    fn kinds(&self) -> String {
        let (x, y) = (normals(ROWS, 0.1), normals(ROWS, 0.7));
        self.write("kinds.csv", "x,kind,y", |i| {
            let (x, y) = place(i, x[i], y[i]);
            format!("{x:.6},{},{y:.6}", kind(i))
        })
    }

    fn train(&self, data: &str, out: &str, more: &[&str]) -> serde_json::Value {
        let args = ["train", "--data", data, "--out", out, "--epochs", "20", "--json"];
        json(&[&args[..], more].concat())
    }

    fn mean(&self, model: &str, data: &str, more: &[&str]) -> f64 {
        let args = ["eval", "--model", model, "--data", data, "--json"];
        json(&[&args[..], more].concat())["mean_log_likelihood"].as_f64().unwrap()
    }

    /// The means of the columns of samples.
    fn sampled(&self, model: &str, more: &[&str]) -> Vec<f64> {
        let out = self.path("samples.npy");
        stdout(&relgrad(&[&["sample", "--model", model, "--out", &out][..], more].concat()));
        let data = Data::<f64>::read(&out).unwrap();
        (0..data.dim())
            .map(|c| data.values().iter().skip(c).step_by(data.dim()).sum::<f64>())
            .map(|sum| sum / data.rows() as f64)
            .collect()
    }
}

fn kind(i: usize) -> &'static str {
    if i * 7 % 10 < 4 { "wild" } else { "calm" }
}

fn place(i: usize, x: f64, y: f64) -> (f64, f64) {
    if kind(i) == "wild" { (8.0 + 2.0 * x, 2.0 * y - 4.0) } else { (x, y + 0.5 * x) }
}

fn of(result: &serde_json::Value, set: &str) -> f64 {
    result["log_likelihood"][set].as_f64().unwrap()
}

#[test]
fn classes_have_labels_and_densities_of_their_own() {
    let t = Set::new();
    let (data, m, plain) = (t.kinds(), t.path("m"), t.path("plain"));
    let by_kind = ["--condition", "kind", "--classes"];
    let with = t.train(&data, &m, &[&by_kind[..], &["--val", "0.2"]].concat());
    let without = t.train(&data, &plain, &["--drop", "kind", "--val", "0.2"]);
    assert!(of(&with, "validation") > of(&without, "validation") + 0.2, "{with} {without}");
    let verdict = with["verdict"]["text"].as_str().unwrap();
    assert!(verdict.ends_with("whose condition the Gaussian does not know"), "{verdict}");

    let file = ModelFile::read(&m).unwrap();
    assert_eq!(file.condition, Condition::Classes { count: 2 });
    assert_eq!(file.conditioned, Conditioned::Both);
    let labels = Reading::Labels(["calm", "wild"].map(String::from).to_vec());
    assert_eq!(file.observed.unwrap().reading, labels);
    let said = stdout(&relgrad(&["inspect", "--model", &m, "--data", &data]));
    assert!(said.contains("condition      2 classes: calm, wild (kind); on it depend"), "{said}");

    // The column is found by its name; or a file has it, with and without a header.
    let mean = t.mean(&m, &data, &[]);
    let text = std::fs::read_to_string(&data).unwrap();
    let cells = |i: usize| text.lines().nth(i + 1).unwrap().split(',').collect::<Vec<_>>();
    let other = t.write("other.csv", "kind,y,id,x", |i| {
        let [x, kind, y] = cells(i)[..] else { panic!() };
        format!("{kind},{y},{i},{x}")
    });
    assert_eq!(t.mean(&m, &other, &[]), mean);
    let bare = t.write("xy.csv", "x,y", |i| format!("{},{}", cells(i)[0], cells(i)[2]));
    for (name, header) in [("k.csv", "kind"), ("bare.txt", "")] {
        let kinds = t.write(name, header, |i| cells(i)[1].to_owned());
        assert_eq!(t.mean(&m, &bare, &["--condition", &kinds]), mean);
    }
    assert_eq!(t.mean(&m, &bare, &["--condition", &data]), mean);
    // What may be both is neither.
    std::fs::write(t.path("kind"), "calm\n").unwrap();
    let args = ["train", "--data", "kinds.csv", "--condition", "kind", "--out", "no"];
    let both = program().current_dir(&t.folder).args(args).output().unwrap();
    let both = String::from_utf8(both.stderr).unwrap();
    assert!(
        both.contains(
            "kinds.csv: condition: kind; a file and a column have this name; must be ./kind"
        ),
        "{both}"
    );
    let missing = refusal(&["eval", "--model", &m, "--data", &bare]);
    let expected =
        "xy.csv: condition: missing; the model takes 2 classes: calm, wild, kind in training";
    assert!(missing.contains(expected), "{missing}");
    let odd = t.write("odd.csv", "x,y,kind", |i| {
        format!("{},{},{}", cells(i)[0], cells(i)[2], if i == 7 { "new" } else { "calm" })
    });
    let unknown = refusal(&["eval", "--model", &m, "--data", &odd]);
    let expected =
        "odd.csv: condition kind, data row 8: \"new\"; must be one of calm, wild, the labels";
    assert!(unknown.contains(expected), "{unknown}");
    std::fs::write(t.path("short.csv"), "kind\ncalm\n").unwrap();
    let short =
        refusal(&["eval", "--model", &m, "--data", &bare, "--condition", &t.path("short.csv")]);
    assert!(short.contains("short.csv: rows: 1; must be 600"), "{short}");
    let none = refusal(&["eval", "--model", &plain, "--data", &data, "--condition", "kind"]);
    assert!(none.contains("--condition: no effect: the model has no condition"), "{none}");

    // Samples are those of the class.
    for (label, [x, y]) in [("calm", [0.0, 0.0]), ("wild", [8.0, -4.0])] {
        let means = t.sampled(&m, &["--given", label, "--rows", "2000"]);
        assert!((means[0] - x).abs() < 0.5 && (means[1] - y).abs() < 0.5, "{label}: {means:?}");
    }
    let means = t.sampled(&m, &["--given", &data]);
    assert!((means[0] - 3.2).abs() < 0.5 && (means[1] + 1.6).abs() < 0.5, "{means:?}");
    let out = t.path("s.npy");
    let sample = |model: &str, more: &[&str]| {
        refusal(&[&["sample", "--model", model, "--out", &out][..], more].concat())
    };
    assert!(sample(&m, &[]).contains("--given: missing; what is drawn depends on 2 classes"));
    assert!(sample(&m, &["--given", "new"]).contains("--given new: condition kind, data row 1"));
    assert!(sample(&plain, &["--given", "calm"]).contains("--given calm: no effect"));
    assert!(sample(&m, &["--given", &data, "--rows", "3"]).contains("--rows 3: no effect"));

    let picture = t.path("p.png");
    let plot = |more: &[&'static str]| {
        let args = ["--model", &m, "--data", &data, "--out", &picture, "--json"];
        [&["plot"][..], &more[..1], &args, &more[1..]].concat()
    };
    let drawn = json(&plot(&["density", "--given", "calm"]));
    assert_eq!(drawn["points"], 360, "{drawn}");
    let mass = drawn["probability_in_window"].as_f64().unwrap();
    assert!((0.9..1.01).contains(&mass), "{mass}");
    let missing = refusal(&plot(&["density"]));
    assert!(missing.contains("--given: missing; what is drawn depends on 2 classes"), "{missing}");
    json(&plot(&["activations"]));
    // Latents less what the condition says of them fit their density.
    let latents = json(&plot(&["latents"]));
    assert!(latents["latents"][0]["misfit"].as_f64().unwrap() < 0.2, "{latents}");
    let pair = ["plot", "grid", "--pair", &m, &data, "--out", &picture];
    assert!(refusal(&pair).contains("plot grid: the model has a condition (2 classes"));
}

#[test]
fn layers_that_depend_on_a_condition_have_it_on_the_way_back_too() {
    let t = Set::new();
    let (data, m) = (t.kinds(), t.path("m"));
    t.train(&data, &m, &["--condition", "kind", "--classes", "--conditioned", "layers"]);
    let [z, x] = ["z.csv", "x.csv"].map(|n| t.path(n));
    stdout(&relgrad(&["encode", "--model", &m, "--data", &data, "--out", &z]));
    let missing = refusal(&["decode", "--model", &m, "--data", &z, "--out", &x]);
    assert!(missing.contains("z.csv: condition: missing"), "{missing}");
    let decode = ["decode", "--model", &m, "--data", &z, "--condition", &data, "--out", &x];
    stdout(&relgrad(&decode));
    let back = Data::<f64>::read(&x).unwrap();
    let text = std::fs::read_to_string(&data).unwrap();
    for (row, line) in text.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        for (found, cell) in back.row(row).iter().zip([cells[0], cells[2]]) {
            assert!((found - cell.parse::<f64>().unwrap()).abs() < 1e-3, "row {row}");
        }
    }
    // Scores go by the condition of each row, of ordinary rows too.
    let score = ["score", "--model", &m, "--data", &data, "--calibrate", &data, "--json"];
    assert_eq!(json(&score)["n"], ROWS);
}

#[test]
fn numbers_are_given_in_any_units() {
    let t = Set::new();
    let (x, y, u) = (normals(ROWS, 0.1), normals(ROWS, 0.7), normals(ROWS, 0.3));
    let at = |i: usize| [2.0 * u[i] + 0.3 * x[i], (0.5 * u[i]).exp() * y[i]];
    let text = |i: usize, u: f64| format!("{:.6},{:.6},{u:.9}", at(i)[0], at(i)[1]);
    let data = t.write("u.csv", "x,y,u", |i| text(i, u[i]));
    let scaled = t.write("scaled.csv", "x,y,u", |i| text(i, 1e6 + 1000.0 * u[i]));
    let (m, n) = (t.path("m"), t.path("n"));
    let with = t.train(&data, &m, &["--condition", "u"]);
    let without = t.train(&data, &n, &["--drop", "u"]);
    assert!(of(&with, "train") > of(&without, "train") + 0.5, "{with} {without}");
    let mean = t.mean(&m, &data, &[]);
    let other = t.train(&scaled, &n, &["--condition", "3"]);
    assert!((of(&other, "train") - mean).abs() < 0.02, "{other} {mean}");
    assert!((t.mean(&n, &scaled, &[]) - of(&other, "train")).abs() < 1e-6);

    // Arrays: by place, and in files of their own.
    let all: Vec<f64> = (0..ROWS).flat_map(|i| [at(i)[0], at(i)[1], u[i]]).collect();
    write_npy(t.path("all.npy"), 3, &all).unwrap();
    assert!((t.mean(&m, &t.path("all.npy"), &[]) - mean).abs() < 1e-4);
    assert!((t.mean(&m, &t.path("all.npy"), &["--stream"]) - mean).abs() < 1e-4);
    let rows: Vec<f64> = (0..ROWS).flat_map(at).collect();
    let [xy, only] = ["xy.npy", "only.npy"].map(|name| t.path(name));
    write_npy(&xy, 2, &rows).unwrap();
    write_npy(&only, 1, &u).unwrap();
    assert!((t.mean(&m, &xy, &["--condition", &only]) - mean).abs() < 1e-4);
    let held_out =
        ["--val", &xy, "--val-condition", &only, "--test", &xy, "--test-condition", &only];
    let run = t.train(&xy, &n, &[&["--condition", &only][..], &held_out].concat());
    for set in ["validation", "test"] {
        assert!((of(&run, set) - of(&run, "train")).abs() < 1e-4, "{run}");
    }
    let refused = |args: &[&str]| {
        refusal(&[&["train", "--data", &data, "--out", &t.path("no")][..], args].concat())
    };
    let text = refused(&["--val", &xy, "--condition", "u"]);
    assert!(text.contains("xy.npy: condition: missing; the model takes 1 number, u in"), "{text}");
    let text = refused(&["--condition", "v"]);
    assert!(text.contains("column: v; must be one of x, y, u, or a number"), "{text}");
    let text = refused(&["--condition", "u", "--classes"]);
    assert!(
        text.contains("condition u, data row 1") && text.contains("without --classes"),
        "{text}"
    );
    let text = refused(&["--conditioned", "layers"]);
    assert!(text.contains("--conditioned layers: no effect without --condition"), "{text}");
    let text = refused(&["--condition", "u", "--bias", "affine"]);
    assert!(text.contains("layers that depend on a condition take bias rules"), "{text}");
    let text = refused(&["--condition", "u", "--segments", "3"]);
    assert!(text.contains("cannot be used with"), "{text}");

    let means = t.sampled(&m, &["--given", "-1.5", "--rows", "2000"]);
    assert!((means[0] + 3.0).abs() < 0.4, "{means:?}");
    let two = ["sample", "--model", &m, "--given", "1,2", "--out", &t.path("s.npy")];
    assert!(refusal(&two).contains("--given 1,2: condition: 2 columns; must be 1"));
}

#[test]
fn segments_are_parts_of_time() {
    let t = Set::new();
    let (x, y) = (normals(ROWS, 0.1), normals(ROWS, 0.7));
    let data = t.write("time.csv", "x,y", |i| {
        let scale = [1.0, 5.0, 0.3][i / 200];
        format!("{:.6},{:.6}", scale * x[i] + y[i], y[i])
    });
    let (m, plain) = (t.path("m"), t.path("plain"));
    let val = ["--val", "0.2", "--layers", "1"];
    let with = t.train(&data, &m, &[&["--segments", "3"][..], &val].concat());
    t.train(&data, &plain, &val);
    let means = [&m, &plain].map(|model| t.mean(model, &data, &[]));
    assert!(means[0] > means[1] + 0.2, "{means:?}");
    // Rows of each segment are held out.
    assert!((of(&with, "validation") - of(&with, "train")).abs() < 0.3, "{with}");
    let file = ModelFile::read(&m).unwrap();
    assert_eq!(file.conditioned, Conditioned::Latents);
    assert_eq!(file.observed.unwrap().reading, Reading::Segments(3));
    let output = relgrad(&["eval", "--model", &m, "--data", &data, "--json"]);
    let noted = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(noted.contains("time.csv: taken as 3 segments of the rows"), "{noted}");
    let numbers = t.write("numbers.csv", "segment", |i| (i / 200 + 1).to_string());
    let mean = t.mean(&m, &data, &["--condition", &numbers]);
    let said: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(said["mean_log_likelihood"].as_f64().unwrap(), mean);
    // The latents themselves depend on no segment.
    let z = t.path("z.npy");
    let encode = ["encode", "--model", &m, "--data", &data, "--out", &z];
    stdout(&relgrad(&encode));
    let text = refusal(&[&encode[..], &["--condition", &numbers]].concat());
    assert!(text.contains("--condition: no effect: the network does not depend on one"), "{text}");
    for (n, text) in [("0", "--segments 0: must be 1 to the 600"), ("601", "--segments 601")] {
        let args = ["train", "--data", &data, "--out", &t.path("no"), "--segments", n];
        assert!(refusal(&args).contains(text));
    }
}

#[test]
fn runs_go_on_with_their_condition() {
    let t = Set::new();
    let data = t.kinds();
    let kinds = t.write("k.csv", "kind", |i| kind(i).to_owned());
    let (whole, halves, deeper) = (t.path("whole"), t.path("halves"), t.path("deeper"));
    let common = ["--condition", &kinds, "--drop", "kind", "--classes", "--schedule", "constant"];
    t.train(&data, &whole, &[&common[..], &["--epochs", "4"]].concat());
    let folder = t.path("run");
    let checkpoint = ["--checkpoint", &folder];
    t.train(&data, &halves, &[&common[..], &checkpoint, &["--epochs", "2"]].concat());
    t.train(&data, &halves, &[&common[..], &checkpoint, &["--epochs", "4"]].concat());
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&halves).unwrap());
    let again = ["train", "--resume", "--checkpoint", &folder, "--out", &halves, "--json"];
    json(&again);
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&halves).unwrap());
    t.write("k.csv", "kind", |_| "calm".to_owned());
    assert!(refusal(&again).contains("condition: ") && refusal(&again).contains("k.csv"));

    // A deeper model has the condition, and a run from it does.
    stdout(&relgrad(&["deepen", "--model", &whole, "--out", &deeper]));
    let named = ["--init", &deeper, "--lr", "1e-9", "--epochs", "1", "--condition", "kind"];
    let on = t.train(&data, &halves, &named);
    let mean = t.mean(&deeper, &data, &["--condition", "kind"]);
    assert!((of(&on, "train") - mean).abs() < 1e-3, "{on} {mean}");
    // It has found out in which column it is.
    assert!((t.mean(&halves, &data, &[]) - mean).abs() < 1e-3);
    let other = ["--conditioned", "latents"];
    let args = ["train", "--data", &data, "--out", &t.path("no")];
    let text = refusal(&[&args[..], &named, &other].concat());
    assert!(text.contains("--conditioned latents: must be both, as in --init"), "{text}");
}
