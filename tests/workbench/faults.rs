//! What must not lose a run, and what no flag may ask for: outputs that cannot be written, data that go
//! away, sizes beyond all memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::{DIGITS, program, relgrad, stdout};

fn text(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A run of so many epochs, with a log in the folder of its model.
fn train(out: &Path, data: &str, epochs: &str) -> Command {
    let mut command = program();
    command.args(["train", "--data", data, "--epochs", epochs, "--init", "standardized"]);
    command.args(["--schedule", "constant", "--batch", "64", "--out"]).arg(out);
    command.arg("--log").arg(out.with_file_name("log"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until the log of a run has so many lines.
fn wait(child: &mut Child, log: &Path, lines: usize) {
    while std::fs::read_to_string(log).unwrap_or_default().lines().count() < lines {
        assert!(child.try_wait().unwrap().is_none(), "the run has ended by itself");
        sleep(Duration::from_millis(5));
    }
}

fn interrupted(mut child: Child, log: &Path) -> Output {
    wait(&mut child, log, 3);
    assert!(
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success()
    );
    child.wait_with_output().unwrap()
}

/// The file in `folder` whose name begins so.
fn found(folder: &Path, start: &str) -> PathBuf {
    let names = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap());
    let mut found = names.filter(|f| f.file_name().to_string_lossy().starts_with(start));
    let one = found.next().expect("nothing was kept").path();
    assert!(found.next().is_none());
    one
}

/// Standard error whose reader is gone, and both streams on a full disk; at this rate a run warns.
#[test]
fn no_message_ends_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m");
    let warns = || {
        let mut command = train(&out, DIGITS[1], "10");
        command.args(["--optimizer", "sgd", "--lr", "30"]);
        command
    };
    let mut child = warns().spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().unwrap().success() && out.exists());
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    std::fs::remove_file(&out).unwrap();
    let (first, second) = (full.try_clone().unwrap(), full.try_clone().unwrap());
    assert_eq!(warns().stdout(first).stderr(second).status().unwrap().code(), Some(1));
    assert!(out.exists(), "lines are lost, the model is not");
    std::fs::remove_file(&out).unwrap();
    let output = warns().stdout(full).output().unwrap();
    let said = text(&output);
    assert!(said.contains("error: standard output: ") && out.exists(), "{said}");
    assert_eq!(said.matches("standard output").count(), 1, "{said}");
}

/// A folder where the new file would be keeps it from being written.
#[test]
fn a_model_is_kept_where_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m.safetensors");
    let obstacle = folder.path().join("m.safetensors.new");
    std::fs::create_dir(&obstacle).unwrap();
    let output = train(&out, DIGITS[1], "2").output().unwrap();
    let said = text(&output);
    let kept = found(folder.path(), "m.kept-");
    assert_eq!((output.status.code(), out.exists()), (Some(1), false), "{said}");
    assert!(said.contains(&format!("the model is kept in {}", kept.display())), "{said}");
    std::fs::remove_dir(&obstacle).unwrap();
    assert!(train(&out, DIGITS[1], "2").status().unwrap().success());
    assert!(std::fs::read(kept).unwrap() == std::fs::read(&out).unwrap());
}

#[cfg(unix)]
#[test]
fn a_run_is_saved_where_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let (out, log) = (folder.path().join("m"), folder.path().join("log"));
    for named in [true, false] {
        let place = folder.path().join(if named { "ck" } else { "m.checkpoint" });
        let obstacle = place.join("run.checkpoint.new");
        std::fs::create_dir_all(&obstacle).unwrap();
        let mut command = train(&out, DIGITS[1], "10000000");
        if named {
            command.arg("--checkpoint").arg(&place);
        }
        let output = interrupted(command.spawn().unwrap(), &log);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("run.checkpoint: ") && !place.join("run.checkpoint").exists());
        let kept = found(folder.path(), "relgrad-run-");
        let told = format!("saved in {} instead; go on with: relgrad train", kept.display());
        assert!(said.contains(&told), "{said}");
        let epochs = std::fs::read_to_string(&log).unwrap().lines().count();
        let mut again = program();
        again.args(["train", "--resume", "--checkpoint"]).arg(&kept).arg("--out").arg(&out);
        again.args(["--epochs", &(epochs + 1).to_string()]);
        let lines = stdout(&again.output().unwrap());
        assert!(lines.contains("resumed after epoch ") && out.exists(), "{lines}");
        std::fs::remove_dir_all(kept).unwrap();
        std::fs::remove_file(&out).unwrap();
        std::fs::remove_file(&log).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_run_outlives_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let data = path("d.npy");
    for checkpoint in [None, Some("ck")] {
        let whole = std::fs::read(DIGITS[1]).unwrap();
        std::fs::write(&data, &whole).unwrap();
        let mut command = train(&path("m"), data.to_str().unwrap(), "10000000");
        command.arg("--stream");
        if let Some(name) = checkpoint {
            command.arg("--checkpoint").arg(path(name));
        }
        let mut child = command.spawn().unwrap();
        wait(&mut child, &path("log"), 3);
        File::options().write(true).open(&data).unwrap().set_len(5000).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("d.npy: ") && said.contains("; saved; go on with: relgrad"),
            "{said}"
        );
        std::fs::write(&data, &whole).unwrap();
        let epochs = std::fs::read_to_string(path("log")).unwrap().lines().count();
        let mut again = program();
        again.args(["train", "--resume", "--out"]).arg(path("m"));
        if let Some(name) = checkpoint {
            again.arg("--checkpoint").arg(path(name));
        }
        again.args(["--epochs", &(epochs + 1).to_string()]);
        let lines = stdout(&again.output().unwrap());
        assert!(lines.contains("resumed after epoch "), "{lines}");
        std::fs::remove_file(path("log")).unwrap();
    }
}

/// A folder that is removed under a run is made again.
#[cfg(unix)]
#[test]
fn a_run_outlives_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (out, ck, log) =
        (folder.path().join("m"), folder.path().join("ck"), folder.path().join("log"));
    let mut child =
        train(&out, DIGITS[1], "10000000").arg("--checkpoint").arg(&ck).spawn().unwrap();
    wait(&mut child, &log, 1);
    // A checkpoint may be under way in it.
    while std::fs::remove_dir_all(&ck).is_err() || ck.exists() {}
    let said = text(&interrupted(child, &log));
    assert!(said.contains("\nsaved; go on with: ") && ck.join("run.checkpoint").exists(), "{said}");
}

#[test]
fn sizes_beyond_all_memory_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (m, npy, raw) = (path("m"), path("o.npy"), path("x.f32"));
    let small = ["train", "--data", DIGITS[1], "--epochs", "1", "--out", &m];
    assert!(relgrad(&small).status.success());
    std::fs::copy(DIGITS[1], &raw).unwrap();
    // Rows whose numbers, or bytes, are few modulo the address space.
    let rows =
        ["1000000000000000", "18446744073709551615", "288230376151711749", "72057594037927937"];
    let mut all: Vec<Vec<&str>> = Vec::new();
    for rows in rows {
        all.push(vec!["sample", "--model", &m, "--rows", rows, "--out", &npy]);
        all.push(vec!["toy", "rings", "--rows", rows, "--out", &npy]);
    }
    for dim in ["4611686018427387905", "4611686018427387904", "18446744073709551615"] {
        all.push(vec!["train", "--data", &raw, "--dim", dim, "--epochs", "1", "--out", &npy]);
    }
    for layers in ["1048577", "100000000000"] {
        all.push([&small[..5], &["--layers", layers, "--out", &npy]].concat());
    }
    all.push(vec!["bench", "--dim", "16777216", "--layers", "1", "--batch", "1"]);
    all.push(vec!["bench", "--dim", "3000000", "--layers", "9", "--batch", "1"]);
    all.push([&small[..5], &["--batch", "999999999999", "--out", &npy]].concat());
    for command in all {
        let output = relgrad(&command);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(!said.contains("panicked") && said.starts_with("error: "), "{command:?}: {said}");
        assert!(!Path::new(&npy).exists());
    }
}
