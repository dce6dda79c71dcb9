//! Whole training steps. The peers' comparison has the large ones: benches/peers.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use relgrad::{
    Activation, Aligned, AlignedBytes, Batch, Config, Gradient, Optimizer, Scalar, Session, Sizes,
};

const OPTIMIZERS: [(&str, Optimizer); 3] =
    [("sgd", Optimizer::SGD), ("adam", Optimizer::ADAM), ("natural", Optimizer::NATURAL)];

/// Adds one case to `group/dtype/D/L/B/optimizer`.
fn step<T: Scalar>(criterion: &mut Criterion, name: &str, optimizer: &str, config: Config) {
    let sizes = Sizes::of::<T>(&config).expect("a valid configuration");
    let mut params = Aligned::new(sizes.params_len);
    let mut state = AlignedBytes::new(sizes.state_bytes);
    let mut workspace = AlignedBytes::new(sizes.workspace_bytes);
    let mut session =
        Session::new(&config, &mut state, &mut workspace).expect("memory of the right size");
    session.start_identity(&mut params).expect("parameters of the right size");
    let [d, l, b] = [config.dim, config.layers, config.max_batch];
    let x: Vec<T> = (0..d * b).map(|i| T::from_f64((i as f64 * 0.618).fract() - 0.5)).collect();
    let batch = Batch::new(&x, b);
    let mut group = criterion.benchmark_group(name);
    // Of the relative gradient; "elements" are flops.
    group.throughput(Throughput::Elements(((8 * l - 2) * b * d * d) as u64));
    let id = BenchmarkId::new(format!("f{}/D{d}/L{l}/B{b}", T::BITS), optimizer);
    group.bench_function(id, |bencher| {
        bencher.iter(|| session.step(&mut params, &batch, 1e-6).expect("a small step"));
    });
    group.finish();
}

fn config(dim: usize, layers: usize, max_batch: usize, optimizer: Optimizer) -> Config {
    let activation = Activation::SmoothLeakyRelu { a: 0.01 };
    Config { activation, final_activation: false, max_batch, optimizer, ..Config::new(dim, layers) }
}

fn sizes(criterion: &mut Criterion) {
    for (name, optimizer) in OPTIMIZERS {
        for dim in [16, 64, 256, 784, 2048] {
            for batch in [1, 10, 100] {
                step::<f32>(criterion, "sizes", name, config(dim, 2, batch, optimizer));
            }
        }
    }
}

/// The paper's figure 2 has 100 layers of 2 features.
fn depths(criterion: &mut Criterion) {
    for (name, optimizer) in OPTIMIZERS {
        for (dim, layers) in [(2, 100), (64, 1), (64, 5), (64, 20)] {
            step::<f32>(criterion, "depths", name, config(dim, layers, 100, optimizer));
        }
    }
}

fn doubles(criterion: &mut Criterion) {
    for (name, optimizer) in OPTIMIZERS {
        for (dim, batch) in [(64, 10), (784, 10), (784, 100)] {
            step::<f64>(criterion, "doubles", name, config(dim, 2, batch, optimizer));
        }
    }
}

fn gradients(criterion: &mut Criterion) {
    for (name, gradient) in [
        ("relative", Gradient::Relative),
        ("transposed", Gradient::Transposed),
        ("ordinary", Gradient::Ordinary),
    ] {
        for (dim, batch) in [(64, 10), (256, 10), (256, 100)] {
            let config = Config { gradient, ..config(dim, 2, batch, Optimizer::ADAM) };
            step::<f32>(criterion, "gradients", name, config);
        }
    }
}

/// Sizes around the edges of tiles: none should stand out.
fn edges(criterion: &mut Criterion) {
    for dim in [63, 64, 65, 100, 255, 257] {
        for batch in [7, 8, 9] {
            step::<f32>(criterion, "edges", "adam", config(dim, 2, batch, Optimizer::ADAM));
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = sizes, depths, doubles, gradients, edges
}
criterion_main!(benches);
