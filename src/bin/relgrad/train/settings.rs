//! Settings from files: `--config FILE.toml`, and the settings that a checkpoint keeps. Both
//! become flags before those of the command line, which therefore win.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use relgrad::hosted::checkpoint_settings;
use toml::{Table, Value};

use super::args::Train;
use super::args::command;
use super::{effect, sources};
use crate::failure::Failure;

/// The name of the checkpoint in its folder.
pub const CHECKPOINT: &str = "run.checkpoint";

/// Flags that are about this call and not about the run.
const NOT_OF_THE_RUN: [&str; 8] =
    ["out", "log", "json", "checkpoint", "resume", "restart", "config", "threads"];
/// Flags that may change from call to call: they end a run, or leave its course as it is.
const FREE: [&str; 3] = ["patience", "checkpoint_steps", "stream"];
/// The table, no flag, of what tells the content of the files that flags name.
const FILES: &str = "files";

/// The words of the command line with all flags in it that come from files.
pub fn expand(words: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    if words.get(1).is_none_or(|w| w != "train") {
        return Ok(words);
    }
    let mut flags = Vec::new();
    let config = value_of(&words, "--config").map(PathBuf::from);
    if let Some(path) = &config {
        flags.extend(flags_of_file(path)?);
    }
    let all = |flags: &[OsString]| [&words[..2], flags, &words[2..]].concat();
    let (known, of_config) = (all(&flags), flags.clone());
    if known.iter().any(|w| w == "--resume") {
        let folder = value_of(&known, "--checkpoint").map(PathBuf::from);
        let folder = folder.or_else(|| value_of(&known, "--out").map(|o| default_folder(&o)));
        let folder = folder.ok_or("--resume needs --checkpoint, or --out of the run")?;
        let path = folder.join(CHECKPOINT);
        let mut table: Table = checkpoint_settings(&path)?.parse()?;
        table.remove(FILES);
        // Those of the run come first.
        flags = [flags_of(&path, table)?, flags].concat();
    }
    let all = all(&flags);
    effect::check(&all, &words[2..], config.as_deref().map(|path| (path, &of_config[..])))?;
    Ok(all)
}

/// Where a run without `--checkpoint` is saved when it is interrupted.
pub fn default_folder(out: &OsString) -> PathBuf {
    let mut name = out.clone();
    name.push(".checkpoint");
    name.into()
}

/// The last value of a flag.
fn value_of(words: &[OsString], flag: &str) -> Option<OsString> {
    let joined = format!("{flag}=");
    words.iter().enumerate().rev().find_map(|(i, word)| {
        if word == flag {
            return words.get(i + 1).cloned();
        }
        word.to_str()?.strip_prefix(&joined).map(OsString::from)
    })
}

fn flags_of_file(path: &Path) -> Result<Vec<OsString>, Failure> {
    let fault = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| fault(&e))?;
    flags_of(path, text.parse().map_err(|e: toml::de::Error| fault(&e))?)
}

fn flags_of(path: &Path, table: Table) -> Result<Vec<OsString>, Failure> {
    let command = command();
    let train = command.find_subcommand("train").ok_or("no such command")?;
    let mut flags = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let known = |a: &&clap::Arg| a.get_long() == Some(&name) && name != "config";
        let Some(arg) = train.get_arguments().find(known) else {
            return Err(format!("{}: {key}: no flag of `relgrad train`", path.display()).into());
        };
        let takes_value = arg.get_action().takes_values();
        let text = match value {
            Value::Boolean(on) if !takes_value => {
                flags.extend(on.then(|| format!("--{name}").into()));
                continue;
            }
            Value::Boolean(on) if may_stand_alone(arg) => on.to_string(),
            Value::String(text) if takes_value => text,
            Value::Integer(number) if takes_value => number.to_string(),
            Value::Float(number) if takes_value => number.to_string(),
            other => {
                let allowed = if takes_value { "a string or a number" } else { "true or false" };
                let path = path.display();
                return Err(format!("{path}: {key}: {other}; must be {allowed}").into());
            }
        };
        flags.push(format!("--{name}={text}").into());
    }
    Ok(flags)
}

/// Whether a flag that takes a value needs none: it is true then.
fn may_stand_alone(arg: &clap::Arg) -> bool {
    arg.get_num_args().is_some_and(|n| n.min_values() == 0)
}

/// What decides the course of a run, as TOML: all flags given, and the defaults of the others, but
/// for those that the data or other flags decide; files by paths that hold in every folder, with
/// what tells their content.
pub fn of_the_run(args: &Train, words: &[OsString]) -> Result<String, Failure> {
    let matches = command().try_get_matches_from(words)?;
    let (_, train) = matches.subcommand().ok_or("no command")?;
    let mut table = Table::new();
    let command = command();
    let about = command.find_subcommand("train").ok_or("no such command")?;
    for arg in about.get_arguments() {
        let id = arg.get_id().as_str();
        let is_set = train.value_source(id).is_some_and(|s| s != ValueSource::EnvVariable);
        if NOT_OF_THE_RUN.contains(&id) || !is_set {
            continue;
        }
        if !arg.get_action().takes_values() {
            table.insert(id.into(), Value::Boolean(train.get_flag(id)));
        } else if let Some(value) = train.get_raw(id).and_then(|mut values| values.next_back()) {
            let text = value.to_str().ok_or_else(|| format!("--{id}: must be UTF-8"))?;
            table.insert(id.into(), Value::String(text.to_owned()));
        }
    }
    let mut files = Table::new();
    for (flag, path) in sources::of(args) {
        let absolute = sources::absolute(&path);
        let text = absolute.to_str().ok_or_else(|| format!("--{flag}: must be UTF-8"))?;
        table.insert(flag.into(), Value::String(text.to_owned()));
        let content = sources::fingerprint(&path);
        files.extend(content.map(|content| (flag.into(), Value::String(content))));
    }
    table.insert(FILES.into(), Value::Table(files));
    Ok(toml::to_string(&table)?)
}

/// Errors if `settings` are those of another run than the checkpoint's.
pub fn check_same(path: &Path, settings: &str) -> Result<(), Failure> {
    let (then, now): (Table, Table) = (checkpoint_settings(path)?.parse()?, settings.parse()?);
    match difference(&then, &now) {
        None => Ok(()),
        Some(difference) => Err(format!("{}: {difference}", path.display()).into()),
    }
}

/// What makes two runs different, with what to do about it.
fn difference(then: &Table, now: &Table) -> Option<String> {
    let show = |v: Option<&Value>| v.map_or("unset".to_owned(), ToString::to_string);
    let content = |run: &Table, key: &str| run.get(FILES)?.get(key)?.as_str().map(str::to_owned);
    let is_cosine = then.get("schedule").and_then(Value::as_str) != Some("constant");
    for key in then.keys().chain(now.keys()).filter(|k| *k != FILES && !FREE.contains(&&***k)) {
        let (old, new) = (then.get(key), now.get(key));
        let said = format!("{key}: {} in the run, {} now; ", show(old), show(new));
        match (content(then, key), content(now, key)) {
            // Wherever the file is by now.
            (Some(old), Some(new)) if old == new => {}
            (Some(was), Some(is)) => {
                return Some(format!(
                    "{key}: {} is not what the run began with ({was}; now {is}); a run goes on \
                     with the same content only: if the file has moved, give --{key} its new path",
                    show(new)
                ));
            }
            (Some(was), None) if new.is_some() => {
                return Some(format!(
                    "{key}: {} is not there, or no file that can be read twice; the run began \
                     with {} ({was}); if the file has moved, give --{key} its new path",
                    show(new),
                    show(old)
                ));
            }
            _ if old == new => {}
            // More epochs at the same rates are no other run.
            _ if key == "epochs" && !is_cosine && then.get("schedule") == now.get("schedule") => {}
            _ if key == "epochs" => {
                return Some(format!(
                    "{said}the cosine schedule is laid out for {} epochs, so another number would \
                     be another run; to train further, finish it and start from its model with \
                     --init, or begin anew with --schedule constant, which takes more epochs later",
                    show(old)
                ));
            }
            _ => return Some(format!("{said}must agree")),
        }
    }
    None
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%".contains(c);
    match word.chars().all(is_plain) && !word.is_empty() {
        true => word.to_owned(),
        false if cfg!(windows) => format!("\"{word}\""),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    /// The words as a training run.
    fn train_of(words: &[OsString]) -> Result<Train, Failure> {
        let matches = command().try_get_matches_from(words)?;
        let (_, train) = matches.subcommand().ok_or("no command")?;
        Ok(Train::from_arg_matches(train)?)
    }

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn files_come_before_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "data = \"d.npy\"\nlr = 0.5\nepochs = 7\nno_shuffle = true\n")
            .unwrap();
        let line = format!("relgrad train --config {} --epochs 9 --out m", path.display());
        let train = train_of(&expand(words(&line)).unwrap()).unwrap();
        assert_eq!((train.lr, train.epochs, train.no_shuffle), (Some(0.5), 9, true));
        for (text, fault) in [
            ("speed = 1", "speed: no flag"),
            ("lr = [1]", "lr: [1]; must be a string or a number"),
            ("no-shuffle = 1", "no-shuffle: 1; must be true or false"),
            ("lr = ", "TOML"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = expand(words(&line)).unwrap_err().to_string();
            assert!(error.contains("c.toml") && error.contains(fault), "{error}");
        }
    }

    #[test]
    fn every_flag_is_a_key() {
        let command = command();
        let train = command.find_subcommand("train").unwrap();
        for arg in train.get_arguments().filter(|a| a.get_id() != "config") {
            let name = arg.get_long().unwrap();
            let (value, flag) = match arg.get_action().takes_values() {
                true => ("1", format!("--{name}=1")),
                false => ("true", format!("--{name}")),
            };
            for key in [name.to_owned(), name.replace('-', "_")] {
                let table = format!("{key} = {value}").parse().unwrap();
                assert_eq!(flags_of(Path::new("c"), table).unwrap(), [OsString::from(&flag)]);
            }
        }
    }

    #[test]
    fn parameters_of_activations_may_be_left_out() {
        let activation = |text: &str| {
            let line = format!("relgrad train --data d --out m --activation {text}");
            train_of(&words(&line)).map(|t| t.activation.unwrap().to_string())
        };
        for (short, long) in [
            ("smooth_leaky_relu", "smooth_leaky_relu:0.3"),
            ("leaky_tanh", "leaky_tanh:1,0.1"),
            ("tanh_mixture", "tanh_mixture:4"),
            ("tanh_mixture:7", "tanh_mixture:7"),
            ("leaky_tanh:2", "leaky_tanh:2,0.1"),
            ("leaky_tanh:2,0.5", "leaky_tanh:2,0.5"),
        ] {
            assert_eq!(activation(short).unwrap(), long);
        }
        for text in ["relu", "smooth_leaky_relu:", "leaky_tanh:", "identity:1", "tanh_mixture:0.5"]
        {
            let error = activation(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("leaky_tanh:a,b"), "{error}");
        }
    }

    fn settings(text: &str) -> String {
        of_the_run(&train_of(&words(text)).unwrap(), &words(text)).unwrap()
    }

    #[test]
    fn a_run_is_known_by_its_flags() {
        let run = settings("relgrad train --data d --out m --lr 0.5 --json");
        assert_eq!(run, settings("relgrad train --out n --lr 0.5 --data d"));
        let mut table: Table = run.parse().unwrap();
        assert_eq!(table["lr"].as_str(), Some("0.5"));
        assert_eq!(table["epochs"].as_str(), Some("60"));
        assert!(!table.contains_key("out") && !table.contains_key("val"));
        assert!(Path::new(table["data"].as_str().unwrap()).is_absolute());
        // And comes back as flags.
        table.remove(FILES);
        let flags = flags_of(Path::new("c"), table).unwrap();
        let all = [words("relgrad train"), flags, words("--out m")].concat();
        assert_eq!(of_the_run(&train_of(&all).unwrap(), &all).unwrap(), run);
    }

    #[test]
    fn what_makes_another_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "1,2\n").unwrap();
        std::fs::write(path("same"), "1,2\n").unwrap();
        std::fs::write(path("other"), "1,3\n").unwrap();
        let run = |file: &str, more: &str| {
            let file = path(file);
            let text = format!("relgrad train --data {} --out m --lr 0.5{more}", file.display());
            settings(&text).parse::<Table>().unwrap()
        };
        let (then, constant) = (run("a", ""), run("a", " --schedule constant"));
        let said = |now: Table| difference(&then, &now).unwrap_or_default();
        for (file, more) in [
            ("a", ""),
            ("same", ""),
            ("a", " --patience 3 --val 0.1"),
            ("a", " --checkpoint-steps 7"),
        ] {
            let but_val = |mut table: Table| {
                table.remove("val");
                table
            };
            assert_eq!(said(but_val(run(file, more))), "", "{file}{more}");
        }
        assert!(said(run("a", " --lr 0.1")).starts_with("lr: \"0.5\" in the run, \"0.1\" now"));
        assert!(said(run("a", " --val 0.1")).starts_with("val: unset in the run, \"0.1\" now"));
        let edited = said(run("other", ""));
        assert!(edited.starts_with("data: ") && edited.contains("4 bytes, crc32"), "{edited}");
        assert!(edited.contains("--data its new path"), "{edited}");
        assert!(said(run("gone", "")).contains("is not there"));
        // More epochs, and fewer, are the same run at constant rates.
        assert!(said(run("a", " --epochs 90")).contains("laid out for \"60\" epochs"));
        let more = run("a", " --schedule constant --epochs 90");
        assert_eq!(difference(&constant, &more), None);
        assert!(difference(&constant, &run("a", " --epochs 90")).is_some());
    }

    #[test]
    fn shells_read_quoted_words_as_they_are() {
        for (word, expected) in
            [("a/b-c.npy", "a/b-c.npy"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            let expected =
                if cfg!(windows) { expected.replace('\'', "\"") } else { expected.into() };
            assert!(cfg!(windows) || quoted(word) == expected);
        }
    }
}
