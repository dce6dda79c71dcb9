//! The paper's figure 3: the cost of a gradient against D, of the relative gradient, the
//! transposed one, the ordinary one, and of one that forms the Jacobian.

mod jacobian;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use relgrad::{Activation, Batch, Config, Gradient, Model, Optimizer};

use jacobian::Jacobian;

const A: f64 = 0.3;
const LAYERS: usize = 2;
const BATCH: usize = 10;

fn config(dim: usize, gradient: Gradient) -> Config {
    let activation = Activation::SmoothLeakyRelu { a: A };
    let (optimizer, max_batch) = (Optimizer::SGD, BATCH);
    Config { activation, gradient, optimizer, max_batch, ..Config::new(dim, LAYERS) }
}

fn batch(dim: usize) -> Vec<f32> {
    (0..BATCH * dim).map(|i| 2.0 * (i as f32 * 0.618).fract() - 1.0).collect()
}

fn model(dim: usize, gradient: Gradient) -> Model<f32> {
    Model::new(config(dim, gradient), 1).expect("a valid configuration")
}

fn jacobian_of(dim: usize) -> (Model<f32>, Jacobian, Vec<f32>) {
    let model = model(dim, Gradient::Ordinary);
    let jacobian = Jacobian::new(A as f32, model.layout(), dim, LAYERS);
    let gradient = vec![0.0; model.params().len()];
    (model, jacobian, gradient)
}

/// Both exact ways must give the same gradient, or their times mean nothing.
fn check() {
    let (mut model, mut jacobian, mut through_jacobian) = jacobian_of(24);
    let x = batch(24);
    jacobian.gradient(model.params(), &x, &mut through_jacobian);
    let mut ordinary = through_jacobian.clone();
    let (mut session, params) = model.session();
    session.gradient(params, &Batch::new(&x, BATCH), &mut ordinary).expect("a gradient");
    let largest = ordinary.iter().fold(0.0f32, |m, g| m.max(g.abs()));
    for (i, (a, b)) in through_jacobian.iter().zip(&ordinary).enumerate() {
        assert!((a - b).abs() < 1e-4 * largest, "gradient {i}: {a}, not {b}");
    }
}

fn figure3(criterion: &mut Criterion) {
    check();
    let mut group = criterion.benchmark_group("figure3");
    for (name, gradient, largest) in [
        ("relative", Gradient::Relative, 1024),
        ("transposed", Gradient::Transposed, 1024),
        ("ordinary", Gradient::Ordinary, 512),
    ] {
        for dim in [16, 32, 64, 128, 256, 512, 1024].into_iter().filter(|d| *d <= largest) {
            let (mut model, x) = (model(dim, gradient), batch(dim));
            let mut out = vec![0.0; model.params().len()];
            let (mut session, params) = model.session();
            group.bench_function(BenchmarkId::new(name, dim), |b| {
                b.iter(|| session.gradient(params, &Batch::new(&x, BATCH), &mut out));
            });
        }
    }
    for dim in [16, 32, 64, 128, 256] {
        let (model, mut jacobian, mut out) = jacobian_of(dim);
        let x = batch(dim);
        group.bench_function(BenchmarkId::new("jacobian", dim), |b| {
            b.iter(|| jacobian.gradient(model.params(), &x, &mut out));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = figure3
}
criterion_main!(benches);
