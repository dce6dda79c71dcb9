//! `relgrad train`.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use relgrad::hosted::{Data, GaussianBaseline, ModelFile};
use relgrad::{Config, Decay, Model, Optimizer, Scalar, Schedule, Trainer};

use crate::Failure;
use crate::args::{Dtype, Init, OptimizerName, ScheduleName, Train};
use crate::eval::{check_dim, mean_and_error};

pub fn run(args: &Train) -> Result<(), Failure> {
    match args.dtype {
        Dtype::F32 => train::<f32>(args),
        Dtype::F64 => train::<f64>(args),
    }
}

/// Added to every variance, relative to the mean variance, so that constant features do no harm.
const RIDGE: f64 = 1e-6;

fn train<T: Scalar>(args: &Train) -> Result<(), Failure> {
    let data = Data::<T>::read(&args.data)?;
    let test = args.test.as_ref().map(Data::<T>::read).transpose()?;
    if let (Some(test), Some(path)) = (&test, &args.test) {
        check_dim(data.dim(), test, path, "the training data")?;
    }
    check_writable(&args.out)?;
    let started = Instant::now();
    let model = start(args, &data)?;
    let config = *model.config();
    let total = Trainer::steps_of(data.values(), &config, args.epochs).max(1);
    let decay = match args.schedule {
        ScheduleName::Constant => Decay::Constant,
        ScheduleName::Cosine => Decay::Cosine { total },
    };
    let schedule = Schedule { rate: rate(args), warmup: args.warmup, decay };
    let mut trainer = Trainer::new(model, schedule, args.seed)?;
    describe(args, &config, &data, test.as_ref(), trainer.model.params().len());

    let bar = progress(total);
    for epoch in 1..=args.epochs {
        let outcome = trainer.epoch(data.values(), |report| {
            bar.inc(1);
            bar.set_message(format!("log-likelihood {:.3}", report.mean_log_likelihood));
            true
        });
        let mean = outcome.inspect_err(|_| bar.abandon())?;
        if bar.is_hidden() {
            println!("epoch {epoch:>4} of {}  log-likelihood {mean:.4}", args.epochs);
        }
    }
    bar.finish_and_clear();
    let took = started.elapsed();
    let mut model = trainer.model;
    model.save(&args.out)?;
    summarize(&mut model, &data, test.as_ref(), took)?;
    println!("saved {}", args.out.display());
    Ok(())
}

/// A run must not end at a folder that cannot be written to.
fn check_writable(out: &Path) -> Result<(), Failure> {
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if out.is_dir() {
        return Err(format!("{}: is a folder; --out must be a file", out.display()).into());
    }
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(e) => Err(format!("{}: cannot be written: {}", out.display(), e.kind()).into()),
    }
}

fn rate(args: &Train) -> f64 {
    args.lr.unwrap_or(match args.optimizer {
        OptimizerName::Adam => 0.003,
        OptimizerName::Natural => 0.03,
        OptimizerName::Sgd => 0.01,
    })
}

/// The model as training finds it.
fn start<T: Scalar>(args: &Train, data: &Data<T>) -> Result<Model<T>, Failure> {
    let optimizer = match args.optimizer {
        OptimizerName::Sgd => Optimizer::SGD,
        OptimizerName::Adam => Optimizer::ADAM,
        OptimizerName::Natural => {
            let damping = args.damping;
            Optimizer::Natural { decay: 0.99, damping, clip: 1.0, momentum: 0.0 }
        }
    };
    let training = |architecture: Config| Config {
        max_batch: args.batch,
        gradient: args.gradient.into(),
        optimizer,
        ..architecture
    };
    let config = training(Config {
        activation: args.activation,
        final_activation: args.final_activation,
        base: args.base,
        bias: args.bias,
        ..Config::new(data.dim(), args.layers)
    });
    Ok(match &args.init {
        Init::Data(start) => Model::from_data(config, data.values(), *start, args.seed)?,
        Init::Orthogonal => Model::new(config, args.seed)?,
        Init::File(path) => {
            let file = ModelFile::read(path)?;
            check_dim(file.dim, data, &args.data, "the model")?;
            Model::from_params(training(file.config()), file.parameters.to_vec())?
        }
    })
}

fn describe<T: Scalar>(
    args: &Train,
    config: &Config,
    data: &Data<T>,
    test: Option<&Data<T>>,
    params: usize,
) {
    let held_out = test.map_or(String::new(), |t| format!(", {} held out", t.rows()));
    println!("data    {} rows of {} features{held_out}", data.rows(), data.dim());
    println!(
        "model   {} layers, {}, {} base, bias {}, {params} parameters, f{}",
        config.layers,
        config.activation,
        config.base,
        config.bias,
        T::BITS,
    );
    println!("run     {} epochs, batches of {}, rate {}", args.epochs, args.batch, rate(args));
}

/// A bar on a terminal; hidden elsewhere, where epochs are printed as lines.
fn progress(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:32} {percent:>3}%  {msg}  {steps} steps/s  {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
    let bar = ProgressBar::new(total);
    bar.set_style(style.with_key("steps", |state: &ProgressState, out: &mut dyn Write| {
        // A bar without its rate is still a bar.
        let _ = write!(out, "{:.0}", state.per_sec());
    }));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The results, with the Gaussian of the training data beside them.
fn summarize<T: Scalar>(
    model: &mut Model<T>,
    data: &Data<T>,
    test: Option<&Data<T>>,
    took: Duration,
) -> Result<(), Failure> {
    println!("\nmean log-likelihood (nats)  {:>12}  {:>20}", "train", "test");
    let (train, _) = mean_and_error(&model.log_likelihood(data.values())?);
    print!("relgrad                     {train:>12.4}");
    if let Some(test) = test {
        let (mean, error) = mean_and_error(&model.log_likelihood(test.values())?);
        print!("  {mean:>11.4} +- {error:.4}");
    }
    let gaussian = GaussianBaseline::fit(data, RIDGE)?;
    print!("\nfull-covariance Gaussian    {:>12.4}", gaussian.mean_log_likelihood(data));
    if let Some(test) = test {
        print!("  {:>11.4}", gaussian.mean_log_likelihood(test));
    }
    let share = 100.0 * model.straddling_share(data.values())?;
    println!("\n\n{share:.1} % of the hidden units straddle the kink; 0 % would be a linear model");
    println!("trained in {:.2} s", took.as_secs_f64());
    Ok(())
}
