//! Matrix products: the kernels, and above them the choice of one for each rank update. See
//! [`plan::product`](crate::plan::product).

pub(super) mod contiguous;
pub(super) mod epilogue;
pub(crate) mod matrix;
pub(super) mod nn;
pub(super) mod nt;
pub(super) mod staggered;

use self::epilogue::{Epilogue, Subtract};
use self::matrix::{Mat, MatMut};
use self::nn::Lhs;
use crate::plan::product::{self, RowStarts, Update, UpdateShape};
use crate::simd::Real;
use crate::threads::parallel::Exec;

/// `out = out - A^T X`.
pub(crate) fn subtract_transposed<T: Real>(exec: Exec, a: Mat<T>, x: Mat<T>, out: MatMut<T>) {
    rank_update(exec, a, x, &Subtract(out));
}

/// `sink = A^T P` tile by tile: the rank-B update, one chain over the B rows in order. Returns
/// the largest magnitude that the sink reports, rounded up to 20 bits.
pub(crate) fn rank_update<T: Real, K: Epilogue<T>>(
    exec: Exec,
    a: Mat<T>,
    p: Mat<T>,
    sink: &K,
) -> f64 {
    assert!(a.rows == p.rows && sink.shape() == (a.cols, p.cols));
    // Elsewhere the other kernels are not even compiled.
    if const { may_run_over_rows::<T, K>() } {
        match product::update(&shape(p, sink)) {
            Update::Contiguous => return contiguous::run(exec, a, p, sink),
            Update::Staggered if const { K::STREAMS >= 2 } => {
                return staggered::run(exec, a, p, sink);
            }
            _ => {}
        }
    }
    nn::run(exec, Lhs::columns(a), p, sink)
}

/// Whether vectors may run over the ends of rows: where matrices are read and there are wide
/// registers.
const fn may_run_over_rows<T: Real, K: Epilogue<T>>() -> bool {
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
        && K::STREAMS >= 1
        && !K::NEGATE
        && !core::mem::needs_drop::<K>()
}

/// What the kernel of an update with the rows of `x` is chosen by.
pub(in crate::simd) fn shape<T: Real, K: Epilogue<T>>(x: Mat<T>, sink: &K) -> UpdateShape {
    let starts = match sink.start_without_gaps() {
        None => RowStarts::Gaps,
        Some(at) if x.cols.is_multiple_of(T::LANES) && at.align_offset(64) == 0 => RowStarts::Lines,
        Some(_) => RowStarts::Anywhere,
    };
    UpdateShape {
        rows: sink.shape().0,
        whole_vector: x.cols >= T::LANES,
        terms: x.rows,
        streams: sink.streams(),
        bytes: sink.reads(),
        starts,
    }
}
