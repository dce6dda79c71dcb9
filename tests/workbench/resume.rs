//! Runs that are killed, interrupted or find a full disk.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{DIGITS, emulated, program, with_small_files};

struct Run {
    folder: tempfile::TempDir,
    optimizer: &'static str,
}

impl Run {
    fn new(optimizer: &'static str) -> Self {
        Run { folder: tempfile::tempdir().unwrap(), optimizer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, out: &str) -> Command {
        let mut command = program();
        command.args(["train", "--out"]).arg(self.path(out));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A run of 900 steps with a checkpoint every 7.
    fn fresh(&self, out: &str, checkpoint: Option<&Path>) -> Command {
        let mut command = self.command(out);
        command.args(["--data", DIGITS[0], "--val", "0.2", "--optimizer", self.optimizer]);
        command.args(["--batch", "16", "--epochs", "12", "--init", "standardized"]);
        if let Some(folder) = checkpoint {
            command.arg("--checkpoint").arg(folder).args(["--checkpoint-steps", "7"]);
        }
        command
    }

    fn resumed(&self, out: &str, checkpoint: &Path) -> Command {
        let mut command = self.command(out);
        command.arg("--resume").arg("--checkpoint").arg(checkpoint);
        command.args(["--checkpoint-steps", "7"]);
        command
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

/// Whether the run ended by itself within `time`; it is killed otherwise.
fn ends_within(mut child: Child, time: Duration) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            let output = child.wait_with_output().unwrap();
            assert!(status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            return true;
        }
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

/// Kills runs at 50 moments (5 where they are emulated), resumes them, and compares their ends with that of a run left in
/// peace, byte by byte.
#[test]
fn a_killed_run_ends_as_an_unbroken_one() {
    let enough = if emulated() { 5 } else { 50 };
    let mut kills = 0;
    let mut random = 1u64;
    for optimizer in ["natural", "adam"].iter().cycle() {
        let run = Run::new(optimizer);
        let started = Instant::now();
        assert!(ends_within(run.fresh("whole", None).spawn().unwrap(), Duration::from_secs(600)));
        // Moments spread over what a run takes, with its checkpoints.
        let longest = started.elapsed().max(Duration::from_millis(40)).as_micros() as u64;
        let folder = run.path("checkpoint");
        loop {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let time = Duration::from_micros((random >> 33) % longest);
            let command = match folder.join("run.checkpoint").exists() {
                true => run.resumed("broken", &folder).spawn(),
                false => run.fresh("broken", Some(&folder)).spawn(),
            };
            // Enough kills: now to the end.
            let time = if kills >= enough { Duration::from_secs(600) } else { time };
            if ends_within(command.unwrap(), time) {
                break;
            }
            kills += 1;
        }
        assert!(run.bytes("broken") == run.bytes("whole"), "{optimizer}, {kills} kills");
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
        assert!(left.len() <= 2, "a checkpoint and at most one unfinished: {left:?}");
        if kills >= enough {
            return;
        }
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_and_says_how_to_go_on() {
    let run = Run::new("natural");
    let output = run.fresh("whole", None).output().unwrap();
    assert!(output.status.success());
    // Long enough to be interrupted: the same run with more epochs.
    let mut command = run.fresh("broken", None);
    command.args(["--epochs", "100000", "--log"]).arg(run.path("log"));
    let child = command.spawn().unwrap();
    let epochs = || std::fs::read_to_string(run.path("log")).unwrap_or_default().lines().count();
    while epochs() < 3 {
        sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    let words = text.trim().strip_prefix("saved; go on with: relgrad ").expect(&text);
    assert!(!run.path("broken").exists());

    // What it says works; another run's settings are refused.
    let mut again = program();
    again.args(words.split(' ')).args(["--lr", "0.5"]);
    let refused = again.output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && text.contains("lr: unset in the run, \"0.5\" now"),
        "{text}"
    );
    let before = epochs();
    let child = program()
        .args(words.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while epochs() < before + 3 {
        sleep(Duration::from_millis(5));
    }
    assert!(!ends_within(child, Duration::ZERO));
    let log = std::fs::read_to_string(run.path("log")).unwrap();
    let numbers: Vec<u64> = log
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
        .filter(|l| l["event"] == "epoch")
        .map(|l| l["epoch"].as_u64().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "no epoch twice: {numbers:?}");
}

/// A checkpoint that does not fit leaves the last one and the run alone.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    let run = Run::new("adam");
    let folder = run.path("checkpoint");
    // The model's 34 kB can be written, a checkpoint's 240 kB cannot.
    let output = with_small_files(120, &run.fresh("out", Some(&folder))).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("no checkpoint") && text.contains("run.checkpoint"), "{text}");
    assert!(run.path("out").exists());
    let left = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, 0, "nothing unfinished is left");

    // The same with a checkpoint there already: it stays.
    let mut child = run.fresh("other", Some(&folder)).spawn().unwrap();
    while !folder.join("run.checkpoint").exists() {
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = std::fs::read(folder.join("run.checkpoint")).unwrap();
    let output = with_small_files(120, &run.resumed("out", &folder)).output().unwrap();
    assert!(output.status.success());
    assert_eq!(std::fs::read(folder.join("run.checkpoint")).unwrap(), before);
    // And a model that does not fit is an error that leaves no half of it.
    let output = with_small_files(8, &run.fresh("none", None)).output().unwrap();
    assert!(!output.status.success() && !run.path("none").exists());
    assert!(String::from_utf8(output.stderr).unwrap().contains("none"));
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let run = Run::new("natural");
    let folder = run.path("checkpoint");
    assert!(run.fresh("out", Some(&folder)).status().unwrap().success());
    let path = folder.join("run.checkpoint");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = run.resumed("again", &folder).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && text.contains("run.checkpoint") && text.contains("damaged")
    );
}
