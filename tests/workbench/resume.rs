//! Runs that are killed, interrupted or find a full disk.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
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

/// Kills runs at 50 moments (5 where they are emulated, `RELGRAD_KILLS` if it is set), resumes them, and compares their ends
/// with that of a run left in peace, byte by byte.
#[test]
fn a_killed_run_ends_as_an_unbroken_one() {
    let enough = match std::env::var("RELGRAD_KILLS") {
        Ok(kills) => kills.parse().unwrap(),
        Err(_) if emulated() => 5,
        Err(_) => 50,
    };
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
            // The same command again goes on as --resume does.
            let command = match folder.join("run.checkpoint").exists() && kills % 2 == 0 {
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
        assert!(left.len() <= 3, "a checkpoint, its lock and at most one unfinished: {left:?}");
        if kills >= enough {
            println!("{kills} kills");
            return;
        }
    }
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
    let left: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["run.lock"], "nothing unfinished is left");

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

fn text(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The one line of a command that is refused.
fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    text(&output)
}

fn done(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    output
}

/// A run of so many epochs at a constant rate.
fn constant(run: &Run, out: &str, epochs: &str, checkpoint: Option<&Path>) -> Command {
    let mut command = run.fresh(out, checkpoint);
    command.args(["--schedule", "constant", "--epochs", epochs]);
    command
}

#[test]
fn a_run_that_was_begun_is_never_lost_in_silence() {
    let run = Run::new("natural");
    let folder = run.path("checkpoint");
    let fresh = |out: &str| run.fresh(out, Some(&folder));
    let saved = || std::fs::read(folder.join("run.checkpoint")).unwrap();
    done(fresh("out"));
    let (model, before) = (run.bytes("out"), saved());

    // The same again: nothing is left to be done, and the model comes out again.
    std::fs::remove_file(run.path("out")).unwrap();
    let said = text(&done(fresh("out")));
    assert!(said.contains("is finished after 12 epochs") && said.contains("--restart"), "{said}");
    assert!(run.bytes("out") == model);
    // Another run: refused, and everything stays.
    let mut other = fresh("out");
    other.args(["--lr", "0.01"]);
    let said = refused(other);
    assert!(said.contains("lr: unset in the run, \"0.01\" now; must agree"), "{said}");
    assert!(said.contains("--resume") && said.contains("--restart"), "{said}");
    assert!(run.bytes("out") == model && saved() == before);
    let mut both = fresh("out");
    both.args(["--resume", "--restart"]);
    assert_eq!(both.output().unwrap().status.code(), Some(2));
    // Anew on purpose.
    let mut anew = fresh("out");
    anew.args(["--restart", "--lr", "0.01"]);
    done(anew);
    assert!(run.bytes("out") != model && saved() != before);
    let mut plain = run.fresh("plain", None);
    plain.args(["--lr", "0.01"]);
    done(plain);
    assert!(run.bytes("out") == run.bytes("plain"));
    // Only an interrupted run leaves a folder that nobody named.
    assert!(!run.path("plain.checkpoint").exists());
}

#[test]
fn more_epochs_go_on_at_constant_rates() {
    let run = Run::new("adam");
    let folder = run.path("checkpoint");
    done(constant(&run, "whole", "5", None));
    done(constant(&run, "out", "2", Some(&folder)));
    let said = text(&done(constant(&run, "out", "2", Some(&folder))));
    assert!(said.contains("more --epochs train further"), "{said}");
    let output = done(constant(&run, "out", "5", Some(&folder)));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains("resumed after epoch 2") && !lines.contains("epoch 2 of 5"), "{lines}");
    assert!(run.bytes("out") == run.bytes("whole"));
    // A cosine ends where it was laid out to end.
    let cosine = run.path("cosine");
    done(run.fresh("out", Some(&cosine)));
    let mut more = run.resumed("out", &cosine);
    more.args(["--epochs", "20"]);
    let said = refused(more);
    let parts = ["epochs: \"12\" in the run, \"20\" now", "cosine schedule", "--init"];
    assert!(parts.iter().all(|p| said.contains(p)), "{said}");
}

#[test]
fn data_may_move_but_not_change() {
    let run = Run::new("natural");
    let folder = run.path("checkpoint");
    let (data, val, moved) = (run.path("d.npy"), run.path("v.npy"), run.path("moved.npy"));
    let start = run.path("start");
    std::fs::copy(DIGITS[0], &data).unwrap();
    std::fs::copy(DIGITS[1], &val).unwrap();
    done(constant(&run, "start", "1", None));
    // Relative paths are those of the folder that the run began in.
    let fresh = |epochs: &str| {
        let mut command = constant(&run, "out", epochs, Some(&folder));
        command.current_dir(run.folder.path());
        command.args(["--data", "d.npy", "--val", "v.npy", "--init", "start"]);
        command
    };
    let resumed = |epochs: &str, more: &[&Path]| {
        let mut command = run.resumed("out", &folder);
        command.args(["--epochs", epochs]).args(more);
        command
    };
    done(fresh("2"));
    done(resumed("3", &[]));
    // What was edited is named, wherever it is; nothing else happens.
    let before = std::fs::read(folder.join("run.checkpoint")).unwrap();
    for (name, path) in [("data", &data), ("val", &val), ("init", &start)] {
        let content = std::fs::read(path).unwrap();
        let mut edited = content.clone();
        *edited.last_mut().unwrap() ^= 1;
        std::fs::write(path, &edited).unwrap();
        for command in [resumed("4", &[]), fresh("4")] {
            let said = refused(command);
            let start = format!("run.checkpoint: {name}: \"");
            let file = path.file_name().unwrap().to_str().unwrap();
            let is_not = format!("{file}\" is not what the run began with (");
            let parts = [&start[..], &is_not, "bytes, crc32"];
            assert!(parts.iter().all(|p| said.contains(p)), "{said}");
        }
        std::fs::write(path, content).unwrap();
    }
    assert!(std::fs::read(folder.join("run.checkpoint")).unwrap() == before);
    std::fs::rename(&data, &moved).unwrap();
    let said = refused(resumed("4", &[]));
    assert!(said.contains("is not there") && said.contains("give --data its new path"), "{said}");
    done(resumed("4", &[Path::new("--data"), &moved]));
    // The checkpoint has the new path.
    done(resumed("5", &[]));
    std::fs::rename(&moved, &data).unwrap();
    let out = run.bytes("out");
    let mut whole = fresh("5");
    whole.arg("--restart");
    done(whole);
    assert!(run.bytes("out") == out);
}

/// Runs that are asked to stop. Nothing here depends on how fast a run is: it is long, and the
/// tests wait for what it says.
#[cfg(unix)]
mod signals {
    use super::*;

    fn send(child: &Child, signal: &str) {
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    impl Run {
        /// The epochs that the run's log has.
        fn epochs(&self) -> Vec<u64> {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            // The last line may still be on its way.
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines = whole.lines().map(|l| serde_json::from_str(l).unwrap());
            let epochs = lines.filter(|l: &serde_json::Value| l["event"] == "epoch");
            epochs.map(|l| l["epoch"].as_u64().unwrap()).collect()
        }

        fn long(&self, out: &str, checkpoint: Option<&Path>) -> Command {
            let mut command = constant(self, out, "10000000", checkpoint);
            command.arg("--log").arg(self.path("log"));
            command
        }

        /// Waits for so many epochs more than there are.
        fn wait(&self, child: &mut Child, epochs: usize) {
            let enough = self.epochs().len() + epochs;
            while self.epochs().len() < enough {
                assert!(child.try_wait().unwrap().is_none(), "the run has ended by itself");
                sleep(Duration::from_millis(5));
            }
        }
    }

    /// The signals, as `kill` and exit codes have them.
    const SIGNALS: [(&str, i32); 3] = [("-INT", 130), ("-TERM", 143), ("-HUP", 129)];

    /// Whether this process was started to ignore hang-ups: what it starts then does so too.
    fn ignores_hangups() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
        mask.is_some_and(|m| u64::from_str_radix(m.trim(), 16).unwrap() & 1 == 1)
    }

    #[test]
    fn an_interrupted_run_saves_and_says_how_to_go_on() {
        let elsewhere = tempfile::tempdir().unwrap();
        for (signal, code) in SIGNALS {
            if signal == "-HUP" && ignores_hangups() {
                continue;
            }
            let run = Run::new("natural");
            // A name that a shell takes apart unless it is quoted.
            let out = "it's a model";
            let mut child = run.long(out, None).current_dir(run.folder.path()).spawn().unwrap();
            run.wait(&mut child, 3);
            send(&child, signal);
            let output = child.wait_with_output().unwrap();
            let said = text(&output);
            assert_eq!(output.status.code(), Some(code), "{said}");
            let line = said.trim().strip_prefix("saved; go on with: ").expect(&said);
            assert!(!run.path(out).exists());
            assert!(run.path("it's a model.checkpoint/run.checkpoint").exists());

            // The line goes on from any folder; the same command without it is not a new run.
            let reached = *run.epochs().last().unwrap();
            let quoted = |w: &std::ffi::OsStr| format!("'{}'", w.to_str().unwrap());
            let program = program();
            let program: Vec<String> =
                [program.get_program()].into_iter().chain(program.get_args()).map(quoted).collect();
            let program = program.join(" ");
            let script = format!(
                "relgrad() {{ {program} \"$@\"; }}\n{line} --lr 0.5 && exit 9\n{line} --epochs {}",
                reached + 2
            );
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]).current_dir(elsewhere.path());
            let said = text(&done(shell));
            assert!(said.contains("lr: unset in the run, \"0.5\" now"), "{said}");
            let expected: Vec<u64> = (1..=reached + 2).collect();
            assert_eq!(run.epochs(), expected, "no epoch twice");
            assert!(run.path(out).exists());
            // Its purpose is fulfilled.
            assert!(!run.path("it's a model.checkpoint").exists());
        }
    }

    #[test]
    fn the_second_signal_stops_at_once() {
        let run = Run::new("natural");
        let mut child = run.long("out", None).args(["--threads", "1"]).spawn().unwrap();
        run.wait(&mut child, 1);
        // Both arrive while the run is held.
        for signal in ["-STOP", "-INT", "-TERM", "-CONT"] {
            send(&child, signal);
        }
        let output = child.wait_with_output().unwrap();
        assert!(matches!(output.status.code(), Some(130 | 143)), "{:?}", output.status);
        assert_eq!(text(&output), "");
        assert!(!run.path("out.checkpoint").exists() && !run.path("out").exists());
    }

    /// The terminal, and with it standard output and error, are gone when SIGHUP comes.
    #[test]
    fn a_closed_terminal_loses_nothing() {
        if ignores_hangups() {
            return;
        }
        let run = Run::new("adam");
        let mut child = run.long("out", None).spawn().unwrap();
        run.wait(&mut child, 1);
        drop((child.stdout.take(), child.stderr.take()));
        run.wait(&mut child, 2);
        // Twice, as a shell may send it again.
        for signal in ["-STOP", "-HUP", "-CONT", "-HUP"] {
            send(&child, signal);
        }
        assert_eq!(child.wait().unwrap().code(), Some(129));
        assert!(run.path("out.checkpoint/run.checkpoint").exists());
        let reached = run.epochs().len();
        let mut again = constant(&run, "out", &(reached + 1).to_string(), None);
        again.arg("--log").arg(run.path("log"));
        done(again);
        assert_eq!(run.epochs().len(), reached + 1);
    }

    #[test]
    fn nohup_is_heeded() {
        let run = Run::new("adam");
        let long = run.long("out", None);
        let mut command = Command::new("nohup");
        command.arg(long.get_program()).args(long.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        run.wait(&mut child, 1);
        // Where the system does not say what is ignored, the run saves itself instead; an emulator
        // says what it ignores itself.
        let is_known = Path::new("/proc/self/status").exists() && !emulated();
        if is_known {
            send(&child, "-HUP");
            run.wait(&mut child, 2);
        }
        send(&child, "-TERM");
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    }

    #[test]
    fn one_process_at_a_time_works_in_a_folder() {
        let run = Run::new("natural");
        let folder = run.path("checkpoint");
        let mut child = run.long("out", Some(&folder)).spawn().unwrap();
        run.wait(&mut child, 2);
        for mut other in [
            run.resumed("other", &folder),
            run.long("other", Some(&folder)),
            run.fresh("other", Some(&folder)),
        ] {
            let said = text(&other.output().unwrap());
            assert!(said.contains("in use by a run") && said.contains("--checkpoint"), "{said}");
            if !emulated() {
                assert!(said.contains(&format!("process {}", child.id())), "{said}");
            }
        }
        let mut restart = run.fresh("other", Some(&folder));
        assert!(
            refused({
                restart.arg("--restart");
                restart
            })
            .contains("in use")
        );
        // The first one did not notice, and its end frees the folder.
        run.wait(&mut child, 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let reached = *run.epochs().last().unwrap();
        done(constant(&run, "out", &(reached + 1).to_string(), Some(&folder)));
        assert!(!run.path("other").exists());
    }
}
