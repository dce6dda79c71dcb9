//! Flags of `train` that mean something in the company of others only: given without it, they are
//! errors, and so are the keys of `--config`.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches};
use relgrad::{Activation, Bias};

use super::args::{Init, OptimizerName, Train, Validation, learns};
use crate::data::can_stream;
use crate::failure::Failure;
use crate::flags::GradientName;
use crate::model::dequantises;

/// A flag, the flag that decides whether it has an effect, and what that one has to be.
struct Rule {
    flag: &'static str,
    by: &'static str,
    allowed: &'static str,
    holds: fn(&Train) -> bool,
}

const RULES: [Rule; 19] = [
    Rule {
        flag: "momentum",
        by: "optimizer",
        allowed: "sgd or natural",
        holds: |t| t.optimizer() != OptimizerName::Adam,
    },
    Rule { flag: "damping", by: "optimizer", allowed: "natural", holds: is_natural },
    Rule { flag: "clip", by: "optimizer", allowed: "natural", holds: is_natural },
    Rule { flag: "patience", by: "val", allowed: "FILE or a fraction", holds: |t| t.val.is_some() },
    Rule {
        flag: "val-every",
        by: "val",
        allowed: "FILE or a fraction",
        holds: |t| t.val.is_some(),
    },
    Rule {
        flag: "redraw",
        by: "preprocess",
        allowed: "dequantize:LEVELS or logit:LAMBDA,LEVELS",
        holds: |t| dequantises(&t.preprocess),
    },
    Rule {
        flag: "checkpoint-steps",
        by: "checkpoint",
        allowed: "DIR",
        holds: |t| t.checkpoint.is_some(),
    },
    Rule {
        flag: "stream",
        by: "data",
        allowed: "FILE, binary and uncompressed",
        holds: |t| can_stream(&t.data),
    },
    Rule {
        flag: "activation",
        by: "layers",
        allowed: "2 or more, or --final-activation",
        holds: |t| {
            let is_linear = t.activation == Some(Activation::Identity);
            t.layers != Some(1) || t.final_activation() || is_linear || has_model(t)
        },
    },
    Rule {
        flag: "final-activation",
        by: "activation",
        allowed: "tanh_mixture, smooth_leaky_relu or leaky_tanh",
        holds: |t| t.activation != Some(Activation::Identity) || has_model(t),
    },
    Rule {
        flag: "curve-rate",
        by: "activation",
        allowed: "tanh_mixture",
        holds: |t| learns(t.activation()) || has_model(t),
    },
    Rule {
        flag: "bias",
        by: "gradient",
        allowed: "relative",
        holds: |t| {
            let is_rule = matches!(t.bias, Some(Bias::Affine | Bias::Projected));
            t.gradient == GradientName::Relative || !is_rule
        },
    },
    Rule {
        flag: "classes",
        by: "condition",
        allowed: "COLUMN or --condition FILE",
        holds: |t| t.format.condition.is_some(),
    },
    Rule { flag: "conditioned", by: "condition", allowed: CONDITION, holds: has_condition },
    Rule { flag: "condition-rate", by: "condition", allowed: CONDITION, holds: has_condition },
    Rule { flag: "val-condition", by: "condition", allowed: CONDITION, holds: has_condition },
    Rule { flag: "test-condition", by: "condition", allowed: CONDITION, holds: has_condition },
    Rule {
        flag: "val-condition",
        by: "val",
        allowed: "FILE",
        holds: |t| matches!(t.val, Some(Validation::File(_))),
    },
    Rule { flag: "test-condition", by: "test", allowed: "FILE", holds: |t| t.test.is_some() },
];

/// What a condition can be given by.
const CONDITION: &str = "COLUMNS, --condition FILE or --segments N";

fn has_condition(train: &Train) -> bool {
    train.format.condition.is_some() || train.segments.is_some() || has_model(train)
}

/// Whether the architecture is that of a model to start from.
fn has_model(train: &Train) -> bool {
    matches!(train.init(), Init::File(_))
}

fn is_natural(train: &Train) -> bool {
    train.optimizer() == OptimizerName::Natural
}

/// Errors if something is given on the command line, or as a key of the file `config`, that has no
/// effect on the run of `all` the words. Defaults, and what a checkpoint keeps, do not count.
pub fn check(
    all: &[OsString],
    line: &[OsString],
    config: Option<(&Path, &[OsString])>,
) -> Result<(), Failure> {
    let mut command = super::args::command();
    // What cannot be parsed is refused where the command is run.
    let Ok(matches) = command.try_get_matches_from_mut(all) else { return Ok(()) };
    let Some((_, values)) = matches.subcommand() else { return Ok(()) };
    let train = Train::from_arg_matches(values)?;
    for rule in RULES.iter().filter(|r| !(r.holds)(&train)) {
        let given = match config {
            _ if has(line, rule.flag) => format!("--{}", rule.flag),
            Some((path, flags)) if has(flags, rule.flag) => {
                format!("{}: {}", path.display(), rule.flag)
            }
            _ => continue,
        };
        let given = [Some(given), value_of(values, rule.flag)].into_iter().flatten();
        let given = given.collect::<Vec<_>>().join(" ");
        let by = match value_of(values, rule.by) {
            Some(value) => format!("with --{} {value}", rule.by),
            None => format!("without --{}", rule.by),
        };
        let text = format!("{given}: no effect {by}; requires --{} {}", rule.by, rule.allowed);
        let train = command.find_subcommand_mut("train").expect("it has been parsed");
        return Err(train.error(ErrorKind::ArgumentConflict, text).into());
    }
    Ok(())
}

fn has(words: &[OsString], flag: &str) -> bool {
    let flag = format!("--{flag}");
    words.iter().filter_map(|w| w.to_str()).any(|w| w.split('=').next() == Some(&flag))
}

/// What a flag that takes values was given last, or is by default.
fn value_of(values: &ArgMatches, flag: &str) -> Option<String> {
    let id = flag.replace('-', "_");
    let mut raw = values.try_get_raw(&id).ok()??;
    let text = raw.next_back()?.to_string_lossy().into_owned();
    // A flag without a value reads as true.
    (text != "true").then_some(text)
}
