//! `relgrad train --thorough`: depth, curves, epochs and rate by what rows held out say of them.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use clap::parser::ValueSource;
use relgrad::hosted::{Chosen, Data, Noisy, Plan, Rows, Survey, Training, in_memory};
use relgrad::{Activation, Pool, Scalar, Trainer};

use super::args::{Train, command};
use super::look::remarks;
use super::sets::{Sets, Split};
use super::{LOOK, rate, schedule, start};
use crate::failure::Failure;
use crate::flags::Dtype;

/// The most rows that are tried on. Every fifth of them is held out; of few rows each fifth in
/// turn.
const ROWS: usize = 20_000;
const FIFTHS: usize = 5;
const FEW: usize = 1000;

/// Settings of more than so many rows x epochs x layers x D^2 are not tried: a few minutes each.
const WORK: f64 = 2e12;

const LAYERS: [usize; 5] = [2, 4, 8, 16, 32];
const EPOCHS: [u64; 3] = [60, 200, 600];
/// The fewest where there are more rows than were tried on.
const LEAST_EPOCHS: u64 = 20;

/// What is searched for.
#[derive(Clone, Copy)]
struct Setting {
    layers: usize,
    activation: Activation,
    epochs: u64,
    rate: f64,
}

impl Setting {
    /// Its flags.
    fn flags(&self) -> [String; 8] {
        let Setting { layers, activation, epochs, rate } = self;
        [
            "--layers".into(),
            layers.to_string(),
            "--activation".into(),
            activation.to_string(),
            "--epochs".into(),
            epochs.to_string(),
            "--lr".into(),
            rate.to_string(),
        ]
    }
}

/// The command line with the flags that were found in the place of `--thorough`. Those that it has
/// stay as they are.
pub fn settle(args: &Train, words: &[OsString]) -> Result<Vec<OsString>, Failure> {
    if !args.data.is_file() {
        let data = args.data.display();
        return Err(format!("--thorough: reads the data more than once; {data} is no file").into());
    }
    let matches = command().try_get_matches_from(words)?;
    let (_, train) = matches.subcommand().ok_or("no command")?;
    let free = Free {
        layers: args.layers.is_none(),
        steps: args.activation.is_none(),
        epochs: train.value_source("epochs") == Some(ValueSource::DefaultValue),
        rate: args.lr.is_none(),
    };
    let found = match args.dtype {
        Dtype::F32 => Search::<f32>::open(args, words)?.run(free)?,
        Dtype::F64 => Search::<f64>::open(args, words)?.run(free)?,
    };
    let flags = found.flags();
    if !args.json {
        println!("chosen  {}\n", flags.join(" "));
    }
    Ok(with(words, flags))
}

/// The words with flags in the place of `--thorough`: before all others, which win.
fn with(words: &[OsString], flags: [String; 8]) -> Vec<OsString> {
    let own = words.iter().skip(2).filter(|word| *word != "--thorough");
    words.iter().take(2).cloned().chain(flags.map(Into::into)).chain(own.cloned()).collect()
}

/// What no flag has fixed.
struct Free {
    layers: bool,
    steps: bool,
    epochs: bool,
    rate: bool,
}

struct Search<'a, T> {
    args: &'a Train,
    words: &'a [OsString],
    trials: Vec<Trial<T>>,
    team: Arc<Pool>,
    /// Rows of the whole training data.
    rows: usize,
}

/// Rows to train on, as the data of a run, and rows held out.
struct Trial<T> {
    sets: Sets<T>,
    held_out: Box<dyn Rows<T>>,
    look: Data<T>,
    survey: Survey,
}

impl<T: Scalar> Trial<T> {
    fn new(sets: Sets<T>, held_out: Box<dyn Rows<T>>) -> Result<Self, Failure> {
        let look = in_memory(&sets.features(&*sets.data), LOOK / sets.dim)?;
        let survey = Survey::of(&look);
        Ok(Trial { sets, held_out, look, survey })
    }
}

/// A setting and what it makes of each row held out.
struct Tried {
    setting: Setting,
    log_p: Vec<f64>,
}

impl<'a, T: Scalar + 'static> Search<'a, T> {
    fn open(args: &'a Train, words: &'a [OsString]) -> Result<Self, Failure> {
        let mut sets = Sets::<T>::open(args)?;
        let rows = sets.data.rows();
        if rows < 2 * FIFTHS {
            return Err(format!("--thorough: {rows} rows are too few to hold some out").into());
        }
        let look = in_memory(&sets.features(&*sets.data), LOOK / sets.dim)?;
        // What is refused is refused before anything is tried.
        remarks(args, &mut sets, &Survey::of(&look))?;
        let all = Rc::new(in_memory(&*sets.data, ROWS)?);
        let on = |data: Box<dyn Rows<T>>| Sets {
            data,
            val: None,
            test: None,
            columns: sets.columns.clone(),
            origin: sets.origin.clone(),
            observed: sets.observed.clone(),
            split: Split::None,
            ..sets
        };
        let fifth = |fifth: usize| {
            let of = |held_out: bool| -> Box<dyn Rows<T>> {
                let rows = (0..all.rows()).filter(|i| (i % FIFTHS == fifth) == held_out);
                Box::new(Chosen::new(all.clone(), rows.collect()))
            };
            Trial::new(on(of(false)), of(true))
        };
        let trials = match &sets.val {
            Some(val) => {
                vec![Trial::new(on(Box::new(all)), Box::new(in_memory(&**val, ROWS)?))?]
            }
            None if rows <= FEW => (0..FIFTHS).map(fifth).collect::<Result<_, _>>()?,
            None => vec![fifth(FIFTHS - 1)?],
        };
        let team = crate::model::threads(args.threads)?;
        Ok(Search { args, words, trials, team, rows })
    }

    /// From the defaults on, one thing at a time: what is better by more than its standard error
    /// stays.
    fn run(&self, free: Free) -> Result<Setting, Failure> {
        let args = self.args;
        let setting = Setting {
            layers: args.layers.unwrap_or(LAYERS[0]),
            activation: args.activation(),
            epochs: args.epochs,
            rate: rate(args),
        };
        let mut best = self.train(setting)?.ok_or("--thorough: too much data for a search")?;
        for round in 0..2 {
            // Again only after more epochs, with which depth may pay.
            if free.layers && (round == 0 || best.setting.epochs > setting.epochs) {
                let least = best.setting.layers;
                let deeper = LAYERS.into_iter().filter(|n| *n > least);
                best = self.climb(best, deeper, |s, layers| Setting { layers, ..s })?;
            }
            if round == 0 && free.epochs {
                let longer = EPOCHS.into_iter().filter(|n| *n > setting.epochs);
                best = self.climb(best, longer, |s, epochs| Setting { epochs, ..s })?;
            }
        }
        if free.steps {
            for steps in [[8, 16], [2, 1]] {
                let activation = |steps| Activation::TanhMixture { steps };
                let before = best.setting.activation;
                best = self.climb(best, steps.into_iter(), |s, steps| Setting {
                    activation: activation(steps),
                    ..s
                })?;
                if best.setting.activation != before {
                    break;
                }
            }
        }
        if free.rate {
            let usual = best.setting.rate;
            for factor in [2.0, 0.5] {
                let rates = [usual * factor].into_iter();
                best = self.climb(best, rates, |s, rate| Setting { rate, ..s })?;
                if best.setting.rate != usual {
                    break;
                }
            }
        }
        // As many steps where there are more rows than were tried on, but some passes at least.
        let mut found = best.setting;
        if free.epochs && self.rows > ROWS {
            let share = self.trials[0].sets.data.rows() as f64 / self.rows as f64;
            let fewer = (found.epochs as f64 * share).ceil() as u64;
            found.epochs = fewer.max(LEAST_EPOCHS).min(found.epochs);
        }
        Ok(found)
    }

    /// Takes the values in turn while each is better than the one before.
    fn climb<V>(
        &self,
        mut best: Tried,
        values: impl Iterator<Item = V>,
        with: impl Fn(Setting, V) -> Setting,
    ) -> Result<Tried, Failure> {
        for value in values {
            match self.train(with(best.setting, value))? {
                Some(tried) if tried.is_better(&best) => best = tried,
                _ => break,
            }
        }
        Ok(best)
    }

    /// Trains with a setting, unless that would take too long.
    fn train(&self, setting: Setting) -> Result<Option<Tried>, Failure> {
        let Setting { layers, activation, epochs, rate } = setting;
        let args = Train::of(&with(self.words, setting.flags()))?;
        let work = |t: &Trial<T>| {
            (t.sets.data.rows() as u64 * epochs) as f64 * (layers * t.sets.dim.pow(2)) as f64
        };
        if self.trials.iter().map(work).sum::<f64>() > WORK {
            return Ok(None);
        }
        let mut log_p = Vec::new();
        for trial in &self.trials {
            log_p.extend(self.log_p(&args, trial)?);
        }
        let tried = Tried { setting, log_p };
        if !self.args.json {
            let mean = tried.mean();
            println!(
                "tried   {layers} layers, {activation}, {epochs} epochs, rate {rate}: {mean:.4}"
            );
        }
        Ok(Some(tried))
    }

    /// The log-likelihoods of the rows held out, after a run of these flags.
    fn log_p(&self, args: &Train, trial: &Trial<T>) -> Result<Vec<f64>, Failure> {
        let Trial { sets, held_out, look, survey } = trial;
        let model = start(args, sets, look, self.team.clone())?;
        let average = args.average(model.params().len());
        let schedule = schedule(args, sets.data.rows()).0;
        let mut trainer = Trainer::new(model, schedule, args.seed)?;
        trainer.shuffle = !args.no_shuffle;
        let plan = Plan { guard: args.guard, average, ..Plan::new(args.epochs) };
        let mut training = Training::new(trainer, plan)?;
        let noisy = Noisy::new(&*sets.data, survey.constants(), args.seed);
        match training.run(&noisy, None, &mut |_| ControlFlow::Continue(())) {
            Ok(_) => Ok(training.into_best()?.log_likelihood_of(&**held_out)?),
            // Diverged: no setting.
            Err(_) => Ok(vec![f64::NEG_INFINITY; held_out.rows()]),
        }
    }
}

impl Tried {
    fn mean(&self) -> f64 {
        self.log_p.iter().sum::<f64>() / self.log_p.len() as f64
    }

    /// Whether it is better by more than the standard error of the difference, rows in pairs. Rows
    /// that one cannot score decide by their number.
    fn is_better(&self, other: &Tried) -> bool {
        let lost = |t: &Tried| t.log_p.iter().filter(|p| !p.is_finite()).count();
        if lost(self) != lost(other) {
            return lost(self) < lost(other);
        }
        let both = self.log_p.iter().zip(&other.log_p).map(|(a, b)| a - b);
        let differences: Vec<f64> = both.filter(|d| d.is_finite()).collect();
        let n = differences.len() as f64;
        let mean = differences.iter().sum::<f64>() / n;
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
        mean > (variance / n).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_better_by_chance_is_not_better() {
        let setting = Setting {
            layers: 2,
            activation: Activation::TanhMixture { steps: 4 },
            epochs: 60,
            rate: 0.03,
        };
        let tried = |log_p: &[f64]| Tried { setting, log_p: log_p.to_vec() };
        let base = tried(&[-1.0, -2.0, -3.0, -2.5]);
        assert!(tried(&[-0.9, -1.9, -2.9, -2.4]).is_better(&base));
        // 0.1 in the mean too, of differences between -0.6 and 0.8.
        assert!(!tried(&[-0.2, -2.6, -2.4, -2.9]).is_better(&base));
        assert!(!base.is_better(&base) && !tried(&[-1.1, -2.1, -3.1, -2.6]).is_better(&base));
        // A row that has become impossible outweighs all.
        let lost = tried(&[9.0, 9.0, 9.0, f64::NEG_INFINITY]);
        assert!(!lost.is_better(&base) && base.is_better(&lost));
    }
}
