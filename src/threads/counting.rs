//! A team for tests.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::ParallelFor;

/// Three threads by its own account; counts what it is handed.
pub(crate) struct Counting(pub AtomicUsize);

// SAFETY: each task once.
unsafe impl ParallelFor for Counting {
    fn threads(&self) -> usize {
        3
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.0.fetch_add(1, Ordering::Relaxed);
        (0..count).rev().for_each(task);
    }
}
