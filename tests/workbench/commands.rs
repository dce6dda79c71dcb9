//! What holds for all commands: exit codes, `--json`, standard output that nobody reads.

use std::process::Stdio;

use crate::uses::Trained;
use crate::{DIGITS, json, program, relgrad, stdout};

fn code(args: &[&str]) -> Option<i32> {
    relgrad(args).status.code()
}

#[test]
fn exit_codes_are_those_that_help_names() {
    for help in [&["--help"][..], &["train", "--help"]] {
        let text = stdout(&relgrad(help));
        let named = [
            "0    done",
            "1    failed",
            "2    the command line",
            "130  interrupted",
            "143  ",
            "129  ",
        ];
        assert!(named.iter().all(|n| text.contains(n)), "{text}");
    }
    // Each with all that it must be told, and files that are not there.
    let complete: [&[&str]; 12] = [
        &["train", "--data", "no.npy", "--out", "no"],
        &["eval", "--model", "no", "--data", "no.npy"],
        &["encode", "--model", "no", "--data", "no.npy", "--out", "no.npy"],
        &["decode", "--model", "no", "--data", "no.npy", "--out", "no.npy"],
        &["sample", "--model", "no", "--out", "no.npy"],
        &["score", "--model", "no", "--data", "no.npy", "--calibrate", "no.npy"],
        &["inspect", "--model", "no"],
        &["export", "--model", "no", "--out", "no.h"],
        &["deepen", "--model", "no", "--out", "n"],
        &["toy", "rings", "--out", "no/no.npy"],
        &["metric", "amari", "no.npy", "no.npy"],
        &["plot", "density", "--model", "no", "--data", "no.npy", "--out", "no.png"],
    ];
    for command in complete {
        assert_eq!(code(command), Some(1), "{command:?}");
        assert_eq!(code(&[command, &["--speed", "3"]].concat()), Some(2), "{command:?}");
        assert_eq!(code(&command[..command.len() - 2]), Some(2), "{command:?}");
    }
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["bench", "--dim", "0"]), Some(1));
    assert_eq!(code(&["bench"]), Some(2));
    // 130, 143 and 129 are tested where runs are interrupted.
}

#[test]
fn every_command_speaks_json() {
    let t = Trained::new();
    let (m, data, npy, h) = (t.path("m"), t.path("new.npy"), t.path("o.npy"), t.path("o.h"));
    let (cal, png) = (t.path("cal.npy"), t.path("o.png"));
    let commands: [&[&str]; 13] = [
        &["train", "--data", &data, "--epochs", "1", "--out", &t.path("n")],
        &["eval", "--model", &m, "--data", &data],
        &["encode", "--model", &m, "--data", &data, "--out", &npy],
        &["decode", "--model", &m, "--data", &data, "--out", &npy],
        &["sample", "--model", &m, "--out", &npy],
        &["score", "--model", &m, "--data", &data, "--calibrate", &cal],
        &["inspect", "--model", &m],
        &["export", "--model", &m, "--out", &h],
        &["deepen", "--model", &m, "--out", &t.path("deeper")],
        &["toy", "rings", "--out", &npy],
        &["plot", "latents", "--model", &m, "--data", &data, "--out", &png],
        &["bench", "--dim", "4", "--budget", "0.01"],
        &["ica", &data],
    ];
    for command in commands {
        let object = json(&[command, &["--json"]].concat());
        assert!(!object.as_object().unwrap().is_empty(), "{command:?}");
    }
}

#[test]
fn a_run_does_not_end_when_its_lines_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m");
    let mut command = program();
    command.args(["train", "--data", DIGITS[1], "--epochs", "20", "--out"]).arg(&out);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success() && out.exists());
}
