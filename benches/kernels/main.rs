//! The products of a step by themselves, on each instruction set, beside `matrixmultiply` and
//! `gemm`.

mod rivals;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use relgrad::{Level, measure};
use rivals::Product;

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.618).fract() - 0.5).collect()
}

/// Portable code without hardware FMA is a hundred times slower: one size of it is enough.
fn levels(dim: usize, batch: usize) -> impl Iterator<Item = Level> {
    Level::available().filter(move |l| *l != Level::Scalar || (dim, batch) == (256, 10))
}

/// Square weights of `dim`, `batch` rows; each size of one product is a group.
fn each_size(
    criterion: &mut Criterion,
    product: &str,
    bench: impl Fn(&mut BenchmarkGroup<WallTime>, usize, usize),
) {
    for dim in [256, 784, 2048] {
        for batch in [1, 10, 100] {
            let mut group = criterion.benchmark_group(format!("{product}/D{dim}/B{batch}"));
            // "Elements" are flops.
            group.throughput(Throughput::Elements((2 * batch * dim * dim) as u64));
            bench(&mut group, dim, batch);
            group.finish();
        }
    }
}

fn rivals(group: &mut BenchmarkGroup<WallTime>, product: &Product, out: &mut [f32]) {
    group.bench_function("matrixmultiply", |b| b.iter(|| product.matrixmultiply(out)));
    group.bench_function("gemm", |b| b.iter(|| product.gemm(out)));
}

fn by_level(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    (dim, batch): (usize, usize),
    mut run: impl FnMut(Level),
) {
    for level in levels(dim, batch) {
        let id = BenchmarkId::new(name, level.name());
        group.bench_function(id, |b| b.iter(|| run(level)));
    }
}

/// `Y = Z W^T`.
fn forward(criterion: &mut Criterion) {
    each_size(criterion, "forward", |group, d, b| {
        let (z, w, mut y) = (numbers(b * d), numbers(d * d), numbers(b * d));
        by_level(group, "relgrad", (d, b), |level| measure::dots(level, b, d, &z, &w, &mut y));
        let (a, w) = ((&z[..], [d, 1]), (&w[..], [1, d]));
        rivals(group, &Product { shape: [b, d, d], a, b: w, alpha: 1.0, beta: 0.0 }, &mut y);
    });
}

/// `P = C W`; and with `U = Delta W` in the same sweep, which is twice the flops.
fn backward(criterion: &mut Criterion) {
    each_size(criterion, "backward", |group, d, b| {
        let (c, w, mut p) = (numbers(b * d), numbers(d * d), numbers(b * d));
        let mut u = numbers(b * d);
        let size = (d, b);
        by_level(group, "relgrad", size, |level| measure::multiply(level, b, d, &c, &w, &mut p));
        by_level(group, "relgrad both", size, |level| {
            measure::multiply_both(level, b, d, [&c, &c], &w, [&mut p, &mut u]);
        });
        let (a, w) = ((&c[..], [d, 1]), (&w[..], [d, 1]));
        rivals(group, &Product { shape: [b, d, d], a, b: w, alpha: 1.0, beta: 0.0 }, &mut p);
    });
}

/// `W = W + A^T P` in place, and with Adam in the same sweep.
fn update(criterion: &mut Criterion) {
    each_size(criterion, "update", |group, d, b| {
        let (a, p) = (numbers(b * d), numbers(b * d));
        let mut w = numbers(d * d);
        let [mut m, mut v] = [vec![0.0; d * d], vec![1.0; d * d]];
        // Small, so that W stays where it is over a million updates.
        let (small, size): (Vec<f32>, _) = (a.iter().map(|a| 1e-9 * a).collect(), (d, b));
        let ones = vec![1.0; d];
        by_level(group, "relgrad", size, |level| {
            measure::update(level, b, &small, &p, &ones, &mut w);
        });
        by_level(group, "relgrad adam", size, |level| {
            measure::update_adam(level, b, &a, &p, &ones, [&mut w, &mut m, &mut v]);
        });
        let (a, p) = ((&small[..], [1, d]), (&p[..], [d, 1]));
        rivals(group, &Product { shape: [d, b, d], a, b: p, alpha: 1.0, beta: 1.0 }, &mut w);
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = forward, backward, update
}
criterion_main!(benches);
