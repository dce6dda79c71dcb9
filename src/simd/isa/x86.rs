//! What blocks of AVX2 and of AVX-512 do with the same instructions.

use core::arch::x86_64::*;

/// [`Vector::prefetch`](crate::simd::Vector::prefetch).
#[inline(always)]
pub(in crate::simd) fn prefetch<T>(p: *const T, first: bool) {
    // SAFETY: a hint; it reads nothing.
    unsafe {
        if first {
            _mm_prefetch::<_MM_HINT_T0>(p.cast())
        } else {
            _mm_prefetch::<_MM_HINT_T1>(p.cast())
        }
    }
}

/// Stores the first `n < 16` lanes of two halves, by powers of two. A masked store would hold up
/// loads of what lies behind it, the next row, as if it wrote there: some 16 cycles a row.
///
/// # Safety
/// As for [`store_partial`](crate::simd::Vector::store_partial); the processor must have AVX.
#[inline(always)]
pub(in crate::simd) unsafe fn store_first32(low: __m256, high: __m256, mut p: *mut f32, n: usize) {
    // SAFETY: in all `n` numbers, valid by contract.
    unsafe {
        let mut left = low;
        if n & 8 != 0 {
            _mm256_storeu_ps(p, left);
            (p, left) = (p.add(8), high);
        }
        let mut left4 = _mm256_castps256_ps128(left);
        if n & 4 != 0 {
            _mm_storeu_ps(p, left4);
            (p, left4) = (p.add(4), _mm256_extractf128_ps::<1>(left));
        }
        if n & 2 != 0 {
            _mm_storel_pd(p.cast(), _mm_castps_pd(left4));
            (p, left4) = (p.add(2), _mm_movehl_ps(left4, left4));
        }
        if n & 1 != 0 {
            _mm_store_ss(p, left4);
        }
    }
}

/// As [`store_first32`] for `n < 8`.
///
/// # Safety
/// As for [`store_first32`].
#[inline(always)]
pub(in crate::simd) unsafe fn store_first64(
    low: __m256d,
    high: __m256d,
    mut p: *mut f64,
    n: usize,
) {
    // SAFETY: in all `n` numbers, valid by contract.
    unsafe {
        let mut left = low;
        if n & 4 != 0 {
            _mm256_storeu_pd(p, left);
            (p, left) = (p.add(4), high);
        }
        let mut left2 = _mm256_castpd256_pd128(left);
        if n & 2 != 0 {
            _mm_storeu_pd(p, left2);
            (p, left2) = (p.add(2), _mm256_extractf128_pd::<1>(left));
        }
        if n & 1 != 0 {
            _mm_store_sd(p, left2);
        }
    }
}

/// Transposes 16 by 16 numbers in squares of 8; the halves of a line are written one after the
/// other.
///
/// # Safety
/// As for [`transpose`](crate::simd::Vector::transpose); the processor must have AVX.
#[inline(always)]
pub(in crate::simd) unsafe fn transpose32(
    row: impl Fn(usize) -> *const f32,
    to: *mut f32,
    ld: usize,
) {
    for (top, left) in [(0, 0), (8, 0), (0, 8), (8, 8)] {
        // SAFETY: by contract.
        unsafe {
            let mut x = [_mm256_setzero_ps(); 8];
            for i in 0..4 {
                // Rows 4 apart share a register, whose halves are then squares of 4 each.
                let half = |i: usize, j: usize| _mm_loadu_ps(row(top + i).add(left + j));
                for j in [0, 4] {
                    let low = _mm256_castps128_ps256(half(i, j));
                    x[i + j] = _mm256_insertf128_ps::<1>(low, half(i + 4, j));
                }
            }
            for j in [0, 4] {
                let low =
                    [_mm256_unpacklo_ps(x[j], x[j + 1]), _mm256_unpacklo_ps(x[j + 2], x[j + 3])];
                let high =
                    [_mm256_unpackhi_ps(x[j], x[j + 1]), _mm256_unpackhi_ps(x[j + 2], x[j + 3])];
                let columns = [
                    _mm256_shuffle_ps::<0b01_00_01_00>(low[0], low[1]),
                    _mm256_shuffle_ps::<0b11_10_11_10>(low[0], low[1]),
                    _mm256_shuffle_ps::<0b01_00_01_00>(high[0], high[1]),
                    _mm256_shuffle_ps::<0b11_10_11_10>(high[0], high[1]),
                ];
                for (c, column) in columns.into_iter().enumerate() {
                    _mm256_storeu_ps(to.add((left + j + c) * ld + top), column);
                }
            }
        }
    }
}

/// As [`transpose32`], 8 by 8.
///
/// # Safety
/// As for [`transpose32`].
#[inline(always)]
pub(in crate::simd) unsafe fn transpose64(
    row: impl Fn(usize) -> *const f64,
    to: *mut f64,
    ld: usize,
) {
    for (top, left) in [(0, 0), (4, 0), (0, 4), (4, 4)] {
        // SAFETY: by contract.
        unsafe {
            for j in [0, 2] {
                // Halves 2 rows apart.
                let half = |i: usize| _mm_loadu_pd(row(top + i).add(left + j));
                let pair = |i: usize| {
                    _mm256_insertf128_pd::<1>(_mm256_castpd128_pd256(half(i)), half(i + 2))
                };
                let (even, odd) = (pair(0), pair(1));
                let to = to.add((left + j) * ld + top);
                _mm256_storeu_pd(to, _mm256_unpacklo_pd(even, odd));
                _mm256_storeu_pd(to.add(ld), _mm256_unpackhi_pd(even, odd));
            }
        }
    }
}
