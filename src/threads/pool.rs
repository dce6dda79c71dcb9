//! Threads that are there within a fraction of a microsecond, for steps that take less than a
//! millisecond and call on them ten times.
//!
//! General pools sleep as soon as there is nothing to do and take 5 to 50 microseconds to wake
//! (measured with rayon-core: 5 to enter, 10 to 40 after a serial stretch of as much); the one
//! crate made for this compiles C++. So: workers spin for a while, give way, and sleep only when
//! no work has come for longer.

use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};
use std::vec::Vec;

use crate::threads::choice::Choices;
use crate::threads::fork::Process;
use crate::threads::parallel::ParallelFor;

/// Threads for [`Session::set_parallel`](crate::Session::set_parallel) and
/// [`Model::set_parallel`](crate::Model::set_parallel).
///
/// A pool serves one caller at a time: whoever finds it busy does the work alone, as do tasks
/// that call on it again. So programs that step models on threads of their own are not flooded
/// with more. It times the steps and evaluations it works for, and leaves those of less than two
/// milliseconds to one thread where that is faster; a few try both, in the end one in a hundred.
///
/// A forked child has none of its parent's threads: there a pool made before the fork does all work
/// on the thread that calls. A pool made in the child has threads again.
///
/// ```
/// use relgrad::{ParallelFor, Pool};
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// let pool = Pool::new(2)?;
/// let sum = AtomicUsize::new(0);
/// pool.run(10, &|i| {
///     sum.fetch_add(i, Ordering::Relaxed);
/// });
/// assert_eq!(sum.into_inner(), 45);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    choices: Mutex<Choices>,
    /// Where the workers are.
    process: Process,
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

/// How long a worker without work spins, and how long it gives way to others before it sleeps.
const SPIN: Duration = Duration::from_micros(50);
const YIELD: Duration = Duration::from_millis(2);

type Task<'a> = &'a (dyn Fn(usize) + Sync);

/// The task of the job at hand and how often it is called.
#[derive(Clone, Copy)]
struct Job {
    task: Task<'static>,
    count: usize,
}

struct Shared {
    /// Written by the caller only while the gate is shut and nobody is inside.
    job: UnsafeCell<Option<Job>>,
    /// 1 while the gate is open, plus 2 for each worker inside.
    gate: AtomicUsize,
    /// Jobs so far.
    number: AtomicUsize,
    /// For each thread the next index of its share of the job at hand.
    next: Box<[Next]>,
    busy: AtomicBool,
    stop: AtomicBool,
    panicked: AtomicBool,
    asleep: Box<[AtomicBool]>,
}

/// A counter with a cache line of its own.
#[repr(align(128))]
struct Next(AtomicUsize);

// SAFETY: `job` is written by the caller who holds `busy`, while the gate is shut and nobody is
// inside, and read by workers who came in through the open gate.
unsafe impl Sync for Shared {}

impl Shared {
    /// Lets a worker in if the gate is open.
    fn enter(&self) -> bool {
        let mut gate = self.gate.load(Ordering::Relaxed);
        while gate & 1 == 1 {
            match self.gate.compare_exchange_weak(
                gate,
                gate + 2,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => gate = now,
            }
        }
        false
    }

    /// Where the share of a thread begins. Shares are the same from job to job, so that a
    /// thread finds in its cache what it worked on before.
    fn share(&self, me: usize, count: usize) -> usize {
        me * count / self.next.len()
    }

    /// Takes indices of the own share of the job, then of those of others that are late.
    fn work(&self, me: usize, job: Job) {
        let threads = self.next.len();
        for owner in (me..threads).chain(0..me) {
            let end = self.share(owner + 1, job.count);
            loop {
                let i = self.next[owner].0.fetch_add(1, Ordering::Relaxed);
                if i >= end {
                    break;
                }
                (job.task)(i);
            }
        }
    }

    /// Nobody takes another index.
    fn give_up(&self) {
        self.next.iter().for_each(|next| next.0.store(usize::MAX / 2, Ordering::Relaxed));
    }

    fn serve(&self, me: usize) {
        let mut last = 0;
        loop {
            self.wait_for_more_than(last, me);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            last = self.number.load(Ordering::Acquire);
            if self.enter() {
                // SAFETY: inside the gate, the job stays as it is.
                let job = unsafe { *self.job.get() };
                if let Some(job) = job
                    && catch_unwind(AssertUnwindSafe(|| self.work(me + 1, job))).is_err()
                {
                    self.panicked.store(true, Ordering::Relaxed);
                    self.give_up();
                }
                self.gate.fetch_sub(2, Ordering::Release);
            }
        }
    }

    /// Until there is a job after number `last`: spins, gives way, sleeps.
    fn wait_for_more_than(&self, last: usize, me: usize) {
        let came = || self.number.load(Ordering::SeqCst) != last;
        let start = Instant::now();
        while !came() {
            let waited = start.elapsed();
            if waited < SPIN {
                (0..64).for_each(|_| spin_loop());
            } else if waited < YIELD {
                thread::yield_now();
            } else {
                self.asleep[me].store(true, Ordering::SeqCst);
                while !came() && self.asleep[me].load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep[me].store(false, Ordering::SeqCst);
            }
        }
    }

    /// Shuts the gate and waits for those inside to leave.
    fn shut(&self) {
        self.gate.fetch_and(!1, Ordering::AcqRel);
        let mut spins = 0;
        while self.gate.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins < 10_000 { spin_loop() } else { thread::yield_now() }
        }
    }
}

impl Pool {
    /// A pool in which `threads` run at once, at least 1: the caller and `threads - 1` workers.
    ///
    /// # Errors
    /// Threads that the system does not give.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let workers = threads.max(1) - 1;
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            gate: AtomicUsize::new(0),
            number: AtomicUsize::new(0),
            next: (0..=workers).map(|_| Next(AtomicUsize::new(0))).collect(),
            busy: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        });
        let choices = Mutex::new(Choices::new());
        let (workers, handles) = (Vec::new(), Vec::new());
        let mut pool = Pool { shared, workers, handles, choices, process: Process::remember() };
        for me in 0..threads.max(1) - 1 {
            let shared = pool.shared.clone();
            let name = std::format!("relgrad {}", me + 1);
            let worker = thread::Builder::new().name(name).spawn(move || shared.serve(me))?;
            pool.handles.push(worker.thread().clone());
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// As many threads as the machine runs at once.
    ///
    /// # Errors
    /// Those of [`Pool::new`].
    pub fn of_machine() -> std::io::Result<Self> {
        Self::new(thread::available_parallelism().map_or(1, |n| n.get()))
    }

    fn announce(&self) {
        self.shared.number.fetch_add(1, Ordering::SeqCst);
        for (asleep, worker) in self.shared.asleep.iter().zip(&self.handles) {
            if asleep.load(Ordering::SeqCst) && asleep.swap(false, Ordering::SeqCst) {
                worker.unpark();
            }
        }
    }
}

// SAFETY: threads take the numbers of tasks from counters, each of which gives a number once.
unsafe impl ParallelFor for Pool {
    fn threads(&self) -> usize {
        if self.process.is_current() { self.workers.len() + 1 } else { 1 }
    }

    fn run(&self, count: usize, task: Task) {
        let shared = &*self.shared;
        let alone = count < 2 || self.threads() == 1;
        if alone || shared.busy.swap(true, Ordering::Acquire) {
            (0..count).for_each(task);
            return;
        }
        // SAFETY: only the lifetime changes. Workers use the task inside the gate only, and the
        // gate is shut and empty before this call ends, by return or by panic.
        let task = unsafe { core::mem::transmute::<Task<'_>, Task<'static>>(task) };
        let job = Job { task, count };
        // SAFETY: `busy` makes this caller the only one; the gate is shut and nobody is inside.
        unsafe { *shared.job.get() = Some(job) };
        for (me, next) in shared.next.iter().enumerate() {
            next.0.store(shared.share(me, count), Ordering::Relaxed);
        }
        shared.gate.store(1, Ordering::Release);
        self.announce();
        let outcome = catch_unwind(AssertUnwindSafe(|| shared.work(0, job)));
        if outcome.is_err() {
            shared.give_up();
        }
        shared.shut();
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        shared.busy.store(false, Ordering::Release);
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        assert!(!panicked, "a task panicked on another thread");
    }

    fn choose(&self, kind: u64, work: &mut dyn FnMut(bool) -> bool) {
        // Whoever holds the lock does not panic; one who waited for it would lose time.
        let Ok(together) = self.choices.try_lock().map(|mut choices| choices.is_together(kind))
        else {
            work(true);
            return;
        };
        let start = Instant::now();
        let done = work(together);
        let time = start.elapsed();
        if done && let Ok(mut choices) = self.choices.try_lock() {
            choices.took(kind, time);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // There is nobody to wait for.
            self.workers.drain(..).for_each(core::mem::forget);
            return;
        }
        self.shared.stop.store(true, Ordering::SeqCst);
        self.announce();
        for worker in self.workers.drain(..) {
            // Workers catch panics; there is nothing to hear.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exit status of a child that does `work` and is given 20 seconds.
    #[cfg(target_os = "linux")]
    fn in_a_child(work: impl FnOnce() -> bool) -> i32 {
        unsafe extern "C" {
            fn fork() -> i32;
            fn alarm(seconds: u32) -> u32;
            fn _exit(status: i32) -> !;
            fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
        }
        // SAFETY: the C library's functions as POSIX has them; the child ends here.
        unsafe {
            let child = fork();
            if child == 0 {
                alarm(20);
                _exit(catch_unwind(AssertUnwindSafe(work)).map_or(3, |fine| i32::from(!fine)));
            }
            let mut status = -1;
            assert!(child > 0 && waitpid(child, &mut status, 0) == child);
            status
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_forked_child_works_alone() {
        let pool = Pool::new(3).unwrap();
        let sum = |pool: &Pool| {
            let sum = AtomicUsize::new(0);
            pool.run(100, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            sum.into_inner()
        };
        assert_eq!(sum(&pool), 4950);
        // Asleep or not, busy or not: the child has no workers.
        for busy in [false, true] {
            pool.shared.busy.store(busy, Ordering::Relaxed);
            let status = in_a_child(|| {
                let alone = pool.threads() == 1 && sum(&pool) == 4950;
                // SAFETY: the child's copy is not used again.
                drop(unsafe { core::ptr::read(&pool) });
                let own = Pool::new(2).unwrap();
                alone && own.threads() == 2 && sum(&own) == 4950
            });
            assert_eq!(status, 0);
            pool.shared.busy.store(false, Ordering::Relaxed);
        }
        assert_eq!((pool.threads(), sum(&pool)), (3, 4950));
    }

    #[test]
    fn every_index_once_with_any_number_of_threads() {
        for threads in 1..5 {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for count in [0, 1, 2, 3, 100] {
                for _ in 0..200 {
                    let calls: Vec<AtomicUsize> = (0..count).map(|_| 0.into()).collect();
                    pool.run(count, &|i| {
                        calls[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn sleepers_wake_up() {
        let pool = Pool::new(3).unwrap();
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(10));
            let sum = AtomicUsize::new(0);
            pool.run(8, &|i| {
                thread::sleep(Duration::from_millis(1));
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 28);
        }
    }

    #[test]
    fn a_busy_pool_and_a_nested_call_work_alone() {
        let pool = Pool::new(2).unwrap();
        let sum = AtomicUsize::new(0);
        let add = |i: usize| {
            sum.fetch_add(i, Ordering::Relaxed);
        };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..500).for_each(|_| pool.run(4, &|i| pool.run(i, &add))));
            }
        });
        // 0 + (0) + (0 + 1) + (0 + 1 + 2)
        assert_eq!(sum.into_inner(), 3 * 500 * 4);
    }

    #[test]
    fn work_is_left_to_one_thread_where_that_is_faster() {
        let pool = Pool::new(2).unwrap();
        let calls = |kind, slower: bool, done: bool| -> usize {
            let mut together = 0;
            for _ in 0..200 {
                pool.choose(kind, &mut |all| {
                    together += usize::from(all);
                    if all == slower {
                        thread::sleep(Duration::from_micros(200));
                    }
                    done
                });
            }
            together
        };
        assert!(calls(1, true, true) < 100 && calls(2, false, true) > 100);
        // What is refused tells nothing.
        assert_eq!(calls(3, true, false), 200);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2).unwrap();
        for bad in [0, 7] {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(8, &|i| assert!(i != bad, "task {i}"));
            }));
            assert!(outcome.is_err());
            let sum = AtomicUsize::new(0);
            pool.run(4, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 6);
        }
    }
}
