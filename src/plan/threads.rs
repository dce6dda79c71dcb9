//! When threads pay: work is counted in fused multiply-adds of a vector.
//!
//! | work | what becomes of it |
//! |---|---|
//! | below 20,000 (some microseconds) | stays on the calling thread |
//! | 20,000 to 8,000,000 (2 ms) | in parts of at least 10,000; a [`Pool`](crate::Pool) times whole calls and leaves them to one thread where that is faster |
//! | above | in parts, always: to try one thread, or to be mistaken for a while because others were busy, would cost more than it brings |
//!
//! How the work is cut never changes a bit.

/// Work below this stays on one thread, and no part is below half of it.
pub(crate) const LEAST_WORK: usize = 20_000;

/// Calls of this much work are for all threads.
const MOST_WORK: usize = 8_000_000;

/// About how many multiply-adds an update costs besides its products.
const UPDATE: usize = 16;

/// Parts a thread, so that one that is held up does not hold up the others.
const PARTS: usize = 4;

/// About how many multiply-adds a nonlinearity or a density costs.
pub(crate) const CURVE: usize = 40;

/// In passes through lanes, vectors of samples that a thread takes at least, features that it takes
/// at least where samples are summed, and vectors that go through all layers before the next.
pub(crate) const LANES_GRAIN: usize = 2;
pub(crate) const LANES_FEATURES: usize = 8;
pub(crate) const LANES_BAND: usize = 8;

/// There, what one thread has written the others read in the pass after: a share of work must be so
/// many times larger than elsewhere.
pub(crate) const LANES_TIGHT: usize = 3;

/// The most parts that so much work is cut into.
pub(crate) fn parts(work: usize, threads: usize) -> usize {
    if threads > 1 { usize::min(PARTS * threads, work / (LEAST_WORK / 2)).max(1) } else { 1 }
}

/// One part for each thread that so much work pays for.
pub(crate) fn shares(work: usize, threads: usize) -> usize {
    usize::min(threads, work / (LEAST_WORK / 2)).max(1)
}

/// Whether a team may time a call on `rows` samples and weights of so many vectors, to choose
/// between one thread and all.
pub(crate) fn may_choose(rows: usize, blocks: usize) -> bool {
    let terms = rows.saturating_mul(2).saturating_add(UPDATE);
    (LEAST_WORK..MOST_WORK).contains(&terms.saturating_mul(blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_work_stays_together_and_large_work_is_cut() {
        assert_eq!((parts(9_999, 8), parts(20_000, 8), parts(1 << 30, 8)), (1, 2, 32));
        assert_eq!((parts(1 << 30, 1), shares(1 << 30, 8), shares(5, 8)), (1, 8, 1));
        // Two layers of 64, 128 and 784 features in f32, 10 rows; 784 features, 100 rows.
        let blocks = |dim: usize| 2 * dim * dim.div_ceil(16);
        assert!(!may_choose(10, blocks(64)) || blocks(64) * 36 >= LEAST_WORK);
        assert!(may_choose(10, blocks(128)) && may_choose(10, blocks(784)));
        assert!(!may_choose(100, blocks(784)));
    }
}
