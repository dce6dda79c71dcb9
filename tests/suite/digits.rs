//! The digits, L = 2, a = 0.01, natural from a whitened start: well past the full-covariance
//! Gaussian (-65.30), at which relative gradients from an orthogonal start stop.

use crate::common::emulated;
use relgrad::hosted::{Data, GaussianBaseline};
use relgrad::*;

fn read(name: &str) -> Data<f32> {
    Data::read(format!("{}/tests/data/{name}.npy", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn natural_leaves_the_gaussian_trap() {
    let (train, test) = (read("digits_train"), read("digits_test"));
    let gaussian = GaussianBaseline::fit(&train, 1e-6).unwrap().mean_log_likelihood(&test);
    println!("full-covariance Gaussian: {gaussian:.3}");
    assert!((gaussian + 65.302).abs() < 0.005);

    let config = Config {
        activation: Activation::SmoothLeakyRelu { a: 0.01 },
        optimizer: Optimizer::NATURAL,
        max_batch: 10,
        final_activation: false,
        ..Config::new(64, 2)
    };
    let total = Trainer::steps_of(train.values(), &config, 60);
    let schedule = Schedule { rate: 0.03, warmup: 100, decay: Decay::Cosine { total } };
    let (seeds, least) = if emulated() { (1, 1) } else { (5, 4) };
    let good = (1..=seeds).filter(|&seed| {
        let model = Model::from_data(config, train.values(), Start::Whitened, seed).unwrap();
        let mut trainer = Trainer::new(model, schedule, seed).unwrap();
        for _ in 0..60 {
            trainer.epoch(train.values(), |_| true).unwrap();
        }
        let mut model = trainer.model;
        let mean = model.mean_log_likelihood(test.values()).unwrap();
        let share = model.bending_share(train.values()).unwrap();
        println!("seed {seed}: test {mean:.3}, {:.0} % of the units bend", 100.0 * share);
        mean >= -61.5 && share > 0.9
    });
    assert!(good.count() >= least);
}
