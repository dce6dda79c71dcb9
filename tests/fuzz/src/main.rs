//! Runs the targets on inputs that are made from the seeds, each from a number: the same campaign again
//! is the same inputs, as long as it is told executions and not seconds.

use std::collections::HashSet;
use std::io::Write;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use relgrad_fuzz::{TARGETS, Target, mutate::mutate, outcome::notes, random::Random};

const USAGE: &str = "relgrad-fuzz [--seconds N] [--executions N] [--target NAME] [--seed N]
    --seconds N      for all targets together; 60, if no executions are told
    --executions N   of each target
    --target NAME    this one alone
    --seed N         another campaign; 1
    --input FILE     this input alone, of --target
    --trace          write each input down before it runs, to find one that ends the process
    --write-seeds    write the folder seeds anew";

/// Inputs that are kept to be changed, of each target.
const MOST_KEPT: usize = 4096;

/// What a panic said and where, also where the C ABI catches it.
static PANICKED: Mutex<Option<String>> = Mutex::new(None);

#[derive(Debug, Default)]
struct Args {
    seconds: Option<u64>,
    executions: Option<u64>,
    target: Option<String>,
    seed: u64,
    input: Option<PathBuf>,
    trace: bool,
    write_seeds: bool,
}

impl Args {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Args> {
        let mut args = Args { seed: 1, ..Args::default() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seconds" => args.seconds = Some(words.next()?.parse().ok()?),
                "--executions" => args.executions = Some(words.next()?.parse().ok()?),
                "--target" => args.target = Some(words.next()?),
                "--seed" => args.seed = words.next()?.parse().ok()?,
                "--input" => args.input = Some(words.next()?.into()),
                "--trace" => args.trace = true,
                "--write-seeds" => args.write_seeds = true,
                _ => return None,
            }
        }
        let is_known = |name: &String| TARGETS.iter().any(|target| target.name == name);
        args.target.as_ref().is_none_or(is_known).then_some(args)
    }
}

fn main() -> ExitCode {
    let Some(args) = Args::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    std::panic::set_hook(Box::new(|info| {
        *PANICKED.lock().unwrap_or_else(|e| e.into_inner()) = Some(info.to_string());
    }));
    let named = |name: &str| args.target.as_ref().is_none_or(|asked| asked == name);
    let targets: Vec<(usize, &Target)> =
        TARGETS.iter().enumerate().filter(|(_, target)| named(target.name)).collect();
    if args.write_seeds {
        targets.iter().for_each(|(_, target)| write_seeds(target));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    println!("| target | executions | kept | failures | slowest, ms |\n|---|---|---|---|---|");
    let seconds = args.seconds.or(args.executions.is_none().then_some(60));
    for (i, target) in &targets {
        let share = seconds.map(|s| Duration::from_secs(s) / targets.len() as u32);
        failed += campaign(target, &args, share, Random(args.seed ^ (*i as u64) << 32));
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name)
}

fn write_seeds(target: &Target) {
    let folder = folder(target);
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    for (name, input) in (target.seeds)() {
        std::fs::write(folder.join(name), input).expect("room for seeds");
    }
}

/// The committed inputs, in the order of their names.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder(target)).expect("the folder seeds");
    let mut paths: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

/// What went wrong with this input.
fn fault(target: &Target, input: &[u8]) -> Option<String> {
    let ended = catch_unwind(|| (target.run)(input));
    let said = PANICKED.lock().unwrap_or_else(|e| e.into_inner()).take();
    // The C ABI catches panics, and they are none the less faults.
    said.or_else(|| ended.err().map(|_| "a panic without a message".to_string()))
}

fn campaign(target: &Target, args: &Args, share: Option<Duration>, mut random: Random) -> u64 {
    let mut corpus = match &args.input {
        Some(path) => vec![std::fs::read(path).expect("the input")],
        None => seeds(target),
    };
    let (first, begun) = (corpus.len() as u64, Instant::now());
    let (mut executions, mut failures, mut slowest) = (0, 0, Duration::ZERO);
    let (mut seen, mut faults) = (HashSet::new(), HashSet::new());
    loop {
        // Seeds as they are come first.
        let input = match corpus.get(executions as usize).filter(|_| executions < first) {
            Some(seed) => seed.clone(),
            None => {
                let is_over = args.executions.is_some_and(|most| executions >= most)
                    || share.is_some_and(|share| begun.elapsed() >= share);
                if is_over || args.input.is_some() {
                    break;
                }
                let mut input = corpus[random.below(corpus.len())].clone();
                let other = random.below(corpus.len());
                mutate(&mut input, &corpus[other], target.words, &mut random);
                input
            }
        };
        if args.trace {
            write_input(target, "running", &input);
        }
        let started = Instant::now();
        let fault = fault(target, &input);
        slowest = slowest.max(started.elapsed());
        executions += 1;
        let is_new = notes().into_iter().fold(false, |new, note| seen.insert(note) | new);
        if let Some(fault) = fault {
            failures += 1;
            // One input for each place.
            let place = fault.lines().next().unwrap_or_default().to_string();
            if faults.insert(place) {
                let path = write_input(target, &format!("failing-{}", faults.len()), &input);
                println!("{}: {fault}\n{}", target.name, path.display());
            }
        } else if is_new && executions > first && corpus.len() < MOST_KEPT {
            corpus.push(input);
        }
    }
    let (name, kept, slowest) = (target.name, corpus.len() as u64 - first, slowest.as_millis());
    println!("| {name} | {executions} | {kept} | {failures} | {slowest} |");
    std::io::stdout().flush().ok();
    failures
}

/// Beside the build.
fn write_input(target: &Target, what: &str, input: &[u8]) -> PathBuf {
    let folder = std::env::current_exe().expect("a path").with_file_name("inputs");
    std::fs::create_dir_all(&folder).expect("a folder for inputs");
    let path = folder.join(format!("{}-{what}", target.name));
    std::fs::write(&path, input).expect("room for an input");
    path
}
