//! Numbers that tasks share. Processors without atomic read-modify-write (Cortex-M0, RISC-V
//! without the A extension) run all tasks on one thread, where a load and a store are enough.

/// Whether tasks may run on several threads.
pub(crate) const SHARED: bool = cfg!(target_has_atomic = "32");

#[cfg(target_has_atomic = "32")]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicUsize};

#[cfg(not(target_has_atomic = "32"))]
pub(crate) use one_thread::{AtomicU32, AtomicUsize};

#[cfg(not(target_has_atomic = "32"))]
mod one_thread {
    use core::sync::atomic::{self, Ordering};

    macro_rules! counter {
        ($name:ident, $int:ty) => {
            /// What is used of the type of that name in `core`.
            pub(crate) struct $name(atomic::$name);

            #[allow(dead_code)]
            impl $name {
                pub const fn new(value: $int) -> Self {
                    $name(atomic::$name::new(value))
                }
                pub fn load(&self, order: Ordering) -> $int {
                    self.0.load(order)
                }
                pub fn into_inner(self) -> $int {
                    self.0.into_inner()
                }
                pub fn fetch_add(&self, value: $int, _: Ordering) -> $int {
                    self.replace(|old| old.wrapping_add(value))
                }
                pub fn fetch_or(&self, value: $int, _: Ordering) -> $int {
                    self.replace(|old| old | value)
                }
                pub fn fetch_min(&self, value: $int, _: Ordering) -> $int {
                    self.replace(|old| old.min(value))
                }
                pub fn fetch_max(&self, value: $int, _: Ordering) -> $int {
                    self.replace(|old| old.max(value))
                }
                fn replace(&self, by: impl FnOnce($int) -> $int) -> $int {
                    let old = self.0.load(Ordering::Relaxed);
                    self.0.store(by(old), Ordering::Relaxed);
                    old
                }
            }
        };
    }

    counter!(AtomicU32, u32);
    counter!(AtomicUsize, usize);
}
