//! The seam to threads: the core starts none, it hands independent tasks to the caller's.

use crate::plan::threads;
use crate::threads::counters::SHARED;

/// Something that runs tasks at once: a pool of threads, OpenMP, the tasks of an RTOS.
///
/// Steps, evaluations, starts and factorisations hand it parts of their work, a few microseconds
/// to milliseconds each, many times a step; how the work is split, and by how many, never changes
/// a bit of the result. On processors without atomic read-modify-write, as Cortex-M0, all work stays
/// on the calling thread.
///
/// # Safety
/// [`run`](ParallelFor::run) calls `task` as it says: tasks write to memory of their own, so that
/// one which ran twice at a time would be a data race, and one left out memory not written.
pub unsafe trait ParallelFor: Sync {
    /// How many tasks may run at once, at least 1.
    fn threads(&self) -> usize;

    /// Calls `task(i)` once for each `i` in `0..count`, in any order, on any threads, and
    /// returns when all calls have returned.
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync));

    /// Calls `work` once, which is a step, a forward pass or likelihoods: with true it calls
    /// [`run`](ParallelFor::run), many times, with false it stays on this thread; it returns
    /// whether it was done, not refused. `kind` is the same for the same work. As it stands, it
    /// never stays; a team that knows when threads do not pay may tell. Work of some milliseconds
    /// does not ask.
    fn choose(&self, kind: u64, work: &mut dyn FnMut(bool) -> bool) {
        let _ = kind;
        work(true);
    }
}

/// How kernels run: with which instructions, on whose threads.
#[derive(Clone, Copy)]
pub(crate) struct Exec<'a> {
    pub level: crate::simd::Level,
    pub team: Option<&'a dyn ParallelFor>,
}

impl<'a> Exec<'a> {
    /// On the calling thread only.
    pub fn serial(level: crate::simd::Level) -> Exec<'static> {
        Exec { level, team: None }
    }

    /// The team, if it is of more than one.
    fn several(&self) -> Option<&'a dyn ParallelFor> {
        self.team.filter(|team| SHARED && team.threads() > 1)
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.several().map_or(1, |team| team.threads())
    }

    /// The size of the parts of `n` if each thread is to have one, a multiple of `grain`. `work`
    /// as for [`Exec::split`].
    pub fn share(&self, n: usize, grain: usize, work: usize) -> usize {
        n.div_ceil(threads::shares(work, self.threads())).next_multiple_of(grain).min(n)
    }

    /// Calls `body(from, to)` for parts of `0..n` that cover it, split at multiples of `grain`.
    /// `work` is about how many operations on blocks the whole takes.
    pub fn split(&self, n: usize, grain: usize, work: usize, body: impl Fn(usize, usize) + Sync) {
        let grains = n.div_ceil(grain);
        let parts = usize::min(grains, threads::parts(work, self.threads())).max(1);
        self.run(parts, |i| {
            let at = |i: usize| usize::min(n, i * grains / parts * grain);
            body(at(i), at(i + 1));
        });
    }

    /// The team if a call on `rows` samples and weights of so many blocks may hand over parts, but
    /// is not so long that handing over is nothing beside it.
    pub fn team_to_choose(&self, rows: usize, blocks: usize) -> Option<&'a dyn ParallelFor> {
        self.several().filter(|_| threads::may_choose(rows, blocks))
    }

    /// Calls `task(i)` once for each `i` in `0..count`, on the team's threads if there are some.
    pub fn run(&self, count: usize, task: impl Fn(usize) + Sync) {
        match self.several() {
            Some(team) if count > 1 => team.run(count, &task),
            _ => (0..count).for_each(task),
        }
    }
}
