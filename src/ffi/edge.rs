//! The edge to C: no panic gets out, and why a call was refused is kept until it is asked for.

use super::constants::RELGRAD_OK;
use crate::status::{Error, Result};

/// The status of a result.
pub(super) fn code(result: &Result<()>) -> i32 {
    result.as_ref().map_or_else(|e| e.status as i32, |()| RELGRAD_OK)
}

/// The body of a call without a context, or on one that it may not write to: its error is kept for
/// the calling thread.
pub(super) fn call(f: impl FnOnce() -> Result<()>) -> i32 {
    let result = guarded(f);
    remember(result.err());
    code(&result)
}

/// Runs the body of an entry point, which must not let a panic out.
pub(super) fn guarded(f: impl FnOnce() -> Result<()>) -> Result<()> {
    #[cfg(feature = "std")]
    return hosted::guarded(f);
    #[cfg(not(feature = "std"))]
    f()
}

/// Runs what belongs to the caller: its panics are its own.
pub(super) fn outside<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(feature = "std")]
    return hosted::outside(f);
    #[cfg(not(feature = "std"))]
    f()
}

/// Keeps why this thread's last call without a context was refused. Without std there is nowhere
/// to keep it.
pub(super) fn remember(error: Option<Error>) {
    #[cfg(feature = "std")]
    hosted::LAST.set(error);
    #[cfg(not(feature = "std"))]
    let _ = error;
}

/// What [`remember`] kept.
pub(super) fn remembered() -> Option<Error> {
    #[cfg(feature = "std")]
    return hosted::LAST.get();
    #[cfg(not(feature = "std"))]
    None
}

#[cfg(feature = "std")]
mod hosted {
    use core::cell::Cell;
    use std::boxed::Box;
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
    use std::sync::Once;

    use crate::status::{Error, Result, Status, Value};

    std::thread_local! {
        pub static LAST: Cell<Option<Error>> = const { Cell::new(None) };
        /// Whether this thread is in code of ours, whose panics are caught: nothing of them is to
        /// appear on the host's standard error.
        static INSIDE: Cell<bool> = const { Cell::new(false) };
    }

    pub fn guarded(f: impl FnOnce() -> Result<()>) -> Result<()> {
        static QUIET: Once = Once::new();
        if !std::thread::panicking() {
            QUIET.call_once(|| {
                let others = take_hook();
                set_hook(Box::new(move |info| {
                    if !INSIDE.get() {
                        others(info);
                    }
                }));
            });
        }
        let internal =
            Error::new(Status::Internal, "relgrad", Value::None, "this is a defect: report it");
        within(true, || catch_unwind(AssertUnwindSafe(f))).unwrap_or(Err(internal))
    }

    pub fn outside<R>(f: impl FnOnce() -> R) -> R {
        within(false, f)
    }

    /// Runs `f` with `INSIDE` as said, and puts it back however `f` ends.
    fn within<R>(inside: bool, f: impl FnOnce() -> R) -> R {
        struct Back(bool);
        impl Drop for Back {
            fn drop(&mut self) {
                INSIDE.set(self.0);
            }
        }
        let _back = Back(INSIDE.replace(inside));
        f()
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

        /// Panics of this thread that reached the host's hook.
        static SEEN: AtomicU32 = AtomicU32::new(0);

        #[test]
        fn only_panics_of_others_are_told() {
            let me = std::thread::current().id();
            set_hook(Box::new(move |_| {
                SEEN.fetch_add(u32::from(std::thread::current().id() == me), Relaxed);
            }));
            // The hook of a caught panic goes in front of the host's at the first call.
            let refused = guarded(|| panic!("caught")).unwrap_err();
            assert_eq!(refused.status, Status::Internal);
            assert!(catch_unwind(|| outside(|| panic!("the host's"))).is_err());
            let _ = guarded(|| {
                assert!(catch_unwind(|| outside(|| panic!("the host's, in a callback"))).is_err());
                panic!("caught")
            });
            let _ = take_hook();
            assert_eq!(SEEN.load(Relaxed), 2);
        }
    }
}
