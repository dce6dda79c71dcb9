//! docs/guide.md: its commands, and what it says they print.

use std::path::Path;
use std::process::Command;

use crate::emulated;

/// The blocks of the page, each with what stands behind its opening fence.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

#[test]
fn the_guide_prints_what_it_says() {
    if emulated() {
        return; // the search takes minutes there
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_relgrad")).parent().unwrap();
    let path = [program, Path::new("/usr/bin"), Path::new("/bin")];
    let path = std::env::join_paths(path).unwrap();
    let one_space = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut printed, mut compared) = (String::new(), 0);
    for (kind, block) in blocks(include_str!("../../docs/guide.md")) {
        match kind {
            "sh" => {
                let mut shell = Command::new("sh");
                shell.args(["-e", "-c", block]).env("PATH", &path).current_dir(folder.path());
                let output = shell.output().unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{block}{errors}");
                printed = String::from_utf8(output.stdout).unwrap();
            }
            _ => {
                let printed: Vec<String> = printed.lines().map(one_space).collect();
                for line in block.lines().map(one_space) {
                    assert!(printed.contains(&line), "{line}\nis not in\n{}", printed.join("\n"));
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 12, "{compared} lines");
    let picture = std::fs::read(folder.path().join("rings.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
}
