//! The paper's figure 3: the cost of a gradient against D, of the relative gradient, the
//! ordinary one, and of one that forms the Jacobian. `relgrad reproduce fig3`
//! draws it; this finds out whether one of them has become faster or slower.

#[path = "../../src/bin/relgrad/reproduce/gradients/mod.rs"]
mod gradients;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use gradients::{Method, Ready, disagreement};

const BATCH: usize = 10;

fn figure3(criterion: &mut Criterion) {
    let difference = disagreement().expect("two gradients");
    assert!(difference < 1e-4, "exact gradients differ by {difference}");
    let mut group = criterion.benchmark_group("figure3");
    let methods = [(Method::Relative, 1024), (Method::Ordinary, 512), (Method::Jacobian, 256)];
    for (method, largest) in methods {
        for dim in [16, 32, 64, 128, 256, 512, 1024].into_iter().filter(|d| *d <= largest) {
            let ready = Ready::new(method, dim, BATCH).expect("a valid configuration");
            let mut ready = ready.on(None);
            group.bench_function(BenchmarkId::new(method.name(), dim), |b| {
                b.iter(|| ready.compute().map(drop));
            });
        }
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
