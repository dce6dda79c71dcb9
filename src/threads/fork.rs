//! Forked children: of all threads only the one that called fork goes on in them, so that work
//! handed to another would never be done.

use core::sync::atomic::{AtomicUsize, Ordering};

/// How many forks this process is away from the first that asked.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// A process, as threads see it that were started in it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Process(usize);

impl Process {
    /// The one that this runs in. What it costs is a load, where asking for the process's number
    /// would be a call of the system.
    pub fn current() -> Self {
        Process(FORKS.load(Ordering::Relaxed))
    }

    /// As [`current`](Self::current), for whoever wants to know later whether it still is that one.
    pub fn remember() -> Self {
        watch();
        Self::current()
    }

    /// Whether this still runs in it.
    pub fn is_current(self) -> bool {
        self == Self::current()
    }
}

/// Has forks counted from now on.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
))]
fn watch() {
    use core::ffi::c_int;

    type Handler = Option<unsafe extern "C" fn()>;
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
    }
    unsafe extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static WATCHED: std::sync::Once = std::sync::Once::new();
    // SAFETY: POSIX's function; the handler does nothing but add to an atomic. Without the memory
    // for it, forks go unseen.
    WATCHED.call_once(|| unsafe {
        pthread_atfork(None, None, Some(in_child));
    });
}

/// No other system that Rust's threads run on has forks.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
)))]
fn watch() {}
