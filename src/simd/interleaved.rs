//! Several blocks side by side, for functions that are one long chain of operations.

use crate::simd::{Arithmetic, Real, Vector};

/// `N` blocks whose operations alternate, so that each chain runs in the others' waits. A
/// processor's own look ahead does not reach from the end of one chain to the next.
#[derive(Clone, Copy)]
pub(crate) struct Interleaved<S, const N: usize>(pub [S; N]);

/// Runs the body for `count` blocks by groups: `N` blocks, a constant, from block `i` on. Where
/// groups do not pay (`pays`, a constant; see [`Vector::INTERLEAVE`]) each is one block.
macro_rules! for_interleaved {
    ($pays:expr, $count:expr, |$i:ident, $N:ident| $body:block) => {{
        let (mut $i, count) = (0, $count);
        if const { $pays } {
            while $i + 4 <= count {
                const $N: usize = 4;
                $body
                $i += $N;
            }
            while $i + 2 <= count {
                const $N: usize = 2;
                $body
                $i += $N;
            }
        }
        while $i < count {
            const $N: usize = 1;
            $body
            $i += $N;
        }
    }};
}
pub(super) use for_interleaved;

impl<S, const N: usize> Interleaved<S, N> {
    /// The blocks at `at(0)`, `at(1)` and so on, `n` lanes of each; see [`Vector::load_n`].
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    pub(super) unsafe fn load<T: Real>(at: impl Fn(usize) -> *const T, n: usize) -> Self
    where
        S: Vector<T>,
    {
        let mut blocks = [S::zero(); N];
        for g in 0..N {
            // SAFETY: by contract.
            blocks[g] = unsafe { S::load_n(at(g), n) };
        }
        Interleaved(blocks)
    }

    /// The inverse of [`Interleaved::load`].
    ///
    /// # Safety
    /// As there, and no other thread has them.
    #[inline(always)]
    pub(super) unsafe fn store<T: Real>(self, at: impl Fn(usize) -> *mut T, n: usize)
    where
        S: Vector<T>,
    {
        for g in 0..N {
            // SAFETY: by contract.
            unsafe { self.0[g].store_n(at(g), n) };
        }
    }
}

/// Operations of blocks, on every block of a group.
macro_rules! on_each {
    ($($f:ident($($o:ident),*);)*) => {
        $(#[inline(always)]
        fn $f(self $(, $o: Self)*) -> Self {
            let mut out = self;
            for g in 0..N {
                out.0[g] = self.0[g].$f($($o.0[g]),*);
            }
            out
        })*
    };
}

impl<T: Real, S: Arithmetic<T>, const N: usize> Arithmetic<T> for Interleaved<S, N> {
    on_each! {
        add(o);
        sub(o);
        mul(o);
        div(o);
        fma(b, c);
        sqrt();
        abs();
        neg();
        copysign(o);
        round();
        pow2();
        min(o);
        max(o);
    }

    #[inline(always)]
    fn splat(x: T) -> Self {
        Interleaved([S::splat(x); N])
    }
    #[inline(always)]
    fn select_lt(a: Self, b: Self, x: Self, y: Self) -> Self {
        let mut out = y;
        for g in 0..N {
            out.0[g] = S::select_lt(a.0[g], b.0[g], x.0[g], y.0[g]);
        }
        out
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let (mut mantissa, mut exponent) = (self, self);
        for g in 0..N {
            (mantissa.0[g], exponent.0[g]) = self.0[g].split();
        }
        (mantissa, exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Level};
    use std::vec::Vec;

    /// What every operation makes of `x`, `y` and `z`.
    fn all<T: Real, A: Arithmetic<T>>(x: A, y: A, z: A) -> [A; 17] {
        let (mantissa, exponent) = x.abs().max(A::splat(T::ONE)).split();
        let small = y.min(A::splat(T::from_f64(20.0))).max(A::splat(T::from_f64(-20.0)));
        [
            x.add(y),
            x.sub(y),
            x.mul(y),
            x.div(y),
            x.fma(y, z),
            x.abs().sqrt(),
            x.abs(),
            x.neg(),
            x.copysign(y),
            A::select_lt(x, y, y, z),
            x.round(),
            small.round().pow2(),
            mantissa,
            exponent,
            x.min(y),
            x.max(y),
            A::zero(),
        ]
    }

    struct Both<'a, T>(&'a [T], &'a mut Vec<(u64, u64)>);
    impl<T: Real> Kernel<T> for Both<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            let at = |g: usize| self.0[g * T::LANES..].as_ptr();
            // SAFETY: there are twelve blocks.
            let [x, y, z] = unsafe {
                [0, 4, 8].map(|from| Interleaved::<S, 4>::load(|g| at(from + g), T::LANES))
            };
            let together = all(x, y, z);
            for g in 0..4 {
                let alone = all(x.0[g], y.0[g], z.0[g]);
                for (a, b) in together.iter().zip(&alone) {
                    let (a, b) = (a.0[g].to_array(), b.to_array());
                    let bits = a.as_ref().iter().zip(b.as_ref());
                    self.1.extend(bits.map(|(a, b)| (a.to_bits64(), b.to_bits64())));
                }
            }
        }
    }

    fn check<T: Real>() {
        let numbers = (0..12 * T::LANES).map(|i| T::from_f64((i * 37 % 101) as f64 * 0.37 - 18.0));
        let numbers: Vec<T> = numbers.collect();
        for level in Level::available() {
            let mut bits = Vec::new();
            T::dispatch(level, Both(&numbers, &mut bits));
            assert_eq!(bits.len(), 4 * 17 * T::LANES);
            assert!(bits.iter().all(|(together, alone)| together == alone), "{level:?}");
        }
    }

    #[test]
    fn blocks_in_a_group_are_each_as_alone() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn groups_cover_every_block_once() {
        struct Count(usize);
        impl Kernel<f32> for Count {
            type Output = Vec<usize>;
            #[inline(always)]
            fn run<S: Vector<f32>>(self) -> Vec<usize> {
                let mut seen = Vec::new();
                for_interleaved!(S::INTERLEAVE, self.0, |i, N| { seen.extend(i..i + N) });
                seen
            }
        }
        for level in Level::available() {
            for count in 0..20 {
                let seen = f32::dispatch(level, Count(count));
                assert_eq!(seen, (0..count).collect::<Vec<_>>(), "{level:?}");
            }
        }
    }
}
