//! `relgrad ica`, `nica`, `metric`, and the mixtures of `toy`.

use relgrad::hosted::{Data, write_csv, write_npy};

use crate::{json, refusal, relgrad, stdout};

struct Mixed {
    folder: tempfile::TempDir,
}

impl Mixed {
    /// 3,000 rows of a flat, a peaked and a skewed source, mixed: x.csv, x.npy, a.npy and s.npy.
    fn new() -> Self {
        let mixed = Mixed { folder: tempfile::tempdir().unwrap() };
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        let a = [1.0, 0.5, -0.2, -1.0, 2.0, 0.3, 0.4, 0.7, 1.5];
        let (mut s, mut x) = (Vec::new(), Vec::new());
        for _ in 0..3000 {
            let (u, v) = (uniform() - 0.5, uniform() - 0.5);
            let row = [u * 12f64.sqrt(), (1.0 - 2.0 * v.abs()).ln() * v.signum(), -uniform().ln()];
            s.extend(row);
            x.extend(a.chunks(3).map(|a| a.iter().zip(&row).map(|(a, s)| a * s).sum::<f64>()));
        }
        write_csv(mixed.path("x.csv"), 3, &x, Some(&["left", "right", "top"])).unwrap();
        for (name, values) in [("x.npy", &x[..]), ("s.npy", &s), ("a.npy", &a)] {
            write_npy(mixed.path(name), 3, values).unwrap();
        }
        mixed
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> Data<f64> {
        Data::read(self.path(name)).unwrap()
    }
}

#[test]
fn components_are_found_and_written() {
    let m = Mixed::new();
    let (x, out, s) = (m.path("x.csv"), m.path("parts"), m.path("s.csv"));
    let args = ["ica", &x, "--out", &out, "--sources", &s, "--restarts", "3"];
    let text = stdout(&relgrad(&args));
    for word in ["3000 rows of 3 features", "explained", "stability", "converged after", "saved "] {
        assert!(text.contains(word), "{text}");
    }
    let found = json(&[&args[..], &["--json"]].concat());
    assert_eq!((&found["stop"], &found["columns"][2]), (&"converged".into(), &"top".into()));
    let kinds: Vec<&str> = found["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.iter().filter(|k| **k == "sub").count(), 1);
    assert!(found["log_likelihood"].as_f64().unwrap() < 0.0);
    let summary = std::fs::read_to_string(m.path("parts/summary.json")).unwrap();
    let mut summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    summary["seconds"] = found["seconds"].clone();
    assert_eq!(summary, found);
    // Text and binary hold the same numbers, and sources are those of the matrices.
    let sources = m.read("s.csv");
    let (unmixing, mean) = (m.read("parts/unmixing.npy"), m.read("parts/mean.npy"));
    let row = m.read("x.npy");
    for (i, s) in sources.row(7).iter().enumerate() {
        let of = unmixing.row(i).iter().zip(row.row(7)).zip(mean.row(0));
        let own: f64 = of.map(|((u, x), mean)| u * (x - mean)).sum();
        assert!((own - s).abs() < 1e-9);
    }
    let amari = ["metric", "amari", &m.path("parts/unmixing.npy"), &m.path("a.npy")];
    let distance = json(&[&amari[..], &["--json"]].concat());
    assert!(distance["squared"].as_f64().unwrap() < 5e-3, "{distance}");
    assert!(stdout(&relgrad(&amari)).contains("Amari distance of squares"));
    let mcc = ["metric", "mcc", &s, &m.path("s.npy")];
    assert!(json(&[&mcc[..], &["--json"]].concat())["mcc"].as_f64().unwrap() > 0.99);
    assert!(stdout(&relgrad(&mcc)).contains("mean absolute correlation"));
    // Sources to standard output leave it to them.
    let fewer = ["ica", &x, "--components", "2", "--sources", "-", "--drop", "top"];
    let output = relgrad(&fewer);
    assert!(stdout(&output).starts_with("component 1,component 2\n"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("converged"));
}

#[test]
fn what_is_wrong_is_named() {
    let m = Mixed::new();
    let (x, a) = (m.path("x.csv"), m.path("a.npy"));
    let says = |args: &[&str], words: &[&str]| {
        let text = refusal(args);
        assert!(words.iter().all(|w| text.contains(w)), "{text}");
    };
    says(&["ica", &x, "--components", "4"], &["--components 4", "number of features"]);
    says(&["ica", &x, "--restarts", "0"], &["--restarts 0", "at least 1"]);
    says(&["ica", &x, "--density", "cauchy"], &["must be extended, super, sub, sech or logistic"]);
    says(&["ica", &x, "--mean", &x], &["is the same file"]);
    says(&["ica", &x, "--mean", "m.xls"], &["must end with .npy"]);
    says(&["ica", &x, "--stream"], &["--stream: no effect"]);
    std::fs::write(m.path("flat.csv"), "a,b\n1,2\n2,2\n4,2\n").unwrap();
    says(&["ica", &m.path("flat.csv")], &["column 2, \"b\": is 2 in every row", "--drop"]);
    std::fs::write(m.path("twice.csv"), "a,b\n1,2\n2,4\n4,8\n3,6\n").unwrap();
    says(&["ica", &m.path("twice.csv")], &["its rank is 1", "--components must be at most 1"]);
    says(&["metric", "amari", &x, &a], &["3 rows of 3", "3000 rows of 3"]);
    says(&["metric", "mcc", &x, &a], &["as many rows"]);
    // No more than is asked for, and a reason.
    let few = relgrad(&["ica", &x, "--iterations", "1"]);
    assert!(String::from_utf8_lossy(&few.stderr).contains("warning: stopped after"), "{few:?}");
}

#[test]
fn what_was_found_is_drawn() {
    let m = Mixed::new();
    let (x, parts, picture) = (m.path("x.csv"), m.path("parts"), m.path("parts.png"));
    stdout(&relgrad(&["ica", &x, "--out", &parts, "--restarts", "2"]));
    let drawn = json(&["plot", "components", &parts, "--count", "2", "--out", &picture, "--json"]);
    assert_eq!((&drawn["components"], &drawn["of"]), (&2.into(), &3.into()));
    assert!(std::fs::metadata(&picture).unwrap().len() > 5000);
    let none = refusal(&["plot", "components", &m.path("none"), "--out", &picture]);
    assert!(none.contains("mixing.npy"), "{none}");
    let zero = refusal(&["plot", "components", &parts, "--count", "0", "--out", &picture]);
    assert!(zero.contains("--count 0: must be at least 1"), "{zero}");
}

#[test]
fn a_nonlinear_mixture_is_unmixed_by_segments_or_labels() {
    let m = Mixed::new();
    let [x, s, found, model] = ["n.npy", "t.npy", "f.npy", "m.safetensors"].map(|f| m.path(f));
    let toy = ["toy", "nica", "--dim", "3", "--rows", "6000", "--segments", "12", "--out", &x];
    let made = json(&[&toy[..], &["--sources", &s, "--json"]].concat());
    let truth = made["log_likelihood"].as_f64().unwrap();
    let unmix =
        ["nica", &x, "--segments", "12", "--layers", "3", "--epochs", "24", "--starts", "3"];
    let outputs = ["--sources", &found, "--out", &model, "--json"];
    let summary = json(&[&unmix[..], &outputs].concat());
    let likelihood = summary["log_likelihood"].as_f64().unwrap();
    assert!((likelihood - truth).abs() < 0.3, "{likelihood} {truth}");
    let rounds = summary["rounds"].as_array().unwrap();
    let epochs: Vec<_> = rounds.iter().map(|r| r["epochs"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [6, 24]);
    assert_eq!(rounds[0]["log_likelihoods"].as_array().unwrap().len(), 3);
    assert!(summary["agreement"].as_f64().unwrap() > 0.5);
    let mcc = json(&["metric", "mcc", &found, &s, "--json"])["mcc"].as_f64().unwrap();
    assert!(mcc > 0.95, "{mcc}");
    // The model's latents are the components; its likelihood is what was said.
    let latents = m.path("z.npy");
    stdout(&relgrad(&["encode", "--model", &model, "--data", &x, "--out", &latents]));
    assert_eq!(m.read("z.npy").values(), m.read("f.npy").values());
    let eval = json(&["eval", "--model", &model, "--data", &x, "--json"]);
    assert!((eval["mean_log_likelihood"].as_f64().unwrap() - likelihood).abs() < 1e-9);

    // Labels say the same as segments; threads change nothing.
    let table: Vec<f64> = m
        .read("n.npy")
        .values()
        .chunks_exact(3)
        .enumerate()
        .flat_map(|(i, row)| [row[0], row[1], row[2], (i / 500) as f64])
        .collect();
    write_csv(m.path("n.csv"), 4, &table, Some(&["a", "b", "c", "part"])).unwrap();
    let csv = m.path("n.csv");
    let mut labelled = unmix.to_vec();
    labelled.splice(1..4, [&csv[..], "--condition", "part"]);
    let same = json(&[&labelled[..], &["--json", "--threads", "2"]].concat());
    assert_eq!(same["rounds"], summary["rounds"]);
    let one = relgrad(&["nica", &x, "--segments", "1", "--starts", "1", "--epochs", "1"]);
    assert!(String::from_utf8_lossy(&one.stderr).contains("they are not identified"), "{one:?}");

    for (args, word) in [
        (vec!["nica", &x[..]], "--condition or --segments"),
        (vec!["nica", &x, "--segments", "3001"], "--segments 3001: must be at most 3000"),
        (vec!["nica", &x, "--segments", "12", "--starts", "0"], "starts"),
        (vec!["nica", &x, "--segments", "12", "--epochs", "0"], "epochs"),
        (vec!["nica", &x, "--segments", "12", "--out", &x], "--out"),
        (vec!["toy", "nica", "--rows", "41", "--out", &found], "multiple of --segments 40"),
        (vec!["toy", "moons", "--depth", "2", "--out", &found], "goes with nica"),
    ] {
        let said = refusal(&args);
        assert!(said.contains(word), "{args:?}: {said}");
    }
}
