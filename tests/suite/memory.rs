//! Memory of exactly the stated sizes serves, less is refused, and nothing around it is touched.

use crate::common::*;
use relgrad::*;

const GUARD: usize = 64;
const CANARY: u8 = 0xc5;

/// One piece of memory for several buffers with guard bytes before, between and behind them.
struct Guarded {
    memory: AlignedBytes,
    sizes: Vec<usize>,
}

impl Guarded {
    fn new(sizes: &[usize], fill: u8) -> Self {
        let total = sizes.iter().map(|n| GUARD + n.next_multiple_of(ALIGNMENT)).sum::<usize>();
        let mut memory = AlignedBytes::new(total + GUARD);
        memory.fill(CANARY);
        let mut guarded = Guarded { memory, sizes: sizes.to_vec() };
        guarded.parts().into_iter().for_each(|part| part.fill(fill));
        guarded
    }

    fn parts(&mut self) -> Vec<&mut [u8]> {
        let mut rest = &mut self.memory[..];
        let mut parts = vec![];
        for n in &self.sizes {
            let (part, behind) = rest[GUARD..].split_at_mut(n.next_multiple_of(ALIGNMENT));
            parts.push(&mut part[..*n]);
            rest = behind;
        }
        parts
    }

    fn intact(&mut self) -> bool {
        self.parts().into_iter().for_each(|part| part.fill(CANARY));
        self.memory.iter().all(|byte| *byte == CANARY)
    }
}

/// Numbers with NaN before and behind, the first at no particular alignment.
struct Numbers<T>(Vec<T>);

impl<T: Scalar> Numbers<T> {
    const EDGE: usize = 17;

    fn new(x: &[T]) -> Self {
        let edge = vec![T::from_f64(f64::NAN); Self::EDGE];
        Numbers([&edge, x, &edge].concat())
    }

    fn get(&mut self) -> &mut [T] {
        let n = self.0.len();
        &mut self.0[Self::EDGE..n - Self::EDGE]
    }

    fn intact(&self) -> bool {
        let (n, nan) = (self.0.len(), T::from_f64(f64::NAN).to_bits64());
        let edges = self.0[..Self::EDGE].iter().chain(&self.0[n - Self::EDGE..]);
        edges.into_iter().all(|v| v.to_bits64() == nan)
    }
}

fn configs() -> Vec<Config> {
    let mut configs = vec![];
    for (dim, max_batch) in [(1, 1), (2, 5), (3, 2), (7, 7), (9, 4), (17, 6), (33, 3), (34, 40)] {
        let config = Config { max_batch, input_transform: true, ..fixed_curves(dim, 2) };
        let track = |optimizer| Config { optimizer, track_inverse: true, ..config };
        let norms = Config { report_norms: true, ..config };
        configs.extend([
            config,
            track(Optimizer::SGD),
            Config { bias: Bias::Affine, ..track(Optimizer::NATURAL) },
            Config { optimizer: Optimizer::Sgd { momentum: 0.5 }, ..norms },
            Config { gradient: Gradient::Transposed, bias: Bias::None, ..norms },
            Config { gradient: Gradient::Ordinary, final_activation: true, ..norms },
            Config { activation: Activation::TanhMixture { steps: 5 }, ..norms },
            Config {
                activation: Activation::TanhMixture { steps: 1 },
                final_activation: true,
                ..track(Optimizer::NATURAL)
            },
        ]);
    }
    configs
}

/// Every call there is, in guarded memory full of `fill` at first; the bits of all results.
fn every_call<T: Scalar>(config: Config, fill: u8) -> Vec<u64> {
    let sizes = Sizes::of::<T>(&config).unwrap();
    let (d, b) = (config.dim, config.max_batch);
    let bytes = [
        sizes.state_bytes,
        sizes.workspace_bytes,
        sizes.refresh_bytes,
        sizes.start_bytes,
        sizes.factorization_bytes,
    ];
    let mut guarded = Guarded::new(&bytes, fill);
    let numbers = |n| Numbers::new(&vec![T::ZERO; n]);
    let mut params = numbers(sizes.params_len);
    let mut x = Numbers::<T>::new(&Lcg(1).normals((b + d + 1) * d));
    let mut weights = Numbers::new(&vec![T::ONE; b]);
    let (mut z, mut back) = (numbers(b * d), numbers(b * d));
    let (mut gradient, mut sums) = (numbers(sizes.gradient_len), numbers(sizes.gradient_len));
    let mut factors = numbers(b * sizes.factors_len);
    let mut log_p = Numbers::new(&vec![0.0f64; b]);
    let mut totals = Totals::default();

    let [state, workspace, refresh, start, factorization]: [&mut [u8]; 5] =
        guarded.parts().try_into().unwrap();
    let p = params.get();
    let mut s = Session::<T>::new(&config, state, workspace).unwrap();
    let data = Batch::new(x.get(), b + d + 1);
    s.start_from_data(p, &data, Start::Standardized, 1, 1e-3, start).unwrap();
    s.start_from_data(p, &data, Start::Whitened, 1, 1e-3, start).unwrap();
    s.refresh(p, refresh).unwrap();
    let x_b = &x.get()[..b * d];
    let batch = Batch::new(x_b, b).with_weights(weights.get());
    s.forward(p, &batch, z.get()).unwrap();
    s.log_likelihood(p, &batch, log_p.get()).unwrap();
    s.gradient(p, &batch, gradient.get()).unwrap();
    s.step(p, &batch, 0.01).unwrap();
    let dense = s.accumulate(p, &batch, sums.get(), &mut totals);
    if dense.is_ok() {
        s.apply(p, sums.get(), &totals, 0.01).unwrap();
    }
    totals = Totals::default();
    if s.factors(p, &batch, factors.get(), &mut totals).is_ok() {
        s.apply_factors(p, factors.get(), b, None, &totals, 0.01).unwrap();
    }
    s.refresh(p, refresh).unwrap();
    s.factorize(p, factorization).unwrap();
    let with = Inverse::Factorization(factorization);
    s.inverse(p, &with, z.get(), b, back.get()).unwrap();
    s.sample(p, &with, 1, 0, b, back.get()).unwrap();
    if config.track_inverse {
        s.inverse(p, &Inverse::Tracked, z.get(), b, back.get()).unwrap();
    }
    let mut all: Vec<u64> = guarded.parts()[0].iter().map(|byte| u64::from(*byte)).collect();
    for numbers in [&mut params, &mut x, &mut weights, &mut z, &mut back, &mut gradient] {
        assert!(numbers.intact(), "{config:?}");
        all.extend(bits(numbers.get()));
    }
    for numbers in [&mut sums, &mut factors] {
        assert!(numbers.intact(), "{config:?}");
        all.extend(bits(numbers.get()));
    }
    assert!(log_p.intact() && guarded.intact(), "{config:?}");
    all
}

#[test]
fn exact_sizes_serve_and_guards_stay() {
    fn check<T: Scalar>() {
        for config in configs() {
            for level in Level::available() {
                let config = Config { level, ..config };
                // What the memory held before does not matter.
                assert!(
                    every_call::<T>(config, 0xa5) == every_call::<T>(config, 0xff),
                    "{config:?}"
                );
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// A byte less, or a byte further on: refused by name, and nothing is written.
#[test]
fn less_or_misaligned_memory_is_refused() {
    type Call = fn(&Config, [&mut [u8]; 5]) -> Result<()>;
    let begin: Call =
        |config, [state, workspace, ..]| Session::<f32>::new(config, state, workspace).map(|_| ());
    let refresh: Call = |config, [state, workspace, scratch, ..]| {
        let mut s = Session::<f32>::attach(config, state, workspace)?;
        let params = Owned::<f32>::orthogonal(*config, 1).params;
        s.refresh(&params, scratch).map(|_| ())
    };
    let start: Call = |config, [state, workspace, _, scratch, _]| {
        let mut s = Session::<f32>::attach(config, state, workspace)?;
        let mut params = Owned::<f32>::orthogonal(*config, 1).params;
        let x = Lcg(1).normals(60);
        s.start_from_data(&mut params, &Batch::new(&x, 20), Start::Whitened, 1, 0.0, scratch)
    };
    let factorize: Call = |config, [state, workspace, .., memory]| {
        let s = Session::<f32>::attach(config, state, workspace)?;
        s.factorize(&Owned::<f32>::orthogonal(*config, 1).params, memory)
    };
    let inverse: Call = |config, [state, workspace, .., memory]| {
        let mut s = Session::<f32>::attach(config, state, workspace)?;
        let params = Owned::<f32>::orthogonal(*config, 1).params;
        let with = Inverse::Factorization(memory);
        s.inverse(&params, &with, &[0.0; 3], 1, &mut [0.0; 3]).map(|_| ())
    };
    let calls: [(Call, usize, &str); 9] = [
        (begin, 0, "state"),
        (begin, 1, "workspace"),
        (refresh, 0, "state"),
        (refresh, 1, "workspace"),
        (refresh, 2, "scratch"),
        (start, 3, "scratch"),
        (factorize, 4, "factorization"),
        (inverse, 4, "factorization"),
        (inverse, 1, "workspace"),
    ];
    let config = Config { input_transform: true, max_batch: 4, ..fixed_curves(3, 2) };
    let sizes = Sizes::of::<f32>(&config).unwrap();
    let exact = [
        sizes.state_bytes,
        sizes.workspace_bytes,
        sizes.refresh_bytes,
        sizes.start_bytes,
        sizes.factorization_bytes,
    ];
    for (call, which, name) in calls {
        for (status, from, to) in
            [(Status::Length, 0, exact[which] - 1), (Status::Alignment, 1, exact[which] + 1)]
        {
            let mut memory = exact.map(|n| AlignedBytes::new(n + 1));
            let [state, workspace, _, _, factorization] = &mut memory;
            let s = Session::<f32>::new(&config, state, workspace).unwrap();
            s.factorize(&Owned::<f32>::orthogonal(config, 1).params, factorization).unwrap();
            let before = memory.clone();
            let range = |i| if i == which { from..to } else { 0..exact[i] };
            let mut parts = memory.iter_mut().enumerate().map(|(i, m)| &mut m[range(i)]);
            let refused = call(&config, [(); 5].map(|()| parts.next().unwrap())).unwrap_err();
            assert_eq!((refused.status, refused.argument), (status, name));
            for i in [0, which] {
                assert!(memory[i][..] == before[i][..], "{name}");
            }
        }
    }
}
