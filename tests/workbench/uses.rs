//! What a trained model is good for.

use relgrad::hosted::Data;

use crate::{json, refusal, relgrad, stdout};

pub struct Trained {
    folder: tempfile::TempDir,
}

impl Trained {
    /// A small model of the rings.
    pub fn new() -> Self {
        let trained = Trained { folder: tempfile::tempdir().unwrap() };
        for (name, seed, rows) in
            [("train", "1", "2000"), ("new", "2", "1000"), ("cal", "3", "999")]
        {
            let out = trained.path(&format!("{name}.npy"));
            stdout(&relgrad(&["toy", "rings", "--rows", rows, "--seed", seed, "--out", &out]));
        }
        let (data, out) = (trained.path("train.npy"), trained.path("m"));
        let args = ["train", "--data", &data, "--layers", "4", "--batch", "50", "--lr", "0.01"];
        stdout(&relgrad(&[&args[..], &["--epochs", "60", "--out", &out]].concat()));
        trained
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> Data<f64> {
        Data::read(self.path(name)).unwrap()
    }
}

#[test]
fn encoding_and_decoding_are_inverse() {
    let t = Trained::new();
    let (m, data) = (t.path("m"), t.path("new.npy"));
    for (z, x) in [("z.npy", "x.npy"), ("z.csv", "x.csv")] {
        stdout(&relgrad(&["encode", "--model", &m, "--data", &data, "--out", &t.path(z)]));
        let back = ["decode", "--model", &m, "--data", &t.path(z), "--out", &t.path(x), "--json"];
        assert_eq!(json(&back)["rows"], 1000);
        let (there, back) = (t.read("new.npy"), t.read(x));
        let furthest = there
            .values()
            .iter()
            .zip(back.values())
            .fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
        assert!(furthest < 1e-3 && t.read(z) != there, "{furthest}");
    }
    let out = t.path("z.xls");
    let args = ["encode", "--model", &m, "--data", &data, "--out", &out];
    assert!(refusal(&args).contains("must end with .npy or .csv"));
}

#[test]
fn samples_look_like_the_data_and_repeat_with_their_seed() {
    let t = Trained::new();
    let draw = |name: &str, rows: &str, seed: &str| {
        let (m, out) = (t.path("m"), t.path(name));
        stdout(&relgrad(&["sample", "--model", &m, "--rows", rows, "--seed", seed, "--out", &out]));
        t.read(name)
    };
    let (a, b) = (draw("a.npy", "500", "1"), draw("b.npy", "300", "1"));
    assert_eq!(&a.values()[..600], b.values());
    assert_ne!(draw("c.npy", "300", "2"), b);
    let radius = |d: &Data<f64>| {
        d.values().chunks(2).map(|p| p[0].hypot(p[1])).sum::<f64>() / d.rows() as f64
    };
    assert!((radius(&a) - radius(&t.read("new.npy"))).abs() < 0.25);
    let (m, data) = (t.path("m"), t.path("new.npy"));
    let eval = ["eval", "--model", &m, "--data", &data, "--json"];
    let out = t.path("s.npy");
    let scores = [&eval[..], &["--scores", &out]].concat();
    let mean = json(&scores)["mean_log_likelihood"].as_f64().unwrap();
    let s = t.read("s.npy");
    assert!((s.values().iter().sum::<f64>() / s.rows() as f64 - mean).abs() < 1e-9);
}

#[test]
fn anomalies_are_found_at_the_promised_rate_of_false_alarms() {
    let t = Trained::new();
    let far = "x,y\n9,9\n-8,3\n0.1,12\n";
    std::fs::write(t.path("far.csv"), far).unwrap();
    let score = |data: &str, more: &[&str]| {
        let (m, data, cal) = (t.path("m"), t.path(data), t.path("cal.npy"));
        let args = ["score", "--model", &m, "--data", &data, "--calibrate", &cal, "--json"];
        json(&[&args[..], more].concat())
    };
    let out = t.path("scores.csv");
    assert_eq!(score("far.csv", &["--out", &out])["anomalies"], 3);
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("row,log_likelihood,p_value,anomaly\n1,"), "{text}");
    assert!(text.lines().skip(1).all(|l| l.ends_with(",0.001,1")), "{text}");
    // 50 of 1000 expected; four standard deviations, of calibration and of these rows.
    let alarms = score("new.npy", &["--false-alarm", "0.05"])["anomalies"].as_u64().unwrap();
    assert!((10..=90).contains(&alarms), "{alarms}");
    let (m, data) = (t.path("m"), t.path("new.npy"));
    let refused = |rate: &str| {
        refusal(&[
            "score",
            "--model",
            &m,
            "--data",
            &data,
            "--calibrate",
            &data,
            "--false-alarm",
            rate,
        ])
    };
    assert!(refused("0.0001").contains("1000") && refused("-1").contains("-1"));
}

#[test]
fn inspection_tells_what_a_model_is() {
    let t = Trained::new();
    let m = t.path("m");
    let object = json(&["inspect", "--model", &m, "--data", &t.path("train.npy"), "--json"]);
    assert_eq!((&object["dim"], object["layers"].as_array().unwrap().len()), (&2.into(), 4));
    for layer in object["layers"].as_array().unwrap() {
        assert!(layer["condition"].as_f64().unwrap() >= 1.0);
    }
    let on = |name: &str| json(&["eval", "--model", &m, "--data", &t.path(name), "--json"]);
    let sum: f64 =
        object["layers"].as_array().unwrap().iter().map(|l| l["log_det"].as_f64().unwrap()).sum();
    let sum = sum + object["input_log_det"].as_f64().unwrap();
    assert!((sum - on("new.npy")["log_det"].as_f64().unwrap()).abs() < 1e-3);
    // Trained on these data it is near a maximum; elsewhere it is not.
    std::fs::write(t.path("far.csv"), "1,90\n-80,3\n0.1,120\n40,40\n").unwrap();
    let other = json(&["inspect", "--model", &m, "--data", &t.path("far.csv"), "--json"]);
    let norm = |o: &serde_json::Value| o["optimality"]["relative_gradient_norm"].as_f64().unwrap();
    assert!(10.0 * norm(&object) < norm(&other), "{} {}", norm(&object), norm(&other));
    assert!(stdout(&relgrad(&["inspect", "--model", &m])).contains("tanh_mixture:4"));
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let text = stdout(&relgrad(&["completions", shell]));
        assert!(["train", "inspect", "no-shuffle"].iter().all(|w| text.contains(w)), "{shell}");
    }
}

/// Width and height of a PNG.
fn size(path: &str) -> (u32, u32) {
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes[12..16] == *b"IHDR", "{path}");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn pictures_are_drawn() {
    let t = Trained::new();
    let (m, data, log) = (t.path("m"), t.path("train.npy"), t.path("log.jsonl"));
    let out = t.path("p.png");
    // The picture's bytes, and what is said of it.
    let plot = |args: &[&str], (width, height): (u32, u32)| {
        let _ = std::fs::remove_file(&out);
        let numbers = json(&[&["plot"], args, &["--json", "--out", &out]].concat());
        assert_eq!(size(&out), (width, height));
        assert_eq!((&numbers["width"], &numbers["height"]), (&width.into(), &height.into()));
        assert_eq!(numbers["out"], out);
        (std::fs::read(&out).unwrap(), numbers)
    };
    let other = t.path("n");
    let train = ["train", "--data", &data, "--val", "0.1", "--epochs", "3", "--out", &other];
    let end = json(&[&train[..], &["--json", "--log", &log]].concat());
    let (_, numbers) = plot(&["loss", &log], (900, 560));
    assert_eq!(
        (&numbers["curves"][0]["name"], &numbers["curves"][0]["epochs"]),
        (&"log".into(), &3.into())
    );
    assert_eq!(numbers["curves"][0]["best_epoch"], end["best_epoch"].as_f64().unwrap());
    let density = |model: &str| plot(&["density", "--model", model, "--data", &data], (1260, 420));
    let (first, numbers) = density(&m);
    // The panel holds nearly all of a density of these data, and no more than all.
    let mass = |numbers: &serde_json::Value| numbers["probability_in_window"].as_f64().unwrap();
    assert!(mass(&numbers) > 0.9 && mass(&numbers) < 1.01, "{numbers}");
    let mean = json(&["eval", "--model", &m, "--data", &data, "--json"]);
    let mean = mean["mean_log_likelihood"].as_f64().unwrap();
    assert!((numbers["mean_log_likelihood"].as_f64().unwrap() - mean).abs() < 1e-6);
    // Another model is another picture.
    assert!(density(&other).0 != first);
    let (_, numbers) =
        plot(&["grid", "--pair", &m, &data, "--pair", &other, &t.path("new.npy")], (368, 394));
    let columns = numbers["columns"].as_array().unwrap();
    assert_eq!((&columns[0]["name"], &columns[1]["name"]), (&"train".into(), &"new".into()));
    // The other one has hardly been trained.
    assert!(columns.iter().all(|c| mass(c) > 0.4 && mass(c) < 1.01), "{numbers}");
    assert!((columns[0]["mean_log_likelihood"].as_f64().unwrap() - mean).abs() < 1e-6);
    let (_, numbers) = plot(&["latents", "--model", &m, "--data", &data], (600, 240));
    for latent in numbers["latents"].as_array().unwrap() {
        let misfit = latent["misfit"].as_f64().unwrap();
        assert!(misfit > 0.0 && misfit < 0.3, "{numbers}");
    }
    let (_, numbers) = plot(&["activations", "--model", &m, "--data", &data], (960, 720));
    let units = numbers["units"].as_array().unwrap();
    let bends: Vec<f64> = units.iter().map(|u| u["bend"].as_f64().unwrap()).collect();
    assert!(units.len() == 8 && bends.is_sorted_by(|a, b| a >= b) && bends[0] > 0.1, "{numbers}");
    let third = ["activations", "--model", &m, "--data", &data, "--layer", "3"];
    let (_, numbers) = plot(&third, (640, 240));
    assert!(numbers["units"].as_array().unwrap().iter().all(|u| u["layer"] == 3), "{numbers}");
    // 16 images of 8 x 8, each pixel 12 wide, 4 between them.
    let digits = crate::DIGITS[0];
    let (_, numbers) = plot(&["images", "--data", digits, "--count", "16"], (404, 404));
    assert_eq!((&numbers["images"], &numbers["image_width"]), (&16.into(), &8.into()));
    plot(&["images", "--model", &m, "--width", "2", "--count", "4"], (60, 36));

    let refused =
        |args: &[&str], out: &str| refusal(&[&["plot"], args, &["--out", &t.path(out)]].concat());
    assert!(refused(&["images", "--data", digits, "--width", "7"], "q.png").contains("--width 7"));
    assert!(refused(&["images", "--data", digits, "--count", "0"], "q.png").contains("--count 0"));
    assert!(refused(&["loss", &log], "p.jpg").contains("must end with .png"));
    let fifth = ["activations", "--model", &m, "--data", &data, "--layer", "5"];
    assert!(refused(&fifth, "q.png").contains("--layer 5: must be 1 to 4"));
    std::fs::write(t.path("empty"), "").unwrap();
    assert!(refused(&["loss", &t.path("empty")], "q.png").contains("holds no epoch"));
    let pair = ["grid", "--pair", &m, &data, "--pair", &m, digits];
    assert!(refused(&pair, "q.png").contains("features: 64; must be 2"));
    assert!(!std::path::Path::new(&t.path("q.png")).exists());
}
