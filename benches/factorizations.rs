//! What is cubic: the orthogonal start, LU, inverses, on one and on two threads.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use relgrad::{
    Aligned, AlignedBytes, Batch, Config, Gradient, Optimizer, Pool, Scalar, Session, Sizes,
};

/// Adds the cases of one size to `call/dtype/D/threads`; "elements" are flops.
fn cases<T: Scalar>(criterion: &mut Criterion, dim: usize, threads: usize) {
    let (gradient, optimizer) = (Gradient::Ordinary, Optimizer::SGD);
    let config = Config { gradient, optimizer, max_batch: 1, ..Config::new(dim, 1) };
    let sizes = Sizes::of::<T>(&config).expect("a valid configuration");
    let mut params = Aligned::<T>::new(sizes.params_len);
    let mut state = AlignedBytes::new(sizes.state_bytes);
    let mut workspace = AlignedBytes::new(sizes.workspace_bytes);
    let mut scratch = AlignedBytes::new(sizes.refresh_bytes);
    let mut factors = AlignedBytes::new(sizes.factorization_bytes);
    let mut out = Aligned::<T>::new(sizes.gradient_len);
    let pool = Pool::new(threads).expect("threads");
    let mut session =
        Session::new(&config, &mut state, &mut workspace).expect("memory of the right size");
    session.set_parallel(Some(&pool));
    session.start_orthogonal(&mut params, 1).expect("a start");

    let id = |name| BenchmarkId::new(name, format!("f{}/D{dim}/T{threads}", T::BITS));
    let cube = (dim * dim * dim) as u64;
    let mut group = criterion.benchmark_group("factorizations");
    // Gram-Schmidt twice, and D^2 normal numbers.
    group.throughput(Throughput::Elements(4 * cube));
    group.bench_function(id("orthogonal_start"), |b| {
        b.iter(|| session.start_orthogonal(&mut params, 1).expect("a start"));
    });
    group.throughput(Throughput::Elements(2 * cube / 3));
    group.bench_function(id("lu"), |b| {
        b.iter(|| session.factorize(&params, &mut factors).expect("a regular weight"));
    });
    group.bench_function(id("refresh"), |b| {
        b.iter(|| session.refresh(&params, &mut scratch).expect("a regular weight"));
    });
    group.throughput(Throughput::Elements(2 * cube));
    let x = vec![T::ONE; dim];
    group.bench_function(id("ordinary_gradient"), |b| {
        b.iter(|| session.gradient(&params, &Batch::new(&x, 1), &mut out).expect("a gradient"));
    });
    group.finish();
}

fn factorizations(criterion: &mut Criterion) {
    for threads in [1, 2] {
        for dim in [784, 2048] {
            cases::<f32>(criterion, dim, threads);
        }
        cases::<f64>(criterion, 784, threads);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2));
    targets = factorizations
}
criterion_main!(benches);
