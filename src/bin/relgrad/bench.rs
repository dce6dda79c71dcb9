//! `relgrad bench`: whole training steps on random data, each beside the time that the
//! machine's limits allow.

use std::time::Instant;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use relgrad::{
    Activation, Aligned, AlignedBytes, Batch, Config, Gradient, Level, Optimizer, Pool, Scalar,
    Session, Sizes,
};
use serde::Serialize;

use crate::failure::Failure;
use crate::flags::{Dtype, GradientName};
use crate::process::{self, CpuTime};
use crate::roofline::{Demand, Limits, dtype};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Every list stands for all its values; what is timed is their product.
#[derive(Args)]
pub struct Bench {
    /// Features, a comma list.
    #[arg(long, value_delimiter = ',', required_unless_present = "roofline")]
    pub dim: Vec<usize>,
    /// Layers, a comma list.
    #[arg(long, value_delimiter = ',', default_value = "2", requires = "dim")]
    pub layers: Vec<usize>,
    /// Rows of a step, a comma list.
    #[arg(long, value_delimiter = ',', default_value = "10", requires = "dim")]
    pub batch: Vec<usize>,
    /// Optimizers, a comma list; none times the gradient alone.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "adam", requires = "dim")]
    pub optimizer: Vec<TimedOptimizer>,
    /// Gradients, a comma list.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "relative", requires = "dim")]
    pub gradient: Vec<GradientName>,
    /// Activation after every layer but the last; may be given more than once.
    #[arg(long, default_value = FIXED, requires = "dim")]
    pub activation: Vec<Activation>,
    /// Precisions, a comma list.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32", requires = "dim")]
    pub dtype: Vec<Dtype>,
    /// Threads, a comma list.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub threads: Vec<usize>,
    /// Instruction sets, a comma list: auto, or those of this processor.
    #[arg(long, value_delimiter = ',', value_parser = level, default_value = "auto", requires = "dim")]
    pub level: Vec<Level>,
    /// Seconds to spend on a case, and at least five steps.
    #[arg(long, default_value_t = 0.8)]
    pub budget: f64,
    /// Measure the peak of multiply-adds and the bandwidth of each cache level first, by which
    /// cases are then judged; all there is to do without --dim.
    #[arg(long)]
    pub roofline: bool,
    /// Judge cases by what an earlier --roofline --json printed into this file.
    #[arg(long, conflicts_with = "roofline", requires = "dim")]
    pub limits: Option<PathBuf>,
    /// Size the memory for batches of so many rows [default: those of the step].
    #[arg(long, requires = "dim")]
    pub max_batch: Option<usize>,
    /// Print the plan of each case, the ways its step takes, instead of timing it.
    #[arg(long, requires = "dim", conflicts_with = "roofline")]
    pub plan: bool,
    /// Print one JSON object a line instead of tables.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum TimedOptimizer {
    Sgd,
    Adam,
    Natural,
    None,
}

fn level(name: &str) -> Result<Level, String> {
    let mut known = std::iter::once(Level::Auto).chain(Level::available());
    known.find(|l| l.name() == name).ok_or_else(|| {
        let have: Vec<_> = Level::available().map(Level::name).collect();
        format!("must be auto or one that this processor has: {}", have.join(", "))
    })
}

/// What other programs are compared on.
const FIXED: &str = "smooth_leaky_relu:0.01";

/// Small, so that even a million steps on one batch leave a sound model.
const RATE: f64 = 1e-6;

/// One combination of the lists.
#[derive(Clone, Copy)]
struct Case {
    config: Config,
    optimizer: TimedOptimizer,
    dtype: Dtype,
    threads: usize,
    /// Rows of the step.
    rows: usize,
}

/// One line of results.
#[derive(Serialize)]
struct Row {
    peer: &'static str,
    variant: String,
    #[serde(rename = "D")]
    dim: usize,
    #[serde(rename = "L")]
    layers: usize,
    batch: usize,
    threads: usize,
    ms_median: f64,
    ms_min: f64,
    /// Samples that the median is of.
    n: usize,
    /// Processors that others kept busy meanwhile.
    other_cpu: Option<f64>,
    dtype: &'static str,
    level: &'static str,
    gflops: f64,
    limit_ms: Option<f64>,
    /// "flops", or the memory whose bandwidth is the limit.
    bound: Option<String>,
    /// `limit_ms / ms_median`.
    share: Option<f64>,
    params_mib: f64,
    /// Memory in use before the first case, and the most during this one.
    rss_base_mib: Option<f64>,
    rss_peak_mib: Option<f64>,
}

pub fn run(args: &Bench) -> Result<(), Failure> {
    if !(args.budget > 0.0 && args.budget.is_finite()) {
        return Err(format!("budget: {}; must be above 0 seconds", args.budget).into());
    }
    let base = process::resident();
    let cases = cases(args)?;
    let mut limits = match &args.limits {
        Some(path) => Limits::read(path)?,
        None => Limits::default(),
    };
    if args.roofline {
        let levels: Vec<Level> = Level::available().collect();
        limits = Limits::measure(&args.threads, &levels);
        limits.print(args.json)?;
    }
    if args.plan {
        return print_plans(&cases, args.json);
    }
    if !args.json && !cases.is_empty() {
        print_head();
    }
    for case in &cases {
        let row = match case.dtype {
            Dtype::F32 => time::<f32>(case, args.budget, &limits, base)?,
            Dtype::F64 => time::<f64>(case, args.budget, &limits, base)?,
        };
        if args.json { println!("{}", serde_json::to_string(&row)?) } else { print(&row) }
    }
    Ok(())
}

/// The ways of each case's step; results do not depend on them but as `relgrad`'s documentation
/// of its plan says.
fn print_plans(cases: &[Case], json: bool) -> Result<(), Failure> {
    for case in cases {
        let config = &case.config;
        let ways = match case.dtype {
            Dtype::F32 => relgrad::measure::plan::<f32>(config, case.rows, case.threads),
            Dtype::F64 => relgrad::measure::plan::<f64>(config, case.rows, case.threads),
        };
        if json {
            let mut object = serde_json::json!({
                "D": config.dim, "L": config.layers, "batch": case.rows, "variant": variant(case),
            });
            for (what, way) in ways {
                object[what] = way.into();
            }
            println!("{object}");
            continue;
        }
        let ways: Vec<String> = ways.iter().map(|(what, way)| format!("{what}: {way}")).collect();
        let (d, b) = (config.dim, case.rows);
        println!("D {d:>5}  B {b:>5}  {:<20}  {}", variant(case), ways.join("; "));
    }
    Ok(())
}

/// The product of all lists, refused as a whole if one case is not possible.
fn cases(args: &Bench) -> Result<Vec<Case>, Failure> {
    let config = Config { final_activation: false, ..Config::new(1, 1) };
    let (optimizer, dtype) = (TimedOptimizer::None, Dtype::F32);
    let one = vec![Case { config, optimizer, dtype, threads: 1, rows: 1 }];
    let cases = spread(one, &args.dtype, |c, v| c.dtype = v);
    let cases = spread(cases, &args.level, |c, v| c.config.level = v);
    let cases = spread(cases, &args.threads, |c, v| c.threads = v);
    let cases = spread(cases, &args.layers, |c, v| c.config.layers = v);
    let cases = spread(cases, &args.dim, |c, v| c.config.dim = v);
    let cases = spread(cases, &args.batch, |c, v| {
        c.rows = v;
        c.config.max_batch = args.max_batch.unwrap_or(v);
    });
    let cases = spread(cases, &args.activation, |c, v| c.config.activation = v);
    let cases = spread(cases, &args.gradient, |c, v| c.config.gradient = v.into());
    let cases = spread(cases, &args.optimizer, |c, v| {
        c.optimizer = v;
        c.config.optimizer = match v {
            TimedOptimizer::Adam => Optimizer::ADAM,
            TimedOptimizer::Natural => Optimizer::NATURAL,
            TimedOptimizer::Sgd | TimedOptimizer::None => Optimizer::SGD,
        };
    });
    for case in &cases {
        Sizes::of::<f64>(&case.config)?;
        if case.rows == 0 || case.rows > case.config.max_batch {
            let most = case.config.max_batch;
            return Err(format!("batch: {}; must be 1 to --max-batch {most}", case.rows).into());
        }
    }
    if let Some(none) = args.threads.iter().find(|t| **t == 0) {
        return Err(format!("threads: {none}; must be at least 1").into());
    }
    Ok(cases)
}

/// Each case once for each value.
fn spread<V: Copy>(cases: Vec<Case>, values: &[V], set: impl Fn(&mut Case, V)) -> Vec<Case> {
    let each = |case: Case| {
        values.iter().map({
            let set = &set;
            move |value| {
                let mut case = case;
                set(&mut case, *value);
                case
            }
        })
    };
    cases.into_iter().flat_map(each).collect()
}

/// Builds the case's session and times its steps.
fn time<T: Scalar>(
    case: &Case,
    budget: f64,
    limits: &Limits,
    base: Option<f64>,
) -> Result<Row, Failure> {
    let config = &case.config;
    let sizes = Sizes::of::<T>(config)?;
    process::reset_peak();
    let mut params = Aligned::try_new(sizes.params_len)?;
    let mut state = AlignedBytes::try_new(sizes.state_bytes)?;
    let mut workspace = AlignedBytes::try_new(sizes.workspace_bytes)?;
    let pool = Pool::new(case.threads)?;
    let mut session = Session::new(config, &mut state, &mut workspace)?;
    session.set_parallel((case.threads > 1).then_some(&pool));
    // Unlike orthogonal weights, the identity costs nothing where D^3 is minutes; the first
    // step makes it dense.
    session.start_identity(&mut params)?;
    let x: Vec<T> = random(config.dim * case.rows);
    let batch = Batch::new(&x, case.rows);
    let samples = if case.optimizer == TimedOptimizer::None {
        let mut gradient = vec![T::ZERO; sizes.gradient_len];
        measure(budget, || session.gradient(&params, &batch, &mut gradient).map(drop))?
    } else {
        measure(budget, || session.step(&mut params, &batch, RATE).map(drop))?
    };
    let rss_peak_mib = process::peak_resident();
    let demand = demand::<T>(case, session.level());
    let floor = limits.floor(&demand);
    let ms = |seconds: f64| round(1e3 * seconds, 1e6);
    Ok(Row {
        peer: "relgrad",
        variant: variant(case),
        dim: config.dim,
        layers: config.layers,
        batch: case.rows,
        threads: case.threads,
        ms_median: ms(samples.median),
        ms_min: ms(samples.min),
        n: samples.n,
        other_cpu: samples.other_cpu.map(|c| round(c, 100.0)),
        dtype: dtype::<T>(),
        level: session.level().name(),
        gflops: round(demand.flops / samples.median / 1e9, 1e4),
        limit_ms: floor.as_ref().map(|f| ms(f.seconds)),
        share: floor.as_ref().map(|f| round(f.seconds / samples.median, 1e4)),
        bound: floor.map(|f| f.bound),
        params_mib: round(mib(sizes.params_len * size_of::<T>()), 1e6),
        rss_base_mib: base.map(|m| round(m, 100.0)),
        rss_peak_mib: rss_peak_mib.map(|m| round(m, 100.0)),
    })
}

/// Unit variance, uniform.
fn random<T: Scalar>(n: usize) -> Vec<T> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let unit = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64;
    let mut next = || (2.0 * unit(random.next_u64()) - 1.0) * 3f64.sqrt();
    (0..n).map(|_| T::from_f64(next())).collect()
}

/// Seconds of a step.
pub struct Samples {
    pub median: f64,
    pub min: f64,
    n: usize,
    pub other_cpu: Option<f64>,
}

/// Seconds of warming up, and that a sample of short steps takes.
const WARM: f64 = 0.1;
const SAMPLE: f64 = 20e-6;
/// However long a step takes.
const LEAST_SAMPLES: usize = 5;

/// Times `step` until the budget is spent. Short steps are timed several at a time, so that
/// the clock does not count.
pub fn measure(
    budget: f64,
    mut step: impl FnMut() -> relgrad::Result<()>,
) -> Result<Samples, Failure> {
    let started = Instant::now();
    let mut warm = 0u32;
    while warm == 0 || started.elapsed().as_secs_f64() < WARM.min(budget) {
        step()?;
        warm += 1;
    }
    let once = started.elapsed().as_secs_f64() / f64::from(warm);
    let steps = (SAMPLE / once).ceil().max(1.0);
    let mut times = Vec::new();
    let (cpu, started) = (CpuTime::now(), Instant::now());
    while times.len() < LEAST_SAMPLES || started.elapsed().as_secs_f64() < budget {
        let sample = Instant::now();
        for _ in 0..steps as u64 {
            step()?;
        }
        times.push(sample.elapsed().as_secs_f64() / steps);
    }
    let wall = started.elapsed().as_secs_f64();
    let other_cpu = cpu.and_then(|c| c.others_since(wall));
    times.sort_by(f64::total_cmp);
    let (n, half) = (times.len(), times.len() / 2);
    let median = if n % 2 == 1 { times[half] } else { 0.5 * (times[half - 1] + times[half]) };
    Ok(Samples { median, min: times[0], n, other_cpu })
}

/// What the method must compute and move at least, by its products alone. Batches and the
/// small determinants are left out.
fn demand<T: Scalar>(case: &Case, level: Level) -> Demand {
    let config = &case.config;
    let [d, l, b] = [config.dim, config.layers, case.rows].map(|n| n as f64);
    // Products of 2 B D^2 flops, without W_1^T delta_1 where it is not needed; reads of W by
    // products.
    let (products, reads, cubic) = match config.gradient {
        Gradient::Relative => (4.0 * l - 1.0, 2.0, 0.0),
        Gradient::Transposed => (4.0 * l, 3.0, 0.0),
        // Besides, an inverse of each W.
        Gradient::Ordinary => (3.0 * l - 1.0, 2.0, 2.0 * l * d * d * d),
    };
    // W, and the moments with it, read and written; or W read and its gradient written.
    let (moments, updates) = match case.optimizer {
        TimedOptimizer::Adam => (2.0, 6.0),
        TimedOptimizer::Sgd | TimedOptimizer::Natural => (0.0, 2.0),
        TimedOptimizer::None => (1.0, 2.0),
    };
    let matrices = l * d * d * size_of::<T>() as f64;
    Demand {
        dtype: dtype::<T>(),
        level: level.name(),
        threads: case.threads,
        flops: products * 2.0 * b * d * d + cubic,
        working_set: (1.0 + moments) * matrices,
        read: reads * matrices,
        update: updates * matrices,
    }
}

fn variant(case: &Case) -> String {
    let gradient = match case.config.gradient {
        Gradient::Relative => "relative",
        Gradient::Transposed => "transposed",
        Gradient::Ordinary => "ordinary",
    };
    let optimizer = match case.optimizer {
        TimedOptimizer::Sgd => "sgd",
        TimedOptimizer::Adam => "adam",
        TimedOptimizer::Natural => "natural",
        TimedOptimizer::None => "grad",
    };
    match case.config.activation.to_string() {
        usual if usual == FIXED => format!("{gradient}_{optimizer}"),
        other => format!("{gradient}_{optimizer} {other}"),
    }
}

fn round(x: f64, steps: f64) -> f64 {
    (x * steps).round() / steps
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn print_head() {
    let [d, l, b, threads, variant] = ["D", "L", "B", "threads", "variant"];
    print!("{d:>6} {l:>4} {b:>5} {threads:>7}  {variant:<18} {:>5} {:>7}", "dtype", "level");
    print!(" {:>11} {:>11} {:>8}", "ms median", "ms min", "GFLOP/s");
    println!(" {:>6} {:>6} {:>10} {:>6}", "limit", "share", "peak MiB", "other");
}

fn print(row: &Row) {
    let figure = |x: Option<f64>, digits| x.map_or("-".into(), |x| format!("{x:.digits$}"));
    print!("{:>6} {:>4} {:>5} {:>7}", row.dim, row.layers, row.batch, row.threads);
    print!("  {:<18} {:>5} {:>7}", row.variant, row.dtype, row.level);
    print!(" {:>11.5} {:>11.5} {:>8.2}", row.ms_median, row.ms_min, row.gflops);
    print!(" {:>6} {:>6}", row.bound.as_deref().unwrap_or("-"), figure(row.share, 2));
    println!(" {:>10} {:>6}", figure(row.rss_peak_mib, 1), figure(row.other_cpu, 2));
}
