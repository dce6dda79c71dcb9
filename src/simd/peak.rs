//! What the machine can do: arithmetic and traffic with nothing else, as a limit to judge by.

use crate::simd::{Kernel, Level, Real, Vector};
use core::hint::black_box;

/// Fused multiply-adds in enough independent chains to keep every unit busy; returns how many
/// floating-point operations that were.
pub fn multiply_add<T: Real>(level: Level, rounds: usize) -> f64 {
    let blocks = T::dispatch(level.resolve(), MultiplyAdd(rounds));
    2.0 * (blocks * T::LANES) as f64
}

/// Reads `x` once; returns its sum, so that it is read.
pub fn read<T: Real>(level: Level, x: &[T]) -> T {
    T::dispatch(level.resolve(), Read(x))
}

/// Reads and writes `x` once, in place.
pub fn update<T: Real>(level: Level, x: &mut [T]) {
    T::dispatch(level.resolve(), Update(x));
}

struct MultiplyAdd(usize);

impl<T: Real> Kernel<T> for MultiplyAdd {
    type Output = usize;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> usize {
        // As many chains as registers hold beside the factors, and more than the latency of
        // two units of any processor so far.
        if S::TILE.1 >= 4 { chains::<T, S, 20>(self.0) } else { chains::<T, S, 5>(self.0) }
    }
}

#[inline(always)]
fn chains<T: Real, S: Vector<T>, const N: usize>(rounds: usize) -> usize {
    // x = x / 2 + 1/2 stays at 1.
    let half = S::splat(black_box(T::from_f64(0.5)));
    let mut x = [S::splat(black_box(T::ONE)); N];
    for _ in 0..rounds {
        for x in &mut x {
            *x = x.fma(half, half);
        }
    }
    let sum = x.into_iter().fold(S::zero(), S::add);
    black_box(sum.sum());
    rounds * N
}

/// Blocks taken at a time.
const STRIDE: usize = 8;

struct Read<'a, T>(&'a [T]);

impl<T: Real> Kernel<T> for Read<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> T {
        let mut sums = [S::zero(); STRIDE];
        for chunk in self.0.chunks_exact(STRIDE * T::LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the chunk has `STRIDE` blocks.
                *sum = sum.add(unsafe { S::load(chunk.as_ptr().add(i * T::LANES)) });
            }
        }
        sums.into_iter().fold(S::zero(), S::add).sum()
    }
}

struct Update<'a, T>(&'a mut [T]);

impl<T: Real> Kernel<T> for Update<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let half = S::splat(black_box(T::from_f64(0.5)));
        for chunk in self.0.chunks_exact_mut(STRIDE * T::LANES) {
            for i in 0..STRIDE {
                // SAFETY: the chunk has `STRIDE` blocks.
                unsafe {
                    let p = chunk.as_mut_ptr().add(i * T::LANES);
                    S::load(p).fma(half, half).store(p);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loops_do_what_is_counted() {
        for level in Level::available() {
            assert!(multiply_add::<f32>(level, 10) >= 10.0 * 2.0 * 16.0 * 5.0);
            let mut x = [3.0f64; 2 * STRIDE * 8];
            assert_eq!(read(level, &x), 3.0 * x.len() as f64);
            update(level, &mut x);
            assert_eq!(x, [2.0; 2 * STRIDE * 8]);
        }
    }
}
