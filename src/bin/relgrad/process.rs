//! What the system says of this process and this machine; `None` where it says nothing.

use std::fs;

/// Seconds of processor time, of the whole machine and of this process, since they started.
pub struct CpuTime {
    machine: f64,
    own: f64,
}

/// `/proc` counts in hundredths of a second.
const TICKS: f64 = 100.0;

impl CpuTime {
    pub fn now() -> Option<CpuTime> {
        let field = |text: &str| text.parse::<f64>().ok();
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let machine: Vec<f64> =
            stat.lines().next()?.split_whitespace().skip(1).map_while(field).collect();
        // user, nice, system, (idle, iowait,) irq, softirq, steal
        let busy: f64 = machine.get(..3)?.iter().chain(machine.get(5..8)?).sum();
        // The name in parentheses may hold spaces; utime and stime are the 14th and 15th fields.
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        let own: Vec<&str> = own.rsplit_once(')')?.1.split_whitespace().collect();
        let own = field(own.get(11)?)? + field(own.get(12)?)?;
        Some(CpuTime { machine: busy / TICKS, own: own / TICKS })
    }

    /// The processors that others used since, on average.
    pub fn others_since(&self, wall: f64) -> Option<f64> {
        let now = CpuTime::now()?;
        Some(((now.machine - self.machine - (now.own - self.own)) / wall).max(0.0))
    }
}

/// Whether the process was started to ignore a signal. Where the system does not say, it was not.
#[cfg(unix)]
pub fn ignores(signal: i32) -> bool {
    let mask = || {
        let text = fs::read_to_string("/proc/self/status").ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    mask().is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// MiB of memory in use.
pub fn resident() -> Option<f64> {
    status("VmRSS:")
}

/// The most MiB of memory in use since [`reset_peak`].
pub fn peak_resident() -> Option<f64> {
    status("VmHWM:")
}

/// Starts the peak anew. Where the system refuses, the peak stays that of the process's life.
pub fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Bytes of memory that could be had.
pub fn available() -> Option<f64> {
    Some(kib("/proc/meminfo", "MemAvailable:")? * 1024.0)
}

/// In MiB.
fn status(key: &str) -> Option<f64> {
    Some(kib("/proc/self/status", key)? / 1024.0)
}

fn kib(path: &str, key: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A cache of the first processor.
pub struct Cache {
    pub level: u32,
    pub bytes: usize,
    /// Whether each processor has one of its own.
    pub private: bool,
}

/// Data caches, the smallest first.
pub fn caches() -> Vec<Cache> {
    let mut caches: Vec<Cache> = (0..8).filter_map(cache).collect();
    if caches.is_empty() {
        // What most processors have.
        caches = [(1, 32 << 10, true), (2, 512 << 10, true), (3, 8 << 20, false)]
            .map(|(level, bytes, private)| Cache { level, bytes, private })
            .into();
    }
    caches.sort_by_key(|c| c.level);
    caches
}

fn cache(index: u32) -> Option<Cache> {
    let read = |what: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{what}");
        fs::read_to_string(path).ok().map(|t| t.trim().to_owned())
    };
    if read("type")? == "Instruction" {
        return None;
    }
    let size = read("size")?;
    let (number, unit) = match size.strip_suffix('K') {
        Some(number) => (number, 1 << 10),
        None => (size.strip_suffix('M')?, 1 << 20),
    };
    let shared = read("shared_cpu_list")?;
    Some(Cache {
        level: read("level")?.parse().ok()?,
        bytes: number.parse::<usize>().ok()? * unit,
        private: !shared.contains([',', '-']),
    })
}
