//! Sequences of calls through the C ABI, as the bytes say. Each runs in two worlds, one on the best
//! instruction set and one in portable code on a parallel_for that runs its tasks backwards: both must
//! come to the same bits. What a call is refused changes nothing; what it grants is finite.

mod double;
#[allow(clippy::duplicate_mod)]
mod single;

use relgrad::ffi::*;
use relgrad::{Condition, Config};

use crate::Seeds;
use crate::bytes::Bytes;
use crate::random::Random;

/// The first byte chooses the type.
pub fn calls(input: &[u8]) {
    let mut b = Bytes(input);
    match b.byte() & 1 {
        0 => single::run::run(b),
        _ => double::run::run(b),
    }
}

/// Numbers that each row's condition has.
pub fn condition_width(config: &Config) -> usize {
    match config.condition {
        Condition::None => 0,
        Condition::Numbers { width } => width as usize,
        _ => 1,
    }
}

/// Bytes that say what a model is.
const CONFIG: usize = 32;
/// Bytes that say what a call is.
const CALL: usize = 24;
/// Kinds of calls.
const KINDS: u8 = 22;
/// Calls of one input.
const MOST_CALLS: usize = 48;

/// A configuration, mostly a good one.
fn config(b: &mut Bytes) -> relgrad_config {
    let mut b = b.take(CONFIG);
    let (dim, layers) = (b.one_of(&[2, 1, 3, 2, 4, 7, 17, 20]), b.one_of(&[2, 1, 3]));
    // SAFETY: every field may be zero.
    let mut c: relgrad_config = unsafe { std::mem::zeroed() };
    c.struct_size = size_of::<relgrad_config>() as u32;
    // SAFETY: a structure of its size.
    let status = unsafe { relgrad_config_default(&mut c, dim, layers) };
    assert_eq!(status, RELGRAD_OK);
    c.max_batch = b.one_of(&[4, 1, 2, 9, 24]);
    c.activation = b.one_of(&[3, 0, 1, 2, 3, 4]);
    (c.activation_a, c.activation_b) = match c.activation {
        0 => (b.one_of(&[0.3, 0.01, 1e-6, 0.999999]), 0.0),
        1 => (b.one_of(&[1.0, 1e-6, 1e6]), b.one_of(&[0.5, 1e-6, 1e6])),
        3 => (b.one_of(&[4.0, 1.0, 2.0, 16.0]), 0.0),
        _ => (0.0, 0.0),
    };
    let flags = b.byte();
    c.final_activation = u32::from(flags & 1);
    c.input_transform = u32::from(flags >> 1 & 1);
    c.track_inverse = u32::from(flags >> 2 & 1);
    c.report_norms = u32::from(flags >> 3 & 1);
    c.crossing = u32::from(flags >> 4 & 1);
    c.log_det = u32::from(flags >> 5 & 1);
    c.base = b.one_of(&[0, 0, 1, 2, 3]);
    c.bias = b.one_of(&[1, 0, 2, 3]);
    c.optimizer = b.one_of(&[1, 0, 2]);
    c.gradient = b.one_of(&[0, 0, 0, 1, 2]);
    c.momentum = b.one_of(&[0.0, 0.0, 0.9]);
    if b.rarely() {
        (c.beta1, c.beta2, c.epsilon) = (b.finite(), b.finite(), b.finite());
        (c.decay, c.damping, c.clip) = (b.finite(), b.finite(), b.finite());
    }
    c.condition = b.one_of(&[0, 0, 0, 1, 2]);
    if c.condition > 0 {
        c.condition_len = b.one_of(&[2, 1, 3]);
        c.conditioned = b.one_of(&[2, 0, 1]);
    }
    if b.rarely() {
        c.curve_rate = b.number();
    }
    if b.rarely() {
        c.condition_rate = b.number();
    }
    if b.rarely() {
        c.struct_size = u32::from(b.byte()) * 4;
    }
    c
}

/// What a caller may do wrong with a buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Odd {
    No,
    Null,
    /// Shorter by so much.
    Less(usize),
    Misaligned,
    /// An output in the place of the parameters.
    OnParams,
}

impl Odd {
    fn of(b: &mut Bytes) -> Odd {
        match b.byte() {
            0..232 => Odd::No,
            232..238 => Odd::Null,
            238..242 => Odd::Misaligned,
            242..246 => Odd::OnParams,
            n => Odd::Less(usize::from(n - 245)),
        }
    }

    fn ptr<X>(self, p: *mut X) -> *mut X {
        match self {
            Odd::Null => std::ptr::null_mut(),
            Odd::Misaligned => p.wrapping_byte_add(1),
            _ => p,
        }
    }

    fn len(self, len: usize) -> usize {
        match self {
            Odd::Less(less) => len.saturating_sub(less),
            // Within the memory that there is.
            Odd::Misaligned => len.saturating_sub(1),
            _ => len,
        }
    }
}

pub fn seeds() -> Seeds {
    let model = |choices: &[u8]| {
        let mut all = choices.to_vec();
        all.resize(CONFIG, 0);
        all
    };
    let models = [
        ("mixture_adam", model(&[])),
        ("leaky_natural", model(&[2, 0, 0, 1, 0, 2, 0, 1, 2])),
        ("linear_sgd", model(&[0, 1, 3, 3, 0b101, 0, 0, 1])),
        ("conditioned", model(&[0, 0, 0, 1, 0, 1, 0, 0, 2, 0, 0, 0, 3, 0, 0])),
    ];
    let mut random = Random(3);
    let mut seeds = Seeds::new();
    for (name, model) in models {
        for double in 0..2u8 {
            let mut input = [&[double][..], &model].concat();
            // A start, then each kind of call once, in some order.
            let mut codes: Vec<u8> = (1..KINDS).collect();
            (0..codes.len()).for_each(|i| codes.swap(i, random.below(i + 1)));
            for code in [0].into_iter().chain(codes) {
                let call = [code, 0, 0, random.word() as u8, 5, 20, 3];
                input.extend(call.into_iter().chain([0; CALL - 7]));
            }
            seeds.push((format!("{name}_{}", 32 << double), input));
        }
    }
    seeds
}
