//! Decisions and numbers out of bytes. Where the bytes have ended there are zeros.

/// Bytes to be decided by.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'b>(pub &'b [u8]);

/// At the ends of the ranges, and where formulas change.
const HARD: [f64; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    3.4028234663852886e38,
    -3.4028234663852886e38,
    3.5e38,
    1.1754943508222875e-38,
    1e-45,
    1e-46,
    1e19,
    -1e19,
    1e9,
    1e-9,
    88.0,
    -709.0,
    1e154,
];

impl<'b> Bytes<'b> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next `n` bytes, or as many as there are.
    pub fn take(&mut self, n: usize) -> Bytes<'b> {
        let (first, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        Bytes(first)
    }

    /// One of `0..n`, for `n` up to 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// One of these.
    pub fn one_of<X: Copy>(&mut self, all: &[X]) -> X {
        all[self.below(all.len())]
    }

    /// True for one byte in eight, so that rare choices are rare.
    pub fn rarely(&mut self) -> bool {
        self.byte() >= 224
    }

    /// Eight bytes.
    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number: small, of any scale, hard, or of any bits.
    pub fn number(&mut self) -> f64 {
        let kind = self.byte();
        let small = |b: u8| f64::from(b as i8) / 16.0;
        match kind {
            0..160 => small(self.byte()) + f64::from(kind) / 4096.0,
            160..208 => small(self.byte()) * 2f64.powi(i32::from(self.byte() as i8) * 4),
            208..240 => HARD[self.below(HARD.len())],
            240..248 => f64::from_bits(self.word()),
            _ => f64::from(f32::from_bits(self.word() as u32)),
        }
    }

    /// A number that is finite as an `f32` too.
    pub fn finite(&mut self) -> f64 {
        let most = f64::from(f32::MAX);
        Some(self.number()).filter(|x| x.is_finite()).unwrap_or(0.5).clamp(-most, most)
    }
}
