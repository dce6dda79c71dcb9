//! Signals that end a run: Ctrl-C (SIGINT), SIGTERM and SIGHUP. The first asks it to save and
//! stop, the second stops it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Failure, exit_code};

pub struct Signals {
    /// The last signal, 0 before the first.
    last: Arc<AtomicUsize>,
    /// Whether the next signal stops the process at once.
    armed: Arc<AtomicBool>,
    /// Whether SIGHUP does too. While a run saves itself it does not: a terminal that closes
    /// may send it twice, itself and by its shell.
    hangup_armed: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Result<Self, Failure> {
        let (armed, hangup_armed) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let signals = Signals { last: Arc::default(), armed, hangup_armed };
        for signal in [SIGINT, SIGTERM] {
            signals.on(signal, &signals.armed)?;
        }
        // `nohup` says that a terminal's end is not to end the run.
        #[cfg(unix)]
        if !crate::process::ignores(SIGHUP) {
            signals.on(SIGHUP, &signals.hangup_armed)?;
        }
        Ok(signals)
    }

    fn on(&self, signal: i32, armed: &Arc<AtomicBool>) -> Result<(), Failure> {
        // In this order: the first signal finds nothing armed.
        let code = exit_code(signal).into();
        flag::register_conditional_shutdown(signal, code, armed.clone())?;
        flag::register_usize(signal, self.last.clone(), signal as usize)?;
        flag::register(signal, self.armed.clone())?;
        Ok(())
    }

    /// The signal that asked the run to stop.
    pub fn received(&self) -> Option<i32> {
        Some(self.last.load(Ordering::Relaxed) as i32).filter(|signal| *signal != 0)
    }

    /// Any further signal stops the process at once: nothing is left to be saved.
    pub fn let_go(&self) {
        self.armed.store(true, Ordering::Relaxed);
        self.hangup_armed.store(true, Ordering::Relaxed);
    }
}
