//! The workbench as its users see it.

mod bench;
mod commands;
mod conditions;
mod data;
mod export;
mod faults;
mod flags;
mod guide;
mod ica;
mod prepare;
mod reproduce;
mod resume;
mod tables;
mod thorough;
mod train;
mod units;
mod uses;
mod verify;

use std::process::{Command, Output};

const DIGITS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits_train.npy"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits_test.npy"),
];

/// The emulator, where the tests are for another machine.
const RUNNER: &str = "RELGRAD_RUNNER";

fn emulated() -> bool {
    std::env::var_os(RUNNER).is_some()
}

/// The program, by way of the emulator if there is one.
fn program() -> Command {
    let program = env!("CARGO_BIN_EXE_relgrad");
    let Some(runner) = std::env::var_os(RUNNER) else { return Command::new(program) };
    let mut command = Command::new(runner);
    command.arg(program);
    command
}

/// `command` where files of more blocks (of 512 or 1024 bytes) cannot be written.
#[cfg(unix)]
fn with_small_files(blocks: u32, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

fn relgrad(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one object that a command prints.
fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&stdout(&relgrad(args))).unwrap()
}

/// The one line of a refusal.
fn refusal(args: &[&str]) -> String {
    let output = relgrad(args);
    assert!(!output.status.success() && output.stdout.is_empty(), "{args:?} was accepted");
    String::from_utf8(output.stderr).unwrap()
}
