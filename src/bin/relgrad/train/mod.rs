//! `relgrad train`.

mod args;
mod effect;
mod folder;
mod kept;
mod look;
mod progress;
mod results;
mod sets;
pub mod settings;
mod signals;
mod sources;
mod thorough;
mod verdict;

pub use args::Train;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use relgrad::hosted::{
    Data, End, Event, FileError, ModelFile, Noisy, Plan, Rows, Survey, Training, in_memory,
};
use relgrad::{Bias, Config, Decay, Model, Optimizer, Pool, Scalar, Schedule, Status, Trainer};
use serde_json::json;

use self::args::{Init, OptimizerName, ScheduleName, Validation};
use self::folder::Folder;
use self::kept::{Saved, folder_of};
use self::look::remarks;
use self::progress::Progress;
use self::results::Results;
use self::sets::Sets;
use self::settings::quoted;
use self::signals::Signals;
use self::verdict::Verdict;
use crate::data::check_dim;
use crate::failure::{Failure, Outcome};
use crate::flags::{Dtype, Given};
use crate::outputs;

pub fn run(args: &Train, words: &[OsString]) -> Result<Outcome, Failure> {
    if args.thorough {
        let words = thorough::settle(args, words)?;
        return run(&Train::of(&words)?, &words);
    }
    let settings = settings::of_the_run(args, words)?;
    match args.dtype {
        Dtype::F32 => train::<f32>(args, settings),
        Dtype::F64 => train::<f64>(args, settings),
    }
}

/// Numbers of the training data that a start and the Gaussian look at: 2 GiB of f32.
const LOOK: usize = 1 << 29;

fn train<T: Scalar + 'static>(args: &Train, settings: String) -> Result<Outcome, Failure> {
    let mut folder = Folder::open(args)?;
    let checkpoint = folder.checkpoint();
    // The same command again goes on: a run that was begun is never lost in silence.
    let resumes = args.resume || (!args.restart && checkpoint.exists());
    if resumes {
        settings::check_same(&checkpoint, &settings).map_err(|e| or_else(args, e))?;
    }
    check_outputs(args)?;
    let mut sets = Sets::<T>::open(args)?;
    let started = Instant::now();
    let rows = sets.data.rows();
    let (schedule, total) = schedule(args, rows);
    if !matches!(args.init(), Init::File(_)) {
        // Refused before all data are looked at.
        training_config(args, rows, architecture(args, &sets)).check()?;
    }
    let look = in_memory(&sets.features(&*sets.data), LOOK / sets.dim)?;
    let survey = Survey::of(&look);
    let remarks = remarks(args, &mut sets, &survey)?;
    if !resumes {
        remarks.iter().for_each(|remark| eprintln!("warning: {remark}"));
    }
    let team = crate::model::threads(args.threads)?;
    let model = match resumes {
        true => blank(args, &sets)?.with_parallel(team),
        false => start(args, &sets, &look, team)?,
    };
    drop(look);
    let config = *model.config();
    let mut trainer = Trainer::new(model, schedule, args.seed)?;
    trainer.shuffle = !args.no_shuffle;
    if folder.is_named {
        folder.take()?;
    }
    let beside = if folder.is_named { folder.path() } else { folder_of(&args.out) };
    let plan = Plan {
        epochs: args.epochs,
        patience: args.patience,
        validate_every: args.val_every.get(),
        guard: args.guard,
        average: args.average(trainer.model.params().len()),
        scratch: Some(beside.into()),
        checkpoint: folder.is_named.then(|| checkpoint.clone()),
        checkpoint_steps: args.checkpoint_steps,
        settings,
    };
    let mut training = match resumes {
        true => Training::resume(trainer, plan, &checkpoint)?,
        false => Training::new(trainer, plan)?,
    };
    let mut progress = Progress::new(total, args.epochs, args.log.as_deref(), args.json)?;
    if !args.json {
        describe(args, &config, &sets, training.trainer().model.params().len());
    }
    if resumes {
        let position = training.trainer().position();
        progress.log(&json!({"event": "resumed", "epoch": position.pass, "row": position.row}));
        if !args.json {
            let (epoch, folder) = (position.pass, folder.path().display());
            println!("resumed after epoch {epoch}, from {folder}");
        }
        if let Some(end) = training.end() {
            progress.note(&nothing_left(args, end, training.trainer().position().pass));
        }
    } else {
        folder.clear()?;
    }

    let signals = Signals::listen()?;
    let noisy = Noisy::new(&*sets.data, survey.constants(), args.seed);
    let mut is_saved = false;
    let outcome = training.run(&noisy, sets.val.as_deref(), &mut |event| {
        progress.show(&event);
        is_saved = matches!(event, Event::Saved(_));
        match signals.received() {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    });
    progress.finish();
    let at = training.trainer().position();
    let has_steps = at.pass > 0 || at.row > 0;
    // All that was done is there again for another call: also where data went away under a run.
    let mut save = || {
        let saved = match is_saved {
            true => Saved::default(),
            false => kept::save_run(&training, &mut folder, &args.out)?,
        };
        Ok::<_, Failure>(format!("{saved}; go on with: {}", how_to_resume(args, &folder, &saved)))
    };
    let end = match outcome {
        Ok(end) => end,
        Err(error) if is_lost(&error) || !has_steps => return Err(error.into()),
        Err(error) => {
            return Err(match save() {
                Ok(how) => format!("{error}; {how}"),
                Err(not_saved) => format!("{error}; {not_saved}"),
            }
            .into());
        }
    };
    if end == End::Interrupted {
        progress.say(&save().map_err(|error| format!("interrupted, and {error}"))?);
        return Ok(Outcome::Interrupted(signals.received().unwrap_or_default()));
    }
    // A checkpoint says all that the evaluations need.
    signals.let_go();
    let took = started.elapsed();
    let best = training.best();
    let mut model = training.into_best()?;
    let file = ModelFile::of(&model).with_preprocess(args.preprocess);
    let file = file.with_columns(sets.columns.as_ref()).with_origin(sets.origin.clone());
    let file = file.with_observed(sets.observed.clone());
    kept::write_model(&file, &args.out)?;
    // A copy of the parameters: the Gaussian's matrix comes next.
    drop(file);
    folder.finish();
    let results = Results::of(&mut model, args, &sets, best, took)?;
    let verdict = Verdict::of(&results, &survey, sets.observed.is_some());
    let mut json = results.json(args, end);
    json["verdict"] = verdict.json();
    json["warnings"] = remarks.into();
    progress.log(&json);
    match args.json {
        true => println!("{json}"),
        false => results.print(end, &args.out, &verdict),
    }
    if verdict.is_bad() {
        eprintln!("warning: {verdict}");
    }
    Ok(Outcome::Done)
}

/// Adds to the reason why a command does not go on with the run in its folder what else it can do.
fn or_else(args: &Train, reason: Failure) -> Failure {
    let restart = "--restart begins anew in its place";
    match args.resume {
        true => format!("{reason}; {restart}").into(),
        false => {
            format!("{reason}; --resume alone goes on with the run as it is, {restart}").into()
        }
    }
}

/// What to do with a run that has ended.
fn nothing_left(args: &Train, end: End, epochs: u64) -> String {
    let (more, further) = match (end, args.schedule) {
        (End::OutOfPatience, _) => ("ran out of patience", "more --patience trains further"),
        (_, ScheduleName::Constant | ScheduleName::Inverse) => {
            ("is finished", "more --epochs train further")
        }
        (_, ScheduleName::Cosine) => {
            ("is finished", "a new run with --init and this model trains further")
        }
    };
    format!(
        "the run {more} after {epochs} epochs: its model is written and evaluated again; \
         {further}, --restart begins anew"
    )
}

/// Whether a run that ends so would come to the same end again.
fn is_lost(error: &FileError) -> bool {
    matches!(error, FileError::Status(e) if e.status == Status::Diverged)
}

/// A command that goes on from every folder.
fn how_to_resume(args: &Train, folder: &Folder, saved: &Saved) -> String {
    let word = |path: &Path| quoted(&sources::absolute(path).to_string_lossy());
    let mut command = "relgrad train --resume".to_owned();
    let named = folder.is_named.then(|| folder.path());
    if let Some(folder) = saved.folder().or(named) {
        command += &format!(" --checkpoint {}", word(folder));
    }
    command += &format!(" --out {}", word(&args.out));
    if let Some(log) = &args.log {
        command += &format!(" --log {}", word(log));
    }
    command
}

/// A run must not end at what cannot be written to, nor at its own data. It may replace the model
/// that it starts from.
fn check_outputs(args: &Train) -> Result<(), Failure> {
    let mut inputs = vec![&*args.data];
    if let Some(Validation::File(path)) = &args.val {
        inputs.push(path);
    }
    inputs.extend(args.test.as_deref());
    inputs.extend(args.format.condition.as_ref().and_then(Given::file));
    inputs.extend(args.val_condition.as_deref());
    inputs.extend(args.test_condition.as_deref());
    inputs.extend(args.config.as_deref());
    outputs::check("--out", &args.out, &inputs)?;
    inputs.push(&args.out);
    match &args.log {
        Some(log) => outputs::refuse_inputs("--log", log, &inputs),
        None => Ok(()),
    }
}

/// The schedule of a run on so many rows, and its steps.
fn schedule(args: &Train, rows: usize) -> (Schedule, u64) {
    let per_epoch = rows.div_ceil(args.batch(rows).max(1)) as u64;
    let total = per_epoch.saturating_mul(args.epochs).max(1);
    let decay = match args.schedule {
        ScheduleName::Constant => Decay::Constant,
        ScheduleName::Cosine => Decay::Cosine { total },
        ScheduleName::Inverse => Decay::Inverse { every: per_epoch.max(1) },
    };
    (Schedule { rate: rate(args), warmup: args.warmup(per_epoch), decay }, total)
}

fn rate(args: &Train) -> f64 {
    args.lr.unwrap_or(match args.optimizer() {
        OptimizerName::Adam => 0.003,
        OptimizerName::Natural => 0.03,
        OptimizerName::Sgd => 0.01,
    })
}

/// `architecture` with what the flags say of training, on so many rows.
fn training_config(args: &Train, rows: usize, architecture: Config) -> Config {
    let momentum = args.momentum;
    let optimizer = match args.optimizer() {
        OptimizerName::Sgd => Optimizer::Sgd { momentum },
        OptimizerName::Adam => Optimizer::ADAM,
        OptimizerName::Natural => {
            Optimizer::Natural { decay: 0.99, damping: args.damping, clip: args.clip, momentum }
        }
    };
    Config {
        max_batch: args.batch(rows),
        gradient: args.gradient.into(),
        optimizer,
        curve_rate: args.curve_rate,
        condition_rate: args.condition_rate,
        ..architecture
    }
}

fn architecture<T>(args: &Train, sets: &Sets<T>) -> Config {
    let usual = Config::new(sets.dim, args.layers.unwrap_or(2));
    Config {
        condition: sets.observed.as_ref().map_or(usual.condition, |o| o.reading.condition()),
        conditioned: args.conditioned(),
        activation: args.activation(),
        final_activation: args.final_activation(),
        base: args.base.unwrap_or(usual.base),
        bias: args.bias.unwrap_or(usual.bias),
        ..usual
    }
}

/// The architecture of the model to start from. Flags may repeat it and change how biases move,
/// no more.
fn architecture_of(args: &Train, path: &Path, file: &ModelFile) -> Result<Config, Failure> {
    let config = file.config();
    let agree = |flag: &str, given: Option<String>, own: String| match given {
        Some(given) if given != own => {
            let path = path.display();
            Err(format!("--{flag} {given}: must be {own}, as in --init {path}, or left out"))
        }
        _ => Ok(()),
    };
    agree("layers", args.layers.map(|v| v.to_string()), config.layers.to_string())?;
    agree("activation", args.activation.map(|v| v.to_string()), config.activation.to_string())?;
    agree("base", args.base.map(|v| v.to_string()), config.base.to_string())?;
    let last = args.final_activation.map(|on| on.to_string());
    agree("final-activation", last, config.final_activation.to_string())?;
    let conditioned = args.conditioned.map(|v| v.to_string());
    agree("conditioned", conditioned, config.conditioned.to_string())?;
    let bias = args.bias.unwrap_or(config.bias);
    if (bias == Bias::None) != (config.bias == Bias::None) {
        agree("bias", Some(bias.to_string()), config.bias.to_string())?;
    }
    Ok(Config { bias, ..config })
}

/// The model as training finds it.
fn start<T: Scalar>(
    args: &Train,
    sets: &Sets<T>,
    look: &Data<T>,
    team: Arc<Pool>,
) -> Result<Model<T>, Failure> {
    let rows = sets.data.rows();
    let config = training_config(args, rows, architecture(args, sets));
    let blank = |config| Ok::<_, Failure>(Model::blank(config)?.with_parallel(team));
    let mut model;
    match args.init() {
        Init::Data(start) => {
            model = blank(Config { input_transform: true, ..config })?;
            model.start_from_data(look.values(), start, args.seed)?;
        }
        Init::Orthogonal => {
            model = blank(config)?;
            model.start_orthogonal(args.seed)?;
        }
        Init::Entries(entries) => {
            model = blank(config)?;
            model.start_entries(entries, args.seed)?;
        }
        Init::File(path) => {
            let file = ModelFile::read(&path)?;
            check_dim(file.dim, sets.dim, &args.data, "the model")?;
            let config = architecture_of(args, &path, &file)?;
            model = blank(training_config(args, rows, config))?;
            model.set_params(&file.parameters.to_vec())?;
        }
    }
    Ok(model)
}

/// A model of the same configuration whose parameters the checkpoint replaces.
fn blank<T: Scalar>(args: &Train, sets: &Sets<T>) -> Result<Model<T>, Failure> {
    let config = match args.init() {
        Init::File(path) => architecture_of(args, &path, &ModelFile::read(&path)?)?,
        Init::Data(_) => Config { input_transform: true, ..architecture(args, sets) },
        Init::Orthogonal | Init::Entries(_) => architecture(args, sets),
    };
    Ok(Model::blank(training_config(args, sets.data.rows(), config))?)
}

fn describe<T>(args: &Train, config: &Config, sets: &Sets<T>, params: usize) {
    let rows = |name: &str, set: &Option<Box<dyn Rows<T>>>| {
        set.as_ref().map_or(String::new(), |s| format!(", {} for {name}", s.rows()))
    };
    let (val, test) = (rows("validation", &sets.val), rows("test", &sets.test));
    println!("data    {} rows of {} features{val}{test}", sets.data.rows(), sets.dim);
    if let Some(observed) = &sets.observed {
        println!("given   {}", crate::inspect::describe(observed, config.conditioned));
    }
    println!(
        "model   {} layers, {}, {} base, bias {}, {params} parameters",
        config.layers, config.activation, config.base, config.bias,
    );
    let average = args.average(params).map_or(String::new(), |share| format!(", average {share}"));
    let (epochs, batch, rate) = (args.epochs, config.max_batch, rate(args));
    println!("run     {epochs} epochs, batches of {batch}, rate {rate}{average}");
}
