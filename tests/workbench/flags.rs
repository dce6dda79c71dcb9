//! Flags that would have no effect, or would contradict the model to start from.

use relgrad::Bias;
use relgrad::hosted::ModelFile;

use crate::{DIGITS, json, refusal, relgrad, stdout};

/// Each flag, a value, what makes it mean nothing, and what it requires.
const RULES: [(&str, &str, &str, &str); 15] = [
    ("damping", "0.5", "--optimizer adam", "natural"),
    ("damping", "0.5", "--optimizer sgd", "natural"),
    ("clip", "2", "--optimizer sgd", "natural"),
    ("momentum", "0.9", "--optimizer adam", "sgd or natural"),
    ("patience", "3", "without --val", "FILE or a fraction"),
    ("redraw", "", "--preprocess none", "dequantize:LEVELS or logit:LAMBDA,LEVELS"),
    ("redraw", "", "--preprocess logit:0.1", "dequantize:LEVELS or logit:LAMBDA,LEVELS"),
    ("checkpoint-steps", "7", "without --checkpoint", "DIR"),
    ("momentum", "0", "--optimizer adam", "sgd or natural"),
    ("activation", "\"leaky_tanh\"", "--layers 1", "2 or more, or --final-activation"),
    (
        "final-activation",
        "",
        "--activation identity",
        "tanh_mixture, smooth_leaky_relu or leaky_tanh",
    ),
    ("curve-rate", "2", "--activation identity", "tanh_mixture"),
    ("bias", "\"affine\"", "--gradient ordinary", "--gradient relative"),
    ("bias", "\"projected\"", "--gradient transposed", "--gradient relative"),
    ("stream", "", "--data a.csv", "FILE, binary and uncompressed"),
];

#[test]
fn flags_and_keys_without_effect_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let (out, config) = (path("m"), path("c.toml"));
    for (flag, value, by, allowed) in RULES {
        let line = ["train", "--data", DIGITS[1], "--out", &out];
        let condition: Vec<&str> = by.split(' ').filter(|_| !by.starts_with("without")).collect();
        let named = format!("--{flag}");
        let bare = value.trim_matches('"');
        let given: Vec<&str> = [&named[..], bare].into_iter().filter(|w| !w.is_empty()).collect();
        let words = [&line[..], &condition, &given].concat();
        let says = |text: &str, start: &str| {
            let value = if bare.is_empty() { String::new() } else { format!(" {bare}") };
            let start = format!("error: {start}{value}: no effect ");
            assert!(text.starts_with(&start), "{text}");
            assert!(text.contains(by) && text.contains("requires --"), "{text}");
            assert!(text.lines().next().unwrap().ends_with(allowed), "{text}");
            assert!(text.contains("Usage: relgrad train "), "{text}");
        };
        says(&refusal(&words), &named);
        assert_eq!(relgrad(&words).status.code(), Some(2));
        let key = flag.replace('-', "_");
        let value = if value.is_empty() { "true" } else { value };
        std::fs::write(&config, format!("{key} = {value}\n")).unwrap();
        let words = [&line[..], &condition, &["--config", &config]].concat();
        says(&refusal(&words), &format!("{config}: {flag}"));
    }
    assert!(!std::path::Path::new(&out).exists());
    // In company they have an effect.
    let train = ["train", "--data", DIGITS[1], "--epochs", "1", "--out", &out];
    for more in [
        &["--layers", "1", "--activation", "leaky_tanh", "--final-activation"][..],
        &["--layers", "1", "--activation", "identity"],
        &["--gradient", "ordinary", "--bias", "separate"],
        &["--stream"],
    ] {
        stdout(&relgrad(&[&train[..], more].concat()));
    }
    // A switch that a file turns off is not given.
    std::fs::write(&config, "redraw = false\nepochs = 1\n").unwrap();
    stdout(&relgrad(&["train", "--data", DIGITS[1], "--config", &config, "--out", &out]));
}

/// What a checkpoint keeps holds all defaults, those without effect too.
#[test]
fn defaults_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let (out, checkpoint) = (path("m"), path("run"));
    for optimizer in ["adam", "natural"] {
        let run = ["train", "--data", DIGITS[1], "--optimizer", optimizer, "--epochs", "1"];
        let to = ["--checkpoint", &checkpoint, "--out", &out];
        stdout(&relgrad(&[&run[..], &to, &["--restart"]].concat()));
        stdout(&relgrad(&[&["train", "--resume"], &to[..]].concat()));
    }
    let to = ["--checkpoint", &checkpoint, "--out", &out, "--damping", "0.1"];
    stdout(&relgrad(&[&["train", "--resume"], &to[..]].concat()));
}

#[test]
fn a_model_to_start_from_is_not_contradicted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let (start, out) = (path("start"), path("m"));
    let train = ["train", "--data", DIGITS[1], "--epochs", "1", "--optimizer", "sgd"];
    let first = ["--layers", "3", "--activation", "leaky_tanh:2", "--base", "sech"];
    stdout(&relgrad(&[&train[..], &first, &["--out", &start]].concat()));
    let on = [&train[..], &["--init", &start, "--out", &out]].concat();
    let changed = |flags: &[&str]| refusal(&[&on[..], flags].concat());
    for (flags, fault) in [
        (["--layers", "2"], "--layers 2: must be 3, as in --init"),
        (["--activation", "identity"], "identity: must be leaky_tanh:2,0.1"),
        (["--base", "normal"], "--base normal: must be sech"),
        (["--bias", "none"], "--bias none: must be separate"),
    ] {
        let text = changed(&flags);
        assert!(text.contains(fault) && text.contains("start"), "{text}");
    }
    assert!(changed(&["--final-activation"]).contains("--final-activation"));
    // To repeat it is no contradiction, and how biases move is training's own.
    let trained = |flags: &[&str]| {
        stdout(&relgrad(&[&on[..], flags].concat()));
        ModelFile::read(&out).unwrap()
    };
    let (separate, affine) = (trained(&first), trained(&["--bias", "affine"]));
    assert_eq!((separate.layers, separate.bias, affine.bias), (3, Bias::Separate, Bias::Affine));
    assert!(separate.parameters != affine.parameters);
}

#[test]
fn other_commands_refuse_what_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let png = path("p.png");
    let images = ["plot", "images", "--data", DIGITS[1], "--out", &png];
    assert!(refusal(&[&images[..], &["--seed", "2"]].concat()).contains("--seed"));
    let bench = refusal(&["bench", "--roofline", "--layers", "3"]);
    assert!(bench.contains("--dim"), "{bench}");
    let text = refusal(&["reproduce", "fig3", "--quick", "--data", "d", "--out", &path("r")]);
    assert!(text.contains("--data: no effect on fig3; goes with table1"), "{text}");
    let text = refusal(&["prepare", "hepmass", "--out", &path("r"), "--seed", "1"]);
    assert!(text.contains("--seed 1: no effect on hepmass"), "{text}");
    let of_model = refusal(&["plot", "images", "--model", "m", "--out", &png, "--dim", "4"]);
    assert!(of_model.contains("--dim: no effect without --data"), "{of_model}");
    assert!(refusal(&["inspect", "--model", "m", "--stream"]).contains("--stream: no effect"));
    // Data files: features are checked, and only archives name arrays.
    let text = refusal(&[&images[..], &["--dim", "63"]].concat());
    assert!(text.contains("digits_test.npy: features: 64; must be 63"), "{text}");
    let text = refusal(&[&images[..], &["--array", "x"]].concat());
    assert!(text.contains("array: x; only .npz and HDF5"), "{text}");
    std::fs::write(path("a.csv"), "1,2\n3,4\n").unwrap();
    let csv = ["plot", "images", "--data", &path("a.csv"), "--out", &png, "--array", "x"];
    assert!(refusal(&csv).contains("array: x"));
    assert_eq!(json(&[&images[..], &["--dim", "64", "--json"]].concat())["image_width"], 8);
}

/// What a model's file says decides, too.
#[test]
fn flags_for_preprocessing_need_a_model_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let (bytes, csv, out) = (path("b.npy"), path("b.csv"), path("out.npy"));
    let values: Vec<f32> = (0..400).map(|i| ((i * i * 7) % 16) as f32).collect();
    relgrad::hosted::write_npy(&bytes, 2, &values).unwrap();
    relgrad::hosted::write_csv(&csv, 2, &values, None).unwrap();
    let (plain, noisy) = (path("plain"), path("noisy"));
    let train = ["train", "--data", &bytes, "--epochs", "1", "--out"];
    stdout(&relgrad(&[&train[..], &[&plain]].concat()));
    stdout(&relgrad(&[&train[..], &[&noisy, "--preprocess", "dequantize:16"]].concat()));
    let on = |command, model, data, more: &[&str]| -> Vec<String> {
        let words = [&[command, "--model", model, "--data", data][..], more].concat();
        words.into_iter().map(String::from).collect()
    };
    let refused = |words: Vec<String>, says: &str| {
        let text = refusal(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(text.contains(says) && text.contains("no effect"), "{text}");
        assert!(!std::path::Path::new(&out).exists());
    };
    let to = ["--out", &out];
    refused(on("eval", &plain, &bytes, &["--seed", "2"]), "--seed 2");
    refused(on("score", &plain, &bytes, &["--seed", "1", "--calibrate", &bytes]), "--seed 1");
    refused(on("encode", &plain, &bytes, &[&to[..], &["--seed", "2"]].concat()), "--seed 2");
    refused(on("decode", &noisy, &bytes, &[&to[..], &["--seed", "2"]].concat()), "--seed 2");
    refused(on("encode", &plain, &bytes, &[&to[..], &["--prepared"]].concat()), "--prepared");
    refused(on("eval", &plain, &csv, &["--stream"]), "--stream");
    refused(on("inspect", &plain, &csv, &["--stream"]), "--stream");
    let sample = ["sample", "--prepared", "--out", &out, "--model"];
    refused(
        [&sample[..], &[&plain]].concat().into_iter().map(String::from).collect(),
        "--prepared",
    );
    // Where there is noise, its seed counts.
    let mean =
        |seed| json(&["eval", "--model", &noisy, "--data", &bytes, "--json", "--seed", seed]);
    assert_ne!(mean("2")["mean_log_likelihood"], mean("3")["mean_log_likelihood"]);
    let default = json(&["eval", "--model", &noisy, "--data", &bytes, "--json"]);
    assert_eq!(default["mean_log_likelihood"], mean("1")["mean_log_likelihood"]);
    stdout(&relgrad(&[&sample[..], &[&noisy]].concat()));
}
