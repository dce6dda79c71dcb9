//! The same bits everywhere: on every instruction set, in any batch, after any other call, and
//! when a run is taken up again.

use crate::common::*;
use relgrad::*;

const NATURAL_MOMENTUM: Optimizer =
    Optimizer::Natural { decay: 0.9, damping: 0.1, clip: 1.0, momentum: 0.9 };
const OPTIMIZERS: [Optimizer; 5] = [
    Optimizer::ADAM,
    Optimizer::NATURAL,
    Optimizer::SGD,
    Optimizer::Sgd { momentum: 0.9 },
    NATURAL_MOMENTUM,
];
const ACTIVATIONS: [Activation; 3] = [
    Activation::SmoothLeakyRelu { a: 0.3 },
    Activation::LeakyTanh { a: 1.0, b: 0.1 },
    Activation::Identity,
];

/// Sizes around every tile's edge.
const DIMS: [usize; 13] = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65];
const ROWS: [usize; 9] = [1, 2, 3, 5, 6, 7, 10, 16, 17];

/// Every size with every batch, all else at random.
fn configs() -> Vec<Config> {
    let mut random = Lcg(3);
    let wide =
        [(20, 21), (33, 40), (63, 64), (64, 64), (65, 66), (33, 28), (33, 29), (66, 60), (130, 3)];
    let sizes = DIMS.into_iter().flat_map(|d| ROWS.map(|b| (d, b))).chain(wide);
    let config = |(dim, max_batch)| {
        let optimizer = OPTIMIZERS[random.below(5)];
        let natural = matches!(optimizer, Optimizer::Natural { .. });
        let gradients = [Gradient::Relative, Gradient::Transposed, Gradient::Ordinary];
        let config = Config {
            max_batch,
            optimizer,
            activation: ACTIVATIONS[random.below(3)],
            base: [Base::Normal, Base::Sech, Base::Logistic][random.below(3)],
            bias: [Bias::Separate, Bias::Affine, Bias::None][random.below(3)],
            gradient: gradients[if natural { 0 } else { random.below(3) }],
            final_activation: random.below(2) == 0,
            input_transform: random.below(2) == 0,
            report_norms: random.below(2) == 0,
            ..fixed_curves(dim, 2)
        };
        let tracked = Config { track_inverse: true, ..config };
        if tracked.check().is_ok() && random.below(2) == 0 { tracked } else { config }
    };
    let fixed: Vec<Config> = sizes.map(config).collect();
    let every = if emulated() { 15 } else { 3 };
    let learned = fixed.iter().enumerate().step_by(every).map(|(i, config)| {
        let steps = [1, 2, 3, 4, 7, 16][i / every % 6];
        let bends = i / every % 4 == 3;
        let activation = if bends { Activation::Bend } else { Activation::TanhMixture { steps } };
        Config { activation, ..*config }
    });
    fixed.iter().copied().chain(learned).collect()
}

/// All that a few steps and the calls around them write: parameters, state, outputs.
fn run<T: Scalar>(config: Config) -> u64 {
    let mut owned = Owned::<T>::orthogonal(config, 1);
    let (d, b) = (config.dim, config.max_batch);
    let mut random = Lcg(7);
    let (mut s, params, scratch) = owned.session();
    let mut seen = vec![];
    for t in 0..2 {
        let x: Vec<T> = random.normals(b * d);
        let report = s.step(params, &Batch::new(&x, b), 0.02).unwrap();
        seen.extend([report.mean_log_likelihood, report.trust_scale]);
        seen.extend(report.relative_gradient_norm);
        if t == 1 {
            let refresh = s.refresh(params, scratch).unwrap();
            seen.extend([refresh.log_det, refresh.drift, refresh.inverse_error]);
            let (mut z, mut log_p) = (x.clone(), vec![0.0; b]);
            s.forward(params, &Batch::new(&x, b), &mut z).unwrap();
            s.log_likelihood(params, &Batch::new(&x, b), &mut log_p).unwrap();
            let mut memory =
                AlignedBytes::new(Sizes::of::<T>(&config).unwrap().factorization_bytes);
            s.factorize(params, &mut memory).unwrap();
            let mut back = x.clone();
            s.inverse(params, &Inverse::Factorization(&memory), &z, b, &mut back).unwrap();
            seen.extend(z.iter().chain(&back).map(|v| v.to_f64()));
            seen.extend(log_p);
        }
    }
    seen.extend(owned.params.iter().map(|p| p.to_f64()));
    seen.extend(owned.state.iter().map(|byte| f64::from(*byte)));
    hash(&seen)
}

fn same_on_every_level<T: Scalar>() {
    for config in configs() {
        let of = |level| run::<T>(Config { level, ..config });
        let want = of(Level::Scalar);
        for level in Level::available() {
            assert_eq!(of(level), want, "{level:?} {config:?}");
        }
    }
}

#[test]
fn every_level_f32() {
    same_on_every_level::<f32>();
}

#[test]
fn every_level_f64() {
    same_on_every_level::<f64>();
}

/// The parameters after 20 steps of every optimiser, one run after another.
fn trained<T: Scalar>(level: Level, dim: usize, max_batch: usize) -> u64 {
    trained_with::<T>(Config { level, max_batch, ..fixed_curves(dim, 3) })
}

fn trained_with<T: Scalar>(config: Config) -> u64 {
    let Config { dim, max_batch, .. } = config;
    let mut all: Vec<T> = vec![];
    for optimizer in OPTIMIZERS {
        let config = Config { optimizer, ..config };
        let mut owned = Owned::<T>::orthogonal(config, 42);
        let mut random = Lcg(42);
        for _ in 0..20 {
            owned.step(&random.normals(max_batch * dim), 0.01).unwrap();
        }
        all.extend(&owned.params);
    }
    hash(&all)
}

/// As [`golden_hashes`], with learned curves.
#[test]
fn golden_hashes_of_learned_curves() {
    for level in Level::available() {
        let activation = Activation::TanhMixture { steps: 5 };
        let of = |dim| Config { level, activation, max_batch: 10, ..fixed_curves(dim, 3) };
        assert_eq!(trained_with::<f32>(of(17)), 0x3426_e0e3_a95d_e3cf, "{level:?}");
        assert_eq!(trained_with::<f64>(of(17)), 0x7c4e_f320_d782_a108, "{level:?}");
        if !cfg!(relgrad_no_lanes) {
            assert_eq!(trained_with::<f32>(of(5)), 0xad78_7afa_9668_9795, "{level:?}");
            assert_eq!(trained_with::<f64>(of(5)), 0x437a_f21b_ffe3_cd9d, "{level:?}");
        }
    }
}

/// Part of the contract: a change of these numbers is a change of everybody's results. Networks
/// of few features take ways of their own, unless the build forbids it.
#[test]
fn golden_hashes() {
    for level in Level::available() {
        assert_eq!(trained::<f32>(level, 17, 10), 0xb8f5_04b4_cf74_8df1, "{level:?}");
        assert_eq!(trained::<f64>(level, 17, 10), 0x4fa8_f005_e21d_b29a, "{level:?}");
        if !cfg!(relgrad_no_lanes) {
            assert_eq!(trained::<f32>(level, 3, 10), 0xa564_3cec_afd3_92f5, "{level:?}");
            assert_eq!(trained::<f64>(level, 3, 10), 0x9d8a_84f3_3b1b_aa9a, "{level:?}");
            assert_eq!(trained::<f32>(level, 5, 10), 0x769e_8770_9e7f_cbf2, "{level:?}");
            assert_eq!(trained::<f64>(level, 5, 10), 0x5c50_9b7d_8702_bbfd, "{level:?}");
            assert_eq!(trained::<f32>(level, 33, 40), 0x6267_ca88_25c9_4e50, "{level:?}");
            assert_eq!(trained::<f64>(level, 33, 40), 0x592d_59d1_981b_ad0e, "{level:?}");
            assert_eq!(trained::<f32>(level, 66, 100), 0x0256_e81b_9f45_466c, "{level:?}");
            assert_eq!(trained::<f64>(level, 66, 100), 0xc881_2fc0_c2df_cae2, "{level:?}");
        } else {
            // Summed, with a vector cut short.
            assert_eq!(trained::<f32>(level, 66, 100), 0xf72d_c494_334e_13e7, "{level:?}");
            assert_eq!(trained::<f64>(level, 66, 100), 0x47b6_9151_a058_c152, "{level:?}");
        }
    }
}

/// What an untrained network makes of some rows: their likelihoods.
fn likelihoods<T: Scalar>(level: Level, dim: usize, rows: usize) -> u64 {
    let config = Config { level, max_batch: rows, ..fixed_curves(dim, 9) };
    let mut owned = Owned::<T>::orthogonal(config, 42);
    let x: Vec<T> = Lcg(42).normals(rows * dim);
    let mut seen = vec![0.0; rows];
    let (mut s, params, _) = owned.session();
    s.log_likelihood(params, &Batch::new(&x, rows), &mut seen).unwrap();
    seen.push(owned.step(&x, 0.01).unwrap().mean_log_likelihood);
    hash(&seen)
}

#[test]
fn golden_likelihoods() {
    for level in Level::available() {
        assert_eq!(likelihoods::<f32>(level, 130, 10), 0x1dad_49c7_ec8a_5a02, "{level:?}");
        assert_eq!(likelihoods::<f64>(level, 130, 10), 0xabc8_91ce_0c4b_004a, "{level:?}");
        if !cfg!(relgrad_no_lanes) {
            assert_eq!(likelihoods::<f32>(level, 3, 20), 0xfecb_2693_e7a5_c5cd, "{level:?}");
            assert_eq!(likelihoods::<f64>(level, 3, 20), 0x9e09_494e_9a39_da9c, "{level:?}");
        }
    }
}

/// Runs tasks as no pool would: the last first, all here.
struct Backwards {
    threads: usize,
    calls: std::sync::atomic::AtomicUsize,
}

// SAFETY: each task once.
unsafe impl ParallelFor for Backwards {
    fn threads(&self) -> usize {
        self.threads
    }
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (0..count).rev().for_each(task);
    }
}

/// A team that finds threads of use for every other call, or forgets to call.
struct Moody<'a> {
    team: &'a Backwards,
    calls: bool,
    chosen: std::sync::atomic::AtomicUsize,
}

// SAFETY: as the team's.
unsafe impl ParallelFor for Moody<'_> {
    fn threads(&self) -> usize {
        self.team.threads()
    }
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.team.run(count, task);
    }
    fn choose(&self, _kind: u64, work: &mut dyn FnMut(bool) -> bool) {
        let chosen = self.chosen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if self.calls {
            let runs = || self.team.calls.load(std::sync::atomic::Ordering::Relaxed);
            let before = runs();
            work(chosen % 2 == 1);
            assert_eq!(runs() > before, chosen % 2 == 1);
            // What was done is not done again.
            work(true);
        }
    }
}

#[test]
fn teams_may_leave_a_call_to_one_thread() {
    let config = Config { max_batch: 33, optimizer: Optimizer::NATURAL, ..fixed_curves(150, 2) };
    let alone = on_threads::<f32>(config, None);
    for calls in [true, false] {
        let team = &Backwards { threads: 7, calls: 0.into() };
        let moody = Moody { team, calls, chosen: 0.into() };
        assert_eq!(on_threads::<f32>(config, Some(&moody)), alone);
        // Two steps, an evaluation of either kind; the first was told to stay.
        assert_eq!(moody.chosen.into_inner(), 4);
    }
    // Nothing to hand over, or so much that there is nothing to choose.
    for (dim, max_batch) in [(20, 1), (300, 400)] {
        let config = Config { dim, max_batch, ..config };
        let team = &Backwards { threads: 7, calls: 0.into() };
        let moody = Moody { team, calls: true, chosen: 0.into() };
        on_threads::<f32>(config, Some(&moody));
        assert_eq!(moody.chosen.into_inner(), 0, "{dim} features");
    }
}

/// Parameters, state and outputs of a few steps and an evaluation.
fn on_threads<T: Scalar>(config: Config, team: Option<&dyn ParallelFor>) -> u64 {
    let mut owned = Owned::<T>::orthogonal(config, 1);
    let (d, b) = (config.dim, config.max_batch);
    let x: Vec<T> = Lcg(9).normals(b * d);
    let (mut s, params, scratch) = owned.session();
    s.set_parallel(team);
    s.start_orthogonal(params, 2).unwrap();
    for _ in 0..2 {
        s.step(params, &Batch::new(&x, b), 0.02).unwrap();
    }
    s.refresh(params, scratch).unwrap();
    let (mut z, mut log_p) = (x.clone(), vec![0.0; b]);
    s.forward(params, &Batch::new(&x, b), &mut z).unwrap();
    s.log_likelihood(params, &Batch::new(&x, b), &mut log_p).unwrap();
    let numbers = owned.params.iter().chain(&z).map(|v| v.to_f64()).chain(log_p);
    let seen: Vec<f64> = numbers.chain(owned.state.iter().map(|b| f64::from(*b))).collect();
    hash(&seen)
}

#[test]
fn any_number_of_threads() {
    fn check<T: Scalar>() {
        let pools: Vec<Pool> = [2, 3, 5].map(|n| Pool::new(n).unwrap()).into();
        // Small networks on threads: custom densities aside, all that a step is made of.
        for bias in [Bias::Affine, Bias::Projected, Bias::None] {
            let optimizer = OPTIMIZERS[bias as usize % 3];
            for (dim, max_batch) in [(3, 9000), (24, 1500), (64, 500)] {
                let fixed = Config { bias, max_batch, optimizer, ..fixed_curves(dim, 3) };
                let learned = Config { activation: Activation::TanhMixture { steps: 3 }, ..fixed };
                for config in [fixed, learned] {
                    let alone = on_threads::<T>(config, None);
                    let backwards = Backwards { threads: 7, calls: 0.into() };
                    assert_eq!(on_threads::<T>(config, Some(&backwards)), alone, "{config:?}");
                    assert_eq!(on_threads::<T>(config, Some(&pools[1])), alone, "{config:?}");
                }
            }
        }
        for (dim, max_batch) in [(150, 33), (257, 8), (130, 150), (300, 1), (70, 300), (41, 600)] {
            // The others would take minutes where they are emulated.
            if emulated() && dim != 150 {
                continue;
            }
            for optimizer in OPTIMIZERS {
                for gradient in [Gradient::Relative, Gradient::Transposed, Gradient::Ordinary] {
                    let config = Config { max_batch, optimizer, gradient, ..fixed_curves(dim, 2) };
                    if config.check().is_err() {
                        continue;
                    }
                    let alone = on_threads::<T>(config, None);
                    let backwards = Backwards { threads: 7, calls: 0.into() };
                    assert_eq!(on_threads::<T>(config, Some(&backwards)), alone, "{config:?}");
                    assert!(backwards.calls.into_inner() > 2, "never split: {config:?}");
                    for pool in &pools {
                        assert_eq!(on_threads::<T>(config, Some(pool)), alone, "{config:?}");
                    }
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Large enough for threads to share what factorisations move, too. More than four threads share
/// their products in another way.
#[test]
fn any_number_of_threads_factors_large_matrices() {
    if emulated() {
        return;
    }
    let gradient = Gradient::Ordinary;
    let config =
        Config { max_batch: 1, optimizer: Optimizer::SGD, gradient, ..fixed_curves(700, 1) };
    let alone = on_threads::<f64>(config, None);
    for threads in [2, 3, 7] {
        let backwards = Backwards { threads, calls: 0.into() };
        assert_eq!(on_threads::<f64>(config, Some(&backwards)), alone, "{threads} threads");
    }
}

#[test]
fn a_row_does_not_depend_on_the_batch_around_it() {
    fn check<T: Scalar>() {
        for config in configs().into_iter().filter(|c| c.max_batch == 17) {
            let (d, n) = (config.dim, 17);
            let mut owned = Owned::<T>::orthogonal(config, 3);
            let x: Vec<T> = Lcg(2).normals(n * d);
            let (mut s, params, _) = owned.session();
            let (mut whole, mut log_p) = (vec![T::ZERO; n * d], vec![0.0; n]);
            s.forward(params, &Batch::new(&x, n), &mut whole).unwrap();
            s.log_likelihood(params, &Batch::new(&x, n), &mut log_p).unwrap();
            for size in 1..n {
                let parts = x.chunks(size * d).zip(whole.chunks(size * d)).zip(log_p.chunks(size));
                for ((x, want), want_p) in parts {
                    let rows = want_p.len();
                    let (mut z, mut p) = (vec![T::ZERO; rows * d], vec![0.0; rows]);
                    s.forward(params, &Batch::new(x, rows), &mut z).unwrap();
                    s.log_likelihood(params, &Batch::new(x, rows), &mut p).unwrap();
                    assert!(bits(&z) == bits(want) && bits(&p) == bits(want_p), "{config:?}");
                }
            }
            // Nor on the distance between rows.
            let ld = d + 3;
            let mut apart = vec![T::from_f64(f64::NAN); (n - 1) * ld + d];
            for (to, from) in apart.chunks_mut(ld).zip(x.chunks(d)) {
                to[..d].copy_from_slice(from);
            }
            let mut z = vec![T::ZERO; n * d];
            s.forward(params, &Batch::new(&apart, n).with_ld(ld), &mut z).unwrap();
            assert_eq!(bits(&z), bits(&whole), "{config:?}");
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Everything there is to call that must leave no trace, with data of its own.
fn unrelated<T: Scalar>(s: &mut Session<T>, params: &[T], random: &mut Lcg) {
    let (d, b) = (s.config().dim, s.config().max_batch);
    let layout = s.layout();
    for rows in [b, 1 + b / 2] {
        let mut x: Vec<T> = random.normals(rows * d);
        x.iter_mut().for_each(|x| *x = *x * T::from_f64(3.0));
        let batch = Batch::new(&x, rows);
        let mut out = vec![T::ZERO; x.len().max(layout.network_len())];
        let weights: Vec<T> = x.iter().take(rows).map(|x| *x * *x).collect();
        s.forward(params, &batch, &mut out).unwrap();
        s.gradient(params, &batch.with_weights(&weights), &mut out).unwrap();
        // Refused where the optimiser or the gradient does not allow them, or out of date.
        let _ = s.log_likelihood(params, &batch, &mut vec![0.0; rows]);
        let _ = s.accumulate(params, &batch, &mut out, &mut Totals::default());
        let mut factors = vec![T::ZERO; rows * Sizes::of::<T>(s.config()).unwrap().factors_len];
        let _ = s.factors(params, &batch, &mut factors, &mut Totals::default());
        s.sum_log_slopes(params, &batch, &mut vec![0.0; 2 * d * s.config().layers]).unwrap();
        let mut memory = AlignedBytes::new(Sizes::of::<T>(s.config()).unwrap().factorization_bytes);
        s.factorize(params, &mut memory).unwrap();
        let with = Inverse::Factorization(&memory);
        s.inverse(params, &with, &x, rows, &mut out).unwrap();
        s.sample(params, &with, 3, 0, rows, &mut out).unwrap();
        // A step that is refused.
        x[0] = T::INFINITY;
        s.step(&mut params.to_vec(), &Batch::new(&x, rows), 0.1).unwrap_err();
    }
}

#[test]
fn other_calls_leave_no_trace() {
    fn check<T: Scalar>() {
        for config in configs().into_iter().step_by(4) {
            let results = [false, true].map(|interleave| {
                let mut owned = Owned::<T>::orthogonal(config, 1);
                let (mut random, mut other) = (Lcg(7), Lcg(8));
                let (mut s, params, _) = owned.session();
                let mut seen = vec![];
                for _ in 0..3 {
                    if interleave {
                        unrelated(&mut s, params, &mut other);
                    }
                    let x: Vec<T> = random.normals(config.max_batch * config.dim);
                    let report = s.step(params, &Batch::new(&x, config.max_batch), 0.02).unwrap();
                    seen.push(report.mean_log_likelihood);
                }
                (bits(&owned.params), owned.state.to_vec(), bits(&seen))
            });
            assert!(results[0] == results[1], "{config:?}");
        }
    }
    check::<f32>();
    check::<f64>();
}

/// What a refused step leaves in the workspace is seen by nobody.
#[test]
fn a_refused_step_leaves_no_trace() {
    fn check<T: Scalar>() {
        for (dim, max_batch) in [(3, 32), (20, 32), (40, 9), (64, 70)] {
            let config =
                Config { max_batch, optimizer: Optimizer::NATURAL, ..fixed_curves(dim, 2) };
            let x: Vec<T> = Lcg(5).normals(max_batch * dim);
            let huge = if T::BITS == 32 { 1e30 } else { 1e250 };
            let seen = [None, Some(f64::NAN), Some(huge)].map(|bad| {
                let mut owned = Owned::<T>::orthogonal(config, 1);
                let (mut s, params, _) = owned.session();
                let mut memory =
                    AlignedBytes::new(Sizes::of::<T>(&config).unwrap().factorization_bytes);
                s.factorize(params, &mut memory).unwrap();
                if let Some(bad) = bad {
                    let mut x = x.clone();
                    (0..dim).for_each(|i| x[(max_batch - 2) * dim + i] = T::from_f64(bad));
                    let step = s.step(&mut params.to_vec(), &Batch::new(&x, max_batch), 0.1);
                    step.unwrap_err();
                }
                let batch = Batch::new(&x, 5);
                let (mut z, mut log_p) = (x[..5 * dim].to_vec(), vec![0.0; 5]);
                s.forward(params, &batch, &mut z).unwrap();
                s.log_likelihood(params, &batch, &mut log_p).unwrap();
                let mut back = z.clone();
                s.inverse(params, &Inverse::Factorization(&memory), &z, 5, &mut back).unwrap();
                let mut gradient = vec![T::ZERO; s.layout().network_len()];
                s.gradient(params, &batch, &mut gradient).unwrap();
                (bits(&z), bits(&log_p), bits(&back), bits(&gradient))
            });
            assert!(seen[0] == seen[1] && seen[0] == seen[2], "{config:?}");
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Samples that only fill up the last vector do not decide what is finite.
#[test]
fn shifted_data_of_any_number() {
    let config = Config { max_batch: 16, input_transform: true, ..fixed_curves(1, 1) };
    let mut owned = Owned::<f32>::orthogonal(config, 1);
    let range = owned.session().0.layout().shift();
    owned.params[range.start..].fill(1e20);
    let x = vec![1e20; 16];
    for rows in 1..=16 {
        let (mut s, params, scratch) = owned.session();
        s.refresh(params, scratch).unwrap();
        s.gradient(params, &Batch::new(&x, rows), &mut [0.0; 2]).unwrap();
    }
}

#[test]
fn a_run_taken_up_again_goes_on_as_if_it_had_not_stopped() {
    fn check<T: Scalar>() {
        for config in configs().into_iter().step_by(3) {
            let batches: Vec<Vec<T>> =
                (0..4).map(|i| Lcg(i).normals(config.max_batch * config.dim)).collect();
            let mut whole = Owned::<T>::orthogonal(config, 1);
            let (mut s, params, _) = whole.session();
            for x in &batches {
                s.step(params, &Batch::new(x, config.max_batch), 0.02).unwrap();
            }
            let mut first = Owned::<T>::orthogonal(config, 1);
            first.step(&batches[0], 0.02).unwrap();
            first.step(&batches[1], 0.02).unwrap();
            let mut second = Owned::<T>::new(config);
            second.params.copy_from_slice(&first.params);
            second.state.copy_from_slice(&first.state);
            second.step(&batches[2], 0.02).unwrap();
            second.step(&batches[3], 0.02).unwrap();
            assert!(bits(&second.params) == bits(&whole.params), "{config:?}");
            assert!(second.state[..] == whole.state[..], "{config:?}");
            assert_eq!(second.session().0.steps(), 4);
        }
    }
    check::<f32>();
    check::<f64>();
}
