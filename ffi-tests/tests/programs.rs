//! Compiles the programs of `c/` against librelgrad.a as C11 and as C++17, in float and in
//! double, and runs them: plain, under valgrind, with sanitizers.

#[path = "../../tests/suite/common/mod.rs"]
mod common;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::{Lcg, Owned, hash};
use relgrad::{Config, Optimizer, Scalar};

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");
const NATIVE_LIBRARIES: [&str; 7] =
    ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
const COUNTED: [&str; 7] =
    ["malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign", "mmap"];
const SANITIZERS: [&str; 3] = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const PRECISIONS: [&[&str]; 2] = [&[], &["-DDOUBLE"]];

#[derive(Clone, Copy)]
enum Language {
    C,
    Cpp,
}

/// Says what was left out, past the capture of test output.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// librelgrad.a, built and installed once, as for any C project.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let prefix = Path::new(TEMPORARY).join("prefix");
        let install = Path::new(HERE).join("../bindings/install");
        let output = Command::new(install).arg(&prefix).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        prefix.join("lib/librelgrad.a")
    })
}

/// The triple of this machine, which the `cc` crate knows only in build scripts.
fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
        let output = Command::new(rustc).arg("-vV").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find_map(|l| l.strip_prefix("host: ")).unwrap().to_owned()
    })
}

/// The system's compiler, strict.
fn compiler(language: Language) -> Command {
    let cpp = matches!(language, Language::Cpp);
    let mut command = cc::Build::new()
        .cargo_metadata(false)
        .opt_level(1)
        .host(host())
        .target(host())
        .warnings(false)
        .cpp(cpp)
        .get_compiler()
        .to_command();
    // Paths are relative, so that failures read `c/train.c:12`.
    command.current_dir(HERE).args(["-I", env!("RELGRAD_INCLUDE"), "-ffp-contract=off"]);
    command.args(WARNINGS);
    command.args(if cpp { ["-std=c++17", "-x", "c++"] } else { ["-std=c11", "-x", "c"] });
    command
}

/// Compiles and links `c/<source>` (or a whole path); `Err` is what the compiler says.
fn try_build(source: &str, language: Language, flags: &[&str]) -> Result<PathBuf, String> {
    let tag: String = flags.iter().map(|f| f.replace(|c: char| !c.is_alphanumeric(), "")).collect();
    let language_name = if matches!(language, Language::C) { "c" } else { "cpp" };
    let source = Path::new("c").join(source);
    let stem = source.file_stem().unwrap().display();
    let out = Path::new(TEMPORARY).join(format!("{stem}-{language_name}-{tag}"));
    let mut command = compiler(language);
    command.arg(&source).args(["-x", "none"]).args(flags);
    if source.ends_with("memory.c") {
        command.args(COUNTED.map(|name| format!("-Wl,--wrap={name}")));
    }
    let output = command
        .arg(library())
        .args(NATIVE_LIBRARIES)
        .arg("-o")
        .arg(&out)
        .output()
        .expect("no C or C++ compiler");
    if output.status.success() {
        return Ok(out);
    }
    Err(format!("{command:?}\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn build(source: &str, language: Language, flags: &[&str]) -> PathBuf {
    try_build(source, language, flags).unwrap_or_else(|e| panic!("{source} does not build:\n{e}"))
}

/// How a program ended, and what it wrote to both streams.
struct Outcome {
    success: bool,
    text: String,
}

/// Runs a command; it may take `seconds`.
fn run(program: impl Into<OsString>, arguments: &[&str], seconds: u64) -> Outcome {
    static RUNS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let log = Path::new(TEMPORARY).join(format!("{}-{number}.log", std::process::id()));
    let file = std::fs::File::create(&log).unwrap();
    let program = program.into();
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap_or_else(|e| panic!("{program:?}: {e}"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    std::fs::remove_file(&log).unwrap();
    text += &status.map_or(format!("still running after {seconds} s"), |s| s.to_string());
    Outcome { success: status.is_some_and(|s| s.success()), text }
}

/// Runs what must succeed; returns what it wrote.
fn succeeds(program: impl Into<OsString>, arguments: &[&str], seconds: u64) -> String {
    let program = program.into();
    let outcome = run(&program, arguments, seconds);
    assert!(outcome.success, "{program:?} {arguments:?}:\n{}", outcome.text);
    outcome.text
}

/// A program of `c/` as C and as C++, in both precisions.
fn everywhere(source: &str) {
    for language in [Language::C, Language::Cpp] {
        for precision in PRECISIONS {
            succeeds(build(source, language, precision), &[], 60);
        }
    }
}

#[test]
fn header_stands_alone() {
    for language in [Language::C, Language::Cpp] {
        let output = compiler(language).args(["-fsyntax-only", "c/header.c"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        succeeds(build("header.c", language, &[]), &[], 10);
    }
}

#[test]
fn abi() {
    for language in [Language::C, Language::Cpp] {
        succeeds(build("abi.c", language, &[]), &[], 10);
    }
}

/// The C program of bindings/README.md, as printed there.
#[test]
fn readme() {
    let readme = std::fs::read_to_string("../bindings/README.md").unwrap();
    let (_, section) = readme.split_once("\n## From C\n").unwrap();
    let (_, rest) = section.split_once("```c\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme.c");
    std::fs::write(&folder, program).unwrap();
    let output = succeeds(build(folder.to_str().unwrap(), Language::C, &[]), &[], 60);
    assert!(output.contains("exact 0 steps ago"), "{output}");
}

/// The lines of C in README.md, with memory around them.
#[test]
fn front_page() {
    let readme = std::fs::read_to_string("../README.md").unwrap();
    let (_, rest) = readme.split_once("```c\n").unwrap();
    let (lines, _) = rest.split_once("```").unwrap();
    let program = format!(
        "#include <stdio.h>\n#include \"relgrad.h\"\n\
         static _Alignas(64) unsigned char state[1 << 18], workspace[1 << 18];\n\
         static float params[1024];\n\
         int main(void) {{\nfloat x[2] = {{0.5f, -0.25f}};\n{lines}\
         printf(\"%g\\n\", report.mean_log_likelihood);\nreturn 0;\n}}\n"
    );
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("front_page.c");
    std::fs::write(&path, program).unwrap();
    let output = succeeds(build(path.to_str().unwrap(), Language::C, &[]), &[], 10);
    let printed = output.lines().next().unwrap();
    assert!(printed.parse::<f64>().unwrap() < 0.0, "{output}");
}

#[test]
fn train() {
    everywhere("train.c");
}

#[test]
fn threads() {
    everywhere("threads.c");
}

#[test]
fn inference() {
    everywhere("inference.c");
}

#[test]
fn condition() {
    everywhere("condition.c");
}

#[test]
fn fork() {
    everywhere("fork.c");
}

#[test]
fn status() {
    everywhere("status.c");
}

/// With glibc, which can trap.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn traps() {
    for precision in PRECISIONS {
        succeeds(build("traps.c", Language::C, precision), &[], 60);
    }
}

/// As for traps.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn rounding() {
    for precision in PRECISIONS {
        succeeds(build("rounding.c", Language::C, precision), &[], 60);
    }
}

/// All configurations as C, a few as C++.
#[test]
fn memory() {
    for precision in PRECISIONS {
        succeeds(build("memory.c", Language::C, precision), &[], 120);
        succeeds(build("memory.c", Language::Cpp, precision), &["quick"], 60);
    }
}

#[test]
fn fast_math() {
    for language in [Language::C, Language::Cpp] {
        succeeds(build("fast_math.c", language, &["-O2", "-ffast-math"]), &[], 60);
    }
}

#[test]
fn plugin() {
    for precision in PRECISIONS {
        succeeds(build("plugin.cpp", Language::Cpp, precision), &[], 60);
    }
}

/// The run of same_bits.c in Rust: hashes of parameters and last report.
fn same_run<T: Scalar>(optimizer: Optimizer, rate: f64) -> String {
    let config = Config { max_batch: 13, optimizer, report_norms: true, ..Config::new(19, 3) };
    let mut model = Owned::<T>::orthogonal(config, 3);
    let mut random = Lcg(17);
    let mut last = None;
    for _ in 0..60 {
        let x: Vec<T> = random.normals(19 * 13);
        last = Some(model.step(&x, rate).unwrap());
    }
    let r = last.unwrap();
    let report = [
        r.mean_log_likelihood,
        r.base_density,
        r.log_slopes,
        r.log_det,
        r.relative_gradient_norm.unwrap(),
        r.mean_delta_norm.unwrap(),
        r.trust_scale,
    ];
    format!("params {:016x} report {:016x}", hash(&model.params), hash(&report))
}

#[test]
fn same_bits() {
    let optimizers = [
        ("sgd", Optimizer::SGD, 0.02),
        ("adam", Optimizer::ADAM, 0.005),
        ("natural", Optimizer::NATURAL, 0.05),
    ];
    let programs = PRECISIONS
        .map(|p| [Language::C, Language::Cpp].map(|language| build("same_bits.c", language, p)));
    for (name, optimizer, rate) in optimizers {
        let expected = [same_run::<f32>(optimizer, rate), same_run::<f64>(optimizer, rate)];
        for (programs, expected) in programs.iter().zip(&expected) {
            for level in ["auto", "scalar", "avx2", "avx512", "neon"] {
                for program in programs {
                    let got = succeeds(program, &[name, level], 60);
                    let got = got.lines().next().unwrap();
                    let vector = !["auto", "scalar"].contains(&level);
                    let lacking = got == "level not available" && vector;
                    assert!(got == expected || lacking, "{name} {level}: {got}, Rust {expected}");
                }
            }
        }
    }
}

/// Memory errors of the library too.
#[test]
fn under_valgrind() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return skipped("valgrind is not installed");
    }
    let check = |source: &str, precision, arguments: &[&str]| {
        let program = build(source, Language::C, precision);
        let mut all = vec!["--error-exitcode=9", "--leak-check=full", "-q"];
        all.push(program.to_str().unwrap());
        all.extend(arguments);
        succeeds("valgrind", &all, 120);
    };
    for precision in PRECISIONS {
        check("train.c", precision, &["quick"]);
        check("memory.c", precision, &["quick"]);
        check("status.c", precision, &[]);
        check("inference.c", precision, &[]);
        check("condition.c", precision, &["quick"]);
    }
}

/// The programs' own side; overflow.c shows that the sanitizers are in.
#[test]
fn with_sanitizers() {
    let control = match try_build("overflow.c", Language::C, &SANITIZERS) {
        Ok(program) => program,
        Err(why) => return skipped(&format!("no sanitizers here: {why}")),
    };
    let plain = succeeds(build("overflow.c", Language::C, &[]), &["undefined"], 10);
    assert!(plain.contains("nothing was reported"), "{plain}");
    for (fault, report) in [("address", "AddressSanitizer"), ("undefined", "runtime error")] {
        let outcome = run(&control, &[fault], 20);
        assert!(!outcome.success && outcome.text.contains(report), "{fault}: {}", outcome.text);
    }
    succeeds(&control, &[], 20);
    for source in ["train.c", "status.c", "threads.c", "inference.c", "condition.c"] {
        for precision in PRECISIONS {
            let flags = [&SANITIZERS, precision].concat();
            succeeds(build(source, Language::C, &flags), &[], 60);
        }
    }
}
