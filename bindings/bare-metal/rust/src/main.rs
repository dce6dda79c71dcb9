//! The sensor node of `anomaly.c` in Rust: the same stream, the same steps, the same parameters.
#![no_std]
#![no_main]

use relgrad::{Activation, Batch, Config, Optimizer, Result, Session, Sizes};
use semihosting::println;

// From the program that prints sizes.h.
include!(concat!(env!("SIZES"), "/sizes.rs"));
const DIM: usize = 8;
const BATCH: usize = 4;
const SPIKE_EVERY: usize = 97;

#[repr(C, align(64))]
struct Aligned<const N: usize>([u8; N]);

struct Stream {
    seed: i64,
    count: usize,
}

impl Stream {
    /// -32 to 31, from a 31-bit generator.
    fn uniform(&mut self) -> i32 {
        self.seed = self.seed * 16807 % 2147483647;
        (self.seed / 33554432) as i32 - 32
    }

    fn reading(&mut self, x: &mut [f32]) {
        let mut source = [0.0; DIM];
        for s in &mut source {
            *s = (self.uniform() + self.uniform() + self.uniform()) as f32 / 32.0;
        }
        source[0] = source[0] / 4.0 + if self.uniform() < 0 { -1.0 } else { 1.0 };
        for i in 0..DIM {
            x[i] = source[i] + source[(i + 1) % DIM] / 2.0 - source[(i + 3) % DIM] / 4.0;
        }
        self.count += 1;
        if self.count.is_multiple_of(SPIKE_EVERY) {
            x[self.count / SPIKE_EVERY % DIM] += 7.0;
        }
    }
}

fn run(params: &mut [f32], state: &mut [u8], workspace: &mut [u8]) -> Result<()> {
    let config = Config {
        activation: Activation::SmoothLeakyRelu { a: 0.3 },
        final_activation: false,
        optimizer: Optimizer::NATURAL,
        max_batch: BATCH,
        ..Config::new(DIM, 2)
    };
    let sizes = Sizes::of::<f32>(&config)?;
    assert!(sizes.params_len == PARAMS && sizes.state_bytes == STATE_BYTES);
    let mut session = Session::new(&config, state, workspace)?;
    session.start_orthogonal(params, 1)?;
    let mut stream = Stream { seed: 1, count: 0 };
    let mut running = 0.0;
    for _ in 0..1000 {
        let mut x = [0.0; BATCH * DIM];
        x.chunks_exact_mut(DIM).for_each(|row| stream.reading(row));
        let batch = Batch::new(&x, BATCH);
        let mut log_p = [0.0; BATCH];
        session.log_likelihood(params, &batch, &mut log_p)?;
        log_p.iter().for_each(|p| running += p);
        session.step(params, &batch, 0.03)?;
    }
    let hash =
        params.iter().fold(2166136261u32, |hash, p| (hash ^ p.to_bits()).wrapping_mul(16777619));
    println!("running log-likelihood {} nats, bits {:016X}", running as i32, running.to_bits());
    println!("parameters {hash:08X}");
    Ok(())
}

#[cortex_m_rt::entry]
fn main() -> ! {
    // Each is taken once: `entry` makes these references safely.
    static mut MODEL: [f32; PARAMS] = [0.0; PARAMS];
    static mut STATE: Aligned<STATE_BYTES> = Aligned([0; STATE_BYTES]);
    static mut WORKSPACE: Aligned<WORKSPACE_BYTES> = Aligned([0; WORKSPACE_BYTES]);
    match run(MODEL, &mut STATE.0, &mut WORKSPACE.0) {
        Ok(()) => semihosting::process::exit(0),
        Err(e) => {
            println!("{e}");
            semihosting::process::exit(1)
        }
    }
}
