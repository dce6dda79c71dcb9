//! Learns a noisy parabola, scores two points, samples, and hashes the parameters.

use relgrad::{Config, Model, Optimizer, Start};

fn main() -> relgrad::Result<()> {
    let mut seed = 1u64;
    // 0 to 1023, from a 31-bit generator.
    let mut uniform = || {
        seed = seed * 16807 % 2147483647;
        (seed / 2097152) as f32
    };
    let data: Vec<f32> = (0..2000)
        .flat_map(|_| {
            let t = (uniform() - 512.0) / 256.0;
            [t, t * t + (uniform() + uniform() - 1024.0) / 1024.0]
        })
        .collect();

    let config = Config { optimizer: Optimizer::NATURAL, max_batch: 20, ..Config::new(2, 4) };
    let mut model = Model::from_data(config, &data, Start::Whitened, 1)?;
    for _ in 0..20 {
        for batch in data.chunks(2 * 20) {
            model.step(batch, 0.05)?;
        }
    }
    model.refresh()?;

    println!("mean log-likelihood {:8.4}", model.mean_log_likelihood(&data)?);
    let log_p = model.log_likelihood(&[1.0, 1.0, 1.0, 3.0])?;
    println!("log-density on the curve {:8.4}, off it {:8.4}", log_p[0], log_p[1]);
    let sample = model.sample(1, 7)?;
    println!("a sample {:8.4} {:8.4}", sample[0], sample[1]);

    let hash = model
        .params()
        .iter()
        .fold(2166136261u32, |hash, p| (hash ^ p.to_bits()).wrapping_mul(16777619));
    println!("parameters {hash:08X}");
    Ok(())
}
