//! `relgrad verify`: whether this machine computes the bits that every machine should.

use std::sync::Arc;

use clap::Args;
use relgrad::measure::Random;
use relgrad::{Activation, Config, Level, Model, Optimizer, ParallelFor, Pool, Scalar};
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;

#[derive(Args)]
pub struct Verify {
    /// Threads: 1 and all numbers up to this one are tried.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub threads: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A run whose parameters, likelihoods and samples are hashed.
struct Case {
    name: &'static str,
    dim: usize,
    batch: usize,
    optimizer: Optimizer,
    activation: Activation,
    /// Of f32 and of f64.
    golden: [u64; 2],
}

const SMOOTH: Activation = Activation::SmoothLeakyRelu { a: 0.3 };
const LEARNED: Activation = Activation::TanhMixture { steps: 4 };

/// Every route of a step, both sides of each edge of a vector, learned curves and fixed ones. A change
/// of these numbers is a change of everybody's results.
const CASES: [Case; 5] = [
    Case {
        name: "lanes",
        dim: 5,
        batch: 24,
        optimizer: Optimizer::NATURAL,
        activation: LEARNED,
        golden: [0x5844_1cda_11c8_ff97, 0x3dc4_e26c_946c_70ef],
    },
    Case {
        name: "rows",
        dim: 33,
        batch: 10,
        optimizer: Optimizer::ADAM,
        activation: SMOOTH,
        golden: [0xaaeb_704a_e8ef_1d30, 0x8479_c80a_f953_c48d],
    },
    Case {
        name: "rows, learned curves",
        dim: 70,
        batch: 6,
        optimizer: Optimizer::NATURAL,
        activation: LEARNED,
        golden: [0xe4d1_a44f_7525_0195, 0x5ba8_c44e_55b0_aceb],
    },
    Case {
        name: "one row",
        dim: 129,
        batch: 1,
        optimizer: Optimizer::SGD,
        activation: Activation::LeakyTanh { a: 1.0, b: 0.1 },
        golden: [0x7544_1004_c9e6_68ea, 0x61f8_23a1_c0a4_9511],
    },
    Case {
        name: "summed",
        dim: 161,
        batch: 163,
        optimizer: Optimizer::NATURAL,
        activation: SMOOTH,
        golden: [0x0547_4637_2d14_9e2d, 0xbaf0_cb48_f512_6f0e],
    },
];

/// Steps of a run.
const STEPS: usize = 5;

/// One run on this machine.
#[derive(Serialize)]
struct Row {
    case: &'static str,
    precision: &'static str,
    level: &'static str,
    threads: usize,
    hash: String,
    expected: String,
    equal: bool,
}

pub fn run(args: &Verify) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for threads in 1..=args.threads as usize {
        let pool = (threads > 1).then(|| Pool::new(threads)).transpose()?.map(Arc::new);
        for case in &CASES {
            for level in Level::available() {
                rows.push(row::<f32>(case, level, "f32", case.golden[0], pool.as_ref())?);
                rows.push(row::<f64>(case, level, "f64", case.golden[1], pool.as_ref())?);
            }
        }
    }
    let different = rows.iter().filter(|r| !r.equal).count();
    if args.json {
        println!(
            "{}",
            json!({
            "version": env!("CARGO_PKG_VERSION"), "system": std::env::consts::OS,
            "processor": std::env::consts::ARCH, "different": different, "rows": rows})
        );
    } else {
        print(&rows);
    }
    match different {
        0 => Ok(()),
        _ => Err(format!(
            "{different} of {} runs have other bits than they should; please report the table above",
            rows.len()
        )
        .into()),
    }
}

/// A line for each case and precision; below it the runs that differ.
fn print(rows: &[Row]) {
    let (version, os, arch) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    println!("relgrad {version} on {os}, {arch}");
    println!("{:22} {:5} {:16}  {:>5} {:>5}", "run", "", "expected", "tried", "equal");
    for case in &CASES {
        for precision in ["f32", "f64"] {
            let of = || rows.iter().filter(|r| (r.case, r.precision) == (case.name, precision));
            let (tried, equal) = (of().count(), of().filter(|r| r.equal).count());
            let expected = of().next().map_or("", |r| &r.expected);
            println!("{:22} {precision:5} {expected:16}  {tried:5} {equal:5}", case.name);
            for r in of().filter(|r| !r.equal) {
                println!("{:28} {}  {}, threads: {}", "", r.hash, r.level, r.threads);
            }
        }
    }
}

fn row<T: Scalar>(
    case: &Case,
    level: Level,
    precision: &'static str,
    expected: u64,
    pool: Option<&Arc<Pool>>,
) -> Result<Row, Failure> {
    let hash = hash_of::<T>(case, level, pool)?;
    Ok(Row {
        case: case.name,
        precision,
        level: level.name(),
        threads: pool.map_or(1, |p| p.threads()),
        hash: format!("{hash:016x}"),
        expected: format!("{expected:016x}"),
        equal: hash == expected,
    })
}

/// FNV-1a over the bits of all parameters after some steps, of samples and of likelihoods.
fn hash_of<T: Scalar>(case: &Case, level: Level, pool: Option<&Arc<Pool>>) -> Result<u64, Failure> {
    let Case { dim, batch, optimizer, activation, .. } = *case;
    let config = Config { optimizer, activation, max_batch: batch, level, ..Config::new(dim, 3) };
    let mut model = Model::<T>::blank(config)?;
    model.set_parallel(pool.map(|p| p.clone() as _));
    model.start_orthogonal(42)?;
    let mut random = Random::new(42, 0);
    let mut data = vec![T::from_f64(0.0); dim * batch];
    for _ in 0..STEPS {
        data.iter_mut().for_each(|x| *x = T::from_f64(random.normal()));
        model.step(&data, 0.01)?;
    }
    // By parts of a number of rows that depends on the threads.
    let part = dim * pool.map_or(batch, |p| p.threads());
    let mut likelihoods = Vec::new();
    for rows in data.chunks(part) {
        likelihoods.extend(model.log_likelihood(rows)?);
    }
    let samples = model.sample(batch, 7)?;
    let numbers = model.params().iter().chain(&samples).map(|v| v.to_bits64());
    let bits = numbers.chain(likelihoods.iter().map(|v| v.to_bits()));
    Ok(bits.fold(0xcbf2_9ce4_8422_2325, |hash, bits| (hash ^ bits).wrapping_mul(0x100_0000_01b3)))
}
