//! The machine's limits, measured: multiply-adds, and traffic with each level of memory.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use relgrad::measure::peak;
use relgrad::{Level, Scalar};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::process::{Cache, caches};

/// Everything measured; one JSON object.
#[derive(Default, Serialize, Deserialize)]
pub struct Limits {
    peaks: Vec<Peak>,
    /// Fastest first.
    memories: Vec<Memory>,
}

/// Multiply-adds alone.
#[derive(Serialize, Deserialize)]
struct Peak {
    dtype: String,
    level: String,
    threads: usize,
    gflops: f64,
}

/// A working set that a memory holds, swept over and over. `update` reads and writes in place,
/// `copy` reads one half and writes the other; both directions count.
#[derive(Serialize, Deserialize)]
struct Memory {
    memory: String,
    /// Bytes that this memory holds for all the threads; none for DRAM.
    capacity: Option<usize>,
    threads: usize,
    bytes: usize,
    read_gbs: f64,
    update_gbs: f64,
    copy_gbs: f64,
}

/// What a step must do at least.
pub struct Demand {
    pub dtype: &'static str,
    pub level: &'static str,
    pub threads: usize,
    pub flops: f64,
    /// Bytes of parameters and moments that each step touches.
    pub working_set: f64,
    /// Bytes that are read and not written.
    pub read: f64,
    /// Bytes read plus bytes written, of those written.
    pub update: f64,
}

/// The shortest time that the limits allow, and what sets it: "flops" or a memory.
pub struct Floor {
    pub seconds: f64,
    pub bound: String,
}

/// Seconds for each repeat of a loop; the best of them is kept, since others only slow it. Short,
/// so that some fall between the turns of others.
const SPAN: f64 = 0.002;
const REPEATS: usize = 80;
/// Bytes to move between two looks at the clock.
const BETWEEN: usize = 1 << 20;
/// Numbers in a cache line; loops start at one.
const LINE: usize = 16;

impl Limits {
    /// All limits for each number of threads.
    pub fn measure(threads: &[usize], levels: &[Level]) -> Limits {
        let mut limits = Limits::default();
        let caches = caches();
        let largest = caches.last().map_or(0, |c| c.bytes);
        for &threads in threads {
            for &level in levels {
                limits.peaks.push(peak_of::<f32>(level, threads));
                limits.peaks.push(peak_of::<f64>(level, threads));
            }
            for cache in &caches {
                limits.memories.push(bandwidth(Some(cache), cache.bytes / 2, threads));
            }
            limits.memories.push(bandwidth(None, (4 * largest).max(256 << 20), threads));
        }
        limits
    }

    /// What an earlier measurement printed as JSON.
    pub fn read(path: &Path) -> Result<Limits, Failure> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?)
    }

    /// The larger of arithmetic at its peak and traffic at the bandwidth of the memory that
    /// holds the working set; `None` if that was not measured.
    pub fn floor(&self, demand: &Demand) -> Option<Floor> {
        let peak = self.peaks.iter().find(|p| {
            (p.dtype.as_str(), p.level.as_str(), p.threads)
                == (demand.dtype, demand.level, demand.threads)
        })?;
        let memory = self.memories.iter().find(|m| {
            m.threads == demand.threads
                && m.capacity.is_none_or(|bytes| demand.working_set <= bytes as f64)
        })?;
        let arithmetic = demand.flops / (peak.gflops * 1e9);
        let traffic = (demand.read / memory.read_gbs + demand.update / memory.update_gbs) / 1e9;
        Some(if arithmetic >= traffic {
            Floor { seconds: arithmetic, bound: "flops".into() }
        } else {
            Floor { seconds: traffic, bound: memory.memory.clone() }
        })
    }

    /// Prints one JSON object, or tables.
    pub fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        println!("{:>7} {:>8} {:>7} {:>9}", "dtype", "level", "threads", "GFLOP/s");
        for p in &self.peaks {
            println!("{:>7} {:>8} {:>7} {:>9.1}", p.dtype, p.level, p.threads, p.gflops);
        }
        let [memory, mib, threads] = ["memory", "MiB", "threads"];
        print!("\n{memory:>7} {mib:>8} {threads:>7}");
        println!(" {:>9} {:>9} {:>9}  GB/s", "read", "update", "copy");
        for m in &self.memories {
            let mib = m.bytes as f64 / f64::from(1 << 20);
            print!("{:>7} {mib:>8.2} {:>7}", m.memory, m.threads);
            println!(" {:>9.1} {:>9.1} {:>9.1}", m.read_gbs, m.update_gbs, m.copy_gbs);
        }
        println!();
        Ok(())
    }
}

fn peak_of<T: Scalar>(level: Level, threads: usize) -> Peak {
    let rate = best_rate(threads, || (), |()| peak::multiply_add::<T>(level, 2000));
    let (dtype, level) = (dtype::<T>().into(), level.name().into());
    Peak { dtype, level, threads, gflops: rate / 1e9 }
}

/// `bytes` is for one processor where the cache is its own, for all threads otherwise.
fn bandwidth(cache: Option<&Cache>, bytes: usize, threads: usize) -> Memory {
    let private = cache.is_some_and(|c| c.private);
    let all = |bytes| if private { bytes * threads } else { bytes };
    let each = all(bytes) / threads / size_of::<f32>();
    let piece = each.min(BETWEEN / size_of::<f32>());
    let sweeps = BETWEEN / size_of::<f32>() / piece;
    let gbs = |factor: f64, sweep: fn(&mut [f32])| {
        let rate = best_rate(
            threads,
            || {
                let x = vec![1.0f32; each + LINE];
                let first = x.as_ptr().align_offset(LINE * size_of::<f32>());
                (x, first, 0)
            },
            |(x, first, at)| {
                // The next piece of a large working set, or a small one many times.
                let from = if *at + piece > each { 0 } else { *at };
                *at = from + piece;
                let x = &mut x[*first..][from..*at];
                (0..sweeps).for_each(|_| sweep(black_box(x)));
                (sweeps * piece * size_of::<f32>()) as f64
            },
        );
        factor * rate / 1e9
    };
    Memory {
        memory: cache.map_or("dram".into(), |c| format!("l{}", c.level)),
        capacity: cache.map(|c| all(c.bytes)),
        threads,
        bytes: all(bytes),
        read_gbs: gbs(1.0, |x| {
            black_box(peak::read(Level::Auto, x));
        }),
        update_gbs: gbs(2.0, |x| peak::update(Level::Auto, x)),
        copy_gbs: gbs(1.0, |x| {
            let (from, to) = x.split_at_mut(x.len() / 2);
            to[..from.len()].copy_from_slice(from);
        }),
    }
}

/// What all threads together do in a second at their best; `work` returns how much it did.
fn best_rate<X>(
    threads: usize,
    prepare: impl Fn() -> X + Sync,
    work: impl Fn(&mut X) -> f64 + Sync,
) -> f64 {
    let barrier = Barrier::new(threads);
    let run = || -> Vec<f64> {
        let mut x = prepare();
        work(&mut x);
        let mut once = || {
            barrier.wait();
            let started = Instant::now();
            let mut done = 0.0;
            while started.elapsed().as_secs_f64() < SPAN {
                done += work(&mut x);
            }
            done / started.elapsed().as_secs_f64()
        };
        (0..REPEATS).map(|_| once()).collect()
    };
    let rates: Vec<Vec<f64>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        handles.into_iter().filter_map(|h| h.join().ok()).collect()
    });
    (0..REPEATS).map(|r| rates.iter().map(|t| t[r]).sum()).fold(0.0, f64::max)
}

/// The name of a precision.
pub fn dtype<T: Scalar>() -> &'static str {
    if T::BITS == 32 { "f32" } else { "f64" }
}
