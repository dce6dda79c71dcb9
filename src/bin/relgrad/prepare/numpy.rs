//! The random numbers of numpy's `RandomState`, by which the published splits were made.

use rand_mt::Mt;

/// As `numpy.random.RandomState(seed)`.
pub struct RandomState(Mt);

impl RandomState {
    pub fn new(seed: u32) -> Self {
        RandomState(Mt::new(seed))
    }

    /// As `rand`: uniform on [0, 1), of 53 bits.
    pub fn uniform(&mut self) -> f64 {
        let (high, low) = (self.0.next_u32() >> 5, self.0.next_u32() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// Uniform on `0 ..= most`: the first number below a power of two that is small enough.
    fn interval(&mut self, most: u32) -> u32 {
        let mask = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let number = self.0.next_u32() & mask;
            if number <= most {
                return number;
            }
        }
    }

    /// `0 .. n` as `shuffle` leaves them.
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i as usize, self.interval(i) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What numpy itself gives.
    #[test]
    fn the_numbers_are_those_of_numpy() {
        let mut random = RandomState::new(42);
        let three = [0.3745401188473625, 0.9507143064099162, 0.7319939418114051];
        assert_eq!([(); 3].map(|()| random.uniform()), three);
        assert_eq!(RandomState::new(42).permutation(10), [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
        let mut random = RandomState::new(7);
        let order = random.permutation(1000);
        assert_eq!(order[..8], [778, 334, 271, 802, 216, 408, 812, 94]);
        assert_eq!(random.uniform(), 0.6387323162306459);
        assert_eq!(RandomState::new(1).permutation(1), [0]);
    }
}
