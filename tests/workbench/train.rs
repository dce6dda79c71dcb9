//! `relgrad train` and `eval`.

use std::path::Path;

use relgrad::hosted::{ModelFile, Parameters, write_npy};
use relgrad::{Bias, Config};
use serde_json::Value as Json;

use crate::{DIGITS, json, refusal, relgrad, stdout};

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
    assert!(text.contains("of the units bend"));

    let eval = relgrad(&["eval", "--model", model, "--data", DIGITS[1], "--json"]);
    let object: serde_json::Value = serde_json::from_str(&stdout(&eval)).unwrap();
    let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    let expected = [
        "bits_per_dimension",
        "log_det",
        "mean_log_likelihood",
        "n",
        "standard_error",
        "unscored",
        "unscored_rows",
    ];
    assert_eq!(keys, expected);
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
fn starts_of_independent_entries() {
    let folder = tempfile::tempdir().unwrap();
    for init in ["uniform", "normal"] {
        let path = folder.path().join(init);
        let fixed = "--activation smooth_leaky_relu --epochs 1 --lr 1e-12".split(' ');
        let mut args = vec!["train", "--data", DIGITS[1], "--init", init];
        args.extend(fixed);
        args.extend(["--out", path.to_str().unwrap()]);
        stdout(&relgrad(&args));
        let file = ModelFile::read(&path).unwrap();
        assert!(!file.input_transform);
        let first = &file.parameters.to_vec::<f64>()[..64 * 64];
        let largest = first.iter().fold(0.0, |m: f64, w| m.max(w.abs()));
        // The end of the uniform law is 1 / sqrt(64).
        assert!((largest < 0.1251) == (init == "uniform") && largest > 0.12, "{largest}");
    }
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
    all(train(DIGITS[0], &["--val", "1.5"]), &["--val 1.5", "(0, 1)"]);
    all(train(DIGITS[0], &["--patience", "3"]), &["patience", "--val"]);
    all(train(DIGITS[0], &["--preprocess", "logit:2"]), &["logit:2", "0.5"]);
    all(train(DIGITS[0], &["--preprocess", "logit:0.1"]), &["row 1", "[0, 1]"]);
    all(train(DIGITS[0], &["--resume"]), &["m.safetensors.checkpoint"]);
    let nowhere = refusal(&["train", "--data", DIGITS[0], "--out", &path("no/where")]);
    assert!(nowhere.contains("where"), "{nowhere}");
    std::fs::write(path("cut.safetensors"), [1, 2, 3]).unwrap();
    let cut = refusal(&["eval", "--model", &path("cut.safetensors"), "--data", DIGITS[0]]);
    assert!(cut.contains("cut.safetensors"), "{cut}");
}

/// One step of the program is the golden SGD step: W, b and x from the file, without shuffling,
/// at a constant rate.
#[test]
fn one_step_is_the_golden_step() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden.json");
    let golden: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    fn numbers(v: &Json) -> Vec<f64> {
        v.as_array()
            .map_or_else(|| vec![v.as_f64().unwrap()], |a| a.iter().flat_map(numbers).collect())
    }
    let flat = |w: &Json, b: &Json| -> Vec<f64> {
        let (w, b) = (w.as_array().unwrap(), b.as_array().unwrap());
        w.iter().zip(b).flat_map(|(w, b)| [numbers(w), numbers(b)].concat()).collect()
    };
    let int = |v: &Json| v.as_u64().unwrap() as usize;
    let mut tried = 0;
    for case in golden["cases"].as_array().unwrap() {
        for (rule, steps) in [("separate", "steps_separate"), ("affine", "steps_affine")] {
            let (step, dim, rows) = (&case[steps]["sgd_step"], int(&case["D"]), int(&case["B"]));
            let crosses = step["crosses"].as_array().unwrap().iter().any(|c| c == true);
            if crosses || case["bias"] != true {
                continue;
            }
            let p: Vec<String> =
                numbers(&case["activation_params"]).iter().map(f64::to_string).collect();
            let name = case["activation"].as_str().unwrap();
            let activation =
                format!("{name}{}{}", if p.is_empty() { "" } else { ":" }, p.join(","));
            let start = ModelFile {
                dim,
                layers: int(&case["L"]),
                activation: activation.parse().unwrap(),
                final_activation: case["final_activation"] == true,
                base: case["base"].as_str().unwrap().parse().unwrap(),
                bias: rule.parse::<Bias>().unwrap(),
                condition: relgrad::Condition::None,
                conditioned: relgrad::Conditioned::Both,
                observed: None,
                input_transform: Config::new(1, 1).input_transform,
                origin: None,
                parameters: Parameters::F64(flat(&case["W"], &case["b"])),
                extra: Default::default(),
                extra_tensors: Default::default(),
            };
            start.write(path("start")).unwrap();
            write_npy(path("x.npy"), dim, &numbers(&case["x"])).unwrap();
            stdout(&relgrad(&[
                "train",
                "--data",
                &path("x.npy"),
                "--init",
                &path("start"),
                "--no-shuffle",
                "--bias",
                rule,
                "--optimizer",
                "sgd",
                "--schedule",
                "constant",
                "--warmup",
                "0",
                "--lr",
                "0.01",
                "--epochs",
                "1",
                "--batch",
                &rows.to_string(),
                "--dtype",
                "f64",
                "--out",
                &path("end"),
            ]));
            let Parameters::F64(got) = ModelFile::read(path("end")).unwrap().parameters else {
                panic!("not f64");
            };
            let want = flat(&step["W"], &step["b"]);
            let scale = want.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-12 * scale, "{activation} {rule}: {got} {want}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried}");
}

#[test]
fn flags_come_from_a_file_too_and_json_is_one_object() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let text = format!(
        "data = \"{}\"\nval = 0.2\nepochs = 3\noptimizer = \"natural\"\nbatch = 20\n\
         no_shuffle = true\njson = true\nlog = \"{}\"\n",
        DIGITS[0],
        path("log.jsonl")
    );
    std::fs::write(path("run.toml"), text).unwrap();
    let run = ["train", "--config", &path("run.toml"), "--epochs", "4", "--out", &path("m")];
    let end = json(&run);
    assert_eq!(end["reason"], "finished");
    let validation = end["log_likelihood"]["validation"].as_f64().unwrap();
    let log = std::fs::read_to_string(path("log.jsonl")).unwrap();
    let lines: Vec<Json> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 5, "four epochs and the end");
    let seen: Vec<f64> = lines[..4].iter().map(|l| l["validation"].as_f64().unwrap()).collect();
    let best = seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!((validation - best).abs() < 1e-3, "the model saved is the best one seen");
    assert_eq!(lines[4], end);
    std::fs::write(path("run.toml"), "speed = 3\n").unwrap();
    assert!(refusal(&run).contains("run.toml: speed"));
}
