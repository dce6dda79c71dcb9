//! `relgrad train --thorough`.

use std::path::Path;

use crate::{refusal, relgrad, stdout};

/// A run on 600 rows of moons; what it prints.
fn train(folder: &Path, out: &str, more: &[&str]) -> String {
    let data = folder.join("moons.csv");
    let (data, out) = (data.to_str().unwrap(), folder.join(out));
    if !Path::new(data).exists() {
        stdout(&relgrad(&["toy", "moons", "--rows", "600", "--out", data]));
    }
    let all = ["train", "--data", data, "--out", out.to_str().unwrap()];
    stdout(&relgrad(&[&all[..], more].concat()))
}

#[test]
fn a_search_ends_in_flags_that_train_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--epochs", "40", "--lr", "0.05"];
    let text = train(folder.path(), "found", &[&["--thorough"], &more[..]].concat());
    let tried: Vec<&str> = text.lines().filter(|line| line.starts_with("tried ")).collect();
    // Flags that are given stay as they are.
    assert!(tried.len() > 3 && tried.iter().all(|line| line.contains("40 epochs, rate 0.05")));
    assert!(tried[0].contains("2 layers, tanh_mixture:4"));
    let chosen = text.lines().find_map(|line| line.strip_prefix("chosen  ")).unwrap();
    assert!(chosen.contains("--epochs 40") && chosen.contains("--lr 0.05"), "{chosen}");
    let best = |line: &&str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    let highest = tried.iter().map(best).fold(f64::NEG_INFINITY, f64::max);
    assert!(highest > best(&tried[0]) + 0.02, "depth pays on moons: {tried:?}");

    train(folder.path(), "said", &chosen.split(' ').collect::<Vec<_>>());
    let [found, said] = ["found", "said"].map(|m| std::fs::read(folder.path().join(m)).unwrap());
    assert!(found == said);
}

#[test]
fn a_search_needs_files_that_can_be_read_again_and_rows_to_hold_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (few, out) = (path("few.csv"), path("m"));
    std::fs::write(&few, "1,2\n2,1\n3,3\n").unwrap();
    let message = refusal(&["train", "--thorough", "--data", &few, "--out", &out]);
    assert!(message.contains("--thorough: 3 rows are too few"), "{message}");
    let message = refusal(&["train", "--thorough", "--data", "-", "--out", &out]);
    assert!(message.contains("--thorough") && message.contains("- is no file"), "{message}");
}
