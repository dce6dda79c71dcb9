//! Data of absurd scales and shapes, at absurd rates: every step is a good one, or an error with a
//! name that changes nothing. `cargo test --test suite stress -- --nocapture` prints the table of
//! docs/reliability.md.

use crate::common::*;
use relgrad::*;

const D: usize = 4;
const ROWS: usize = 8;
const STEPS: usize = 25;

const SCALES: [f64; 9] = [1e-40, 1e-30, 1e-10, 1e-3, 1.0, 1e3, 1e10, 1e25, 1e38];
const RATES: [f64; 5] = [1e-8, 1e-3, 0.05, 1.0, 1e3];

/// What kind of numbers the rows have.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Normal,
    Constant,
    /// One column twice.
    Repeated,
    /// On a line.
    Line,
    /// The same row always.
    OneRow,
    Cauchy,
    /// Columns of unlike scales.
    Unlike,
}

const KINDS: [Kind; 7] = [
    Kind::Normal,
    Kind::Constant,
    Kind::Repeated,
    Kind::Line,
    Kind::OneRow,
    Kind::Cauchy,
    Kind::Unlike,
];

fn data<T: Scalar>(kind: Kind, scale: f64, random: &mut Lcg) -> Vec<T> {
    let first: [f64; D] = std::array::from_fn(|_| random.normal());
    let rows = (0..ROWS).flat_map(|_| {
        let mut row: [f64; D] = std::array::from_fn(|_| random.normal());
        match kind {
            Kind::Normal => {}
            Kind::Constant => row[1] = 0.7,
            Kind::Repeated => row[1] = row[0],
            Kind::Line => row = first.map(|x| x * row[0]),
            Kind::OneRow => row = first,
            Kind::Cauchy => row = row.map(|x| x / random.normal()),
            Kind::Unlike => row = [row[0], 1e-12 * row[1], 1e6 * row[2], row[3]],
        }
        // Within the numbers of either type.
        row.map(|x| (x * scale).clamp(-3e38, 3e38))
    });
    rows.map(T::from_f64).collect()
}

/// How runs ended.
#[derive(Clone, Copy, Default)]
struct Count {
    runs: usize,
    /// Runs that a start from their data refused.
    no_start: usize,
    steps: usize,
    refused: usize,
    /// Runs at whose end the likelihood is above, or below, that of the start.
    rose: usize,
    fell: usize,
}

/// The mean log-likelihood of the data, or the error that there is in its place.
fn mean_of<T: Scalar>(owned: &mut Owned<T>, x: &[T]) -> Result<f64> {
    let mut log_p = [0.0; ROWS];
    let (mut s, params, scratch) = owned.session();
    s.refresh(params, scratch)?;
    s.log_likelihood(params, &Batch::new(x, ROWS), &mut log_p)?;
    Ok(mean(&log_p))
}

fn run<T: Scalar>(config: Config, x: &[T], from_data: bool, rate: f64, count: &mut Count) {
    count.runs += 1;
    let mut owned = Owned::<T>::orthogonal(config, 1);
    if from_data {
        let sizes = Sizes::of::<T>(&config).unwrap();
        let mut scratch = AlignedBytes::new(sizes.start_bytes);
        let batch = Batch::new(x, ROWS);
        let started = owned
            .start(|s, p, _| s.start_from_data(p, &batch, Start::Whitened, 1, 1e-6, &mut scratch));
        if started.is_err() {
            count.no_start += 1;
            return;
        }
    }
    let before = mean_of(&mut owned, x);
    for _ in 0..STEPS {
        let (params, state) = (owned.params.clone(), owned.state.clone());
        count.steps += 1;
        match owned.step(x, rate) {
            Ok(report) => {
                assert!(report.mean_log_likelihood.is_finite() && report.trust_scale > 0.0);
                assert!(owned.params.iter().all(|p| p.to_f64().is_finite()));
            }
            Err(error) => {
                count.refused += 1;
                let named = [
                    Status::Diverged,
                    Status::Crossing,
                    Status::Singular,
                    Status::NonFiniteData,
                    Status::LogDetUnknown,
                ];
                assert!(named.contains(&error.status), "{error}");
                assert!(hash(&owned.params) == hash(&params) && *owned.state == *state, "{error}");
            }
        }
    }
    // A likelihood, or an error: never NaN.
    let after = mean_of(&mut owned, x);
    for mean in [&before, &after].into_iter().flatten() {
        assert!(mean.is_finite());
    }
    let [before, after] = [before, after].map(|mean| mean.unwrap_or(f64::NEG_INFINITY));
    count.rose += usize::from(after > before);
    count.fell += usize::from(after < before);
}

#[test]
fn no_data_and_no_rate_make_anything_but_a_good_step_or_a_named_error() {
    println!("| data | runs | no start | steps | refused | rose | fell |");
    println!("|---|---|---|---|---|---|---|");
    let mut all = 0;
    for kind in KINDS {
        let (mut count, mut random) = (Count::default(), Lcg(5));
        for scale in SCALES.into_iter().step_by(if emulated() { 4 } else { 1 }) {
            let x = (data::<f32>(kind, scale, &mut random), data::<f64>(kind, scale, &mut random));
            for optimizer in [Optimizer::SGD, Optimizer::ADAM, Optimizer::NATURAL] {
                for (curves, from_data) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let of = if curves { Config::new(D, 2) } else { fixed_curves(D, 2) };
                    let config =
                        Config { optimizer, max_batch: ROWS, input_transform: from_data, ..of };
                    for rate in RATES {
                        run(config, &x.0, from_data, rate, &mut count);
                        run(config, &x.1, from_data, rate, &mut count);
                    }
                }
            }
        }
        let Count { runs, no_start, steps, refused, rose, fell } = count;
        println!("| {kind:?} | {runs} | {no_start} | {steps} | {refused} | {rose} | {fell} |");
        // The test would see nothing otherwise.
        assert!(rose > 0 && refused > 0 && refused < steps, "{kind:?}");
        all += steps;
    }
    assert!(all > 50_000, "{all} steps");
}

/// Bits of any kind as data: refused if one is not finite, else as above.
#[test]
fn bits_of_any_kind_as_data() {
    let mut random = Lcg(11);
    let mut word = || (random.next().to_bits() >> 20) as u32;
    let mut refused = 0;
    for round in 0..if emulated() { 300 } else { 3000 } {
        let optimizer = [Optimizer::SGD, Optimizer::ADAM, Optimizer::NATURAL][round % 3];
        let config = Config { optimizer, max_batch: 2, ..Config::new(3, 2) };
        let x: [f32; 6] = std::array::from_fn(|_| f32::from_bits(word() ^ word() << 7));
        let mut owned = Owned::<f32>::orthogonal(config, 1);
        let before = owned.params.clone();
        match owned.step(&x, 0.01) {
            Ok(_) => assert!(owned.params.iter().all(|p| p.is_finite())),
            Err(error) => {
                refused += 1;
                let finite = x.iter().all(|v| v.is_finite());
                assert_eq!(finite, error.status != Status::NonFiniteData, "{error}");
                assert!(hash(&owned.params) == hash(&before));
            }
        }
        if x.iter().any(|v| !v.is_finite()) {
            assert!(hash(&owned.params) == hash(&before));
        }
    }
    assert!(refused > 20, "{refused}");
}
