//! What an opaque `relgrad_context` is: a session's configuration and where its memory lies.
//! It lives at the start of the workspace, so that the caller frees nothing of ours. Calls from
//! within a call, by a caller's function, are refused.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering};

use super::edge;
use super::guard::{self, Growing, Region};
use super::types::{relgrad_batch, relgrad_batch_f64, relgrad_config, relgrad_task};
use crate::config::Config;
use crate::density::base::CustomBase;
use crate::memory::known::Known;
use crate::memory::sizes::Sizes;
use crate::memory::workspace::check_region;
use crate::scalar::Scalar;
use crate::session::{Evaluator, Session, believed, evaluator};
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;
use crate::threads::counters::AtomicU32;
use crate::threads::parallel::ParallelFor;

/// Bytes of the workspace that the context takes; the same on every target.
pub(super) const CONTEXT_BYTES: usize = 1024;

/// What a caller's pointer leads to.
pub(super) struct Handle<T> {
    magic: u64,
    /// Whether a call is under way, which has the context to itself.
    busy: AtomicBool,
    context: Context<T>,
}

/// See the module.
pub(super) struct Context<T> {
    config: Config,
    sizes: Sizes,
    /// Whether the state lies between context and workspace, and nothing is trained.
    evaluator: bool,
    state: *mut u8,
    work: *mut u8,
    pub team: Threads,
    /// Why the last call was refused.
    pub last: Option<Error>,
    numbers: PhantomData<T>,
}

const _: () = assert!(size_of::<Handle<f64>>() <= CONTEXT_BYTES);

/// "relgradc", and the number type's width.
fn magic<T: Scalar>() -> u64 {
    0x6364_6172_676c_6572 ^ u64::from(T::BITS)
}

/// Memory that is no context, and a context that was moved: it would write where it was.
fn none() -> Error {
    let allowed =
        "must be a context where it was made: call relgrad_attach after moving its memory";
    Error::new(Status::State, "context", Value::None, allowed)
}

/// The mark of the context behind `ctx` that a call is under way.
///
/// # Safety
/// `ctx` is NULL or was returned by init, attach or evaluator, its memory still there, and no other
/// thread writes to it.
unsafe fn check<'a, T: Scalar>(ctx: *const Handle<T>) -> Result<&'a AtomicBool> {
    Region::of("context", ctx, 1)?;
    // SAFETY: not NULL and aligned; readable by contract.
    if unsafe { (&raw const (*ctx).magic).read() } != magic::<T>() {
        return Err(none());
    }
    // SAFETY: a context, as it begins like one; the call under way, if there is one, does not have
    // this field to itself.
    let busy = unsafe { &(*ctx).busy };
    if busy.load(Ordering::Acquire) {
        let allowed = "must not be used by what a call on it calls: parallel_for, a base density";
        return Err(Error::new(Status::State, "context", Value::None, allowed));
    }
    // SAFETY: as above, and no call has the context to itself.
    let context = unsafe { &(*ctx).context };
    let work = ctx.cast::<u8>().wrapping_add(CONTEXT_BYTES + context.state_here());
    if context.work.cast_const() == work { Ok(busy) } else { Err(none()) }
}

/// What a call is a part of. Evaluators refuse training.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Of {
    Training,
    Inference,
}

/// Runs `f` on the context behind `ctx` and keeps the error for `relgrad_message`.
///
/// # Safety
/// As for [`check`], and no other thread uses the context.
pub(super) unsafe fn enter<T: Scalar>(
    ctx: *mut Handle<T>,
    of: Of,
    f: impl FnOnce(&mut Context<T>) -> Result<()>,
) -> i32 {
    // SAFETY: by contract.
    let busy = match unsafe { check(ctx) } {
        Ok(busy) => busy,
        Err(e) => return edge::call(|| Err(e)),
    };
    // A load and a store: what comes from within a call comes after its beginning.
    busy.store(true, Ordering::Release);
    // SAFETY: a context, by `check`, and this call's alone.
    let context = unsafe { &mut (*ctx).context };
    let result = edge::guarded(|| {
        if of == Of::Training {
            context.trains()?;
        }
        f(context)
    });
    context.last = result.err();
    busy.store(false, Ordering::Release);
    edge::code(&result)
}

/// Runs `f` on a context that several threads may look at.
///
/// # Safety
/// As for [`check`].
pub(super) unsafe fn look<T: Scalar>(
    ctx: *const Handle<T>,
    f: impl FnOnce(&Context<T>) -> Result<()>,
) -> i32 {
    // SAFETY: by contract; a context, by `check`.
    edge::call(|| unsafe {
        check(ctx)?;
        f(&(*ctx).context)
    })
}

/// What does a context's work.
#[derive(Clone, Copy)]
pub(super) enum Threads {
    /// The calling thread.
    Mine,
    Callers(CallersThreads),
    /// A pool of the library's, which outlives the context by contract.
    #[cfg(feature = "std")]
    Pool(*const crate::Pool),
}

impl<T: Scalar> Context<T> {
    /// Makes a context in `workspace`; `fresh` initialises the state, otherwise it is taken up.
    ///
    /// # Safety
    /// If not NULL and aligned, the buffers are writable for their bytes and `config` and `out`
    /// for their types.
    pub unsafe fn create(
        config: *const relgrad_config,
        (state, state_bytes): (*mut c_void, usize),
        (workspace, workspace_bytes): (*mut c_void, usize),
        out: *mut *mut Handle<T>,
        fresh: bool,
    ) -> Result<()> {
        let (state, workspace) = (state.cast::<u8>(), workspace.cast::<u8>());
        let regions = [
            Region::of("workspace", workspace, workspace_bytes)?,
            Region::of("state", state, state_bytes)?,
            Region::of("context", out, 1)?,
        ];
        // SAFETY: by contract.
        let config = unsafe {
            guard::disjoint(&regions, &[guard::structure("config", config)?])?;
            guard::value("config", config)?.read()?
        };
        let sizes = Sizes::of::<T>(&config)?;
        let needed = sizes.workspace_bytes + CONTEXT_BYTES;
        check_region((state, state_bytes), sizes.state_bytes, "state")?;
        check_region((workspace, workspace_bytes), needed, "workspace")?;
        let work = workspace.wrapping_add(CONTEXT_BYTES);
        // SAFETY: by contract, long enough and disjoint from each other.
        unsafe {
            if fresh {
                let state = guard::zeroed("state", state, sizes.state_bytes)?;
                let work = guard::zeroed("workspace", work, sizes.workspace_bytes)?;
                Session::<T>::of_zeros(&config, &sizes, state, work)?;
            } else {
                let state = guard::read("state", state, sizes.state_bytes)?;
                believed::check::<T>(&config, state)?;
                guard::zeroed("workspace", work, sizes.workspace_bytes)?;
            }
        }
        // SAFETY: the workspace is aligned to 64 and begins with CONTEXT_BYTES for this.
        unsafe { Self::put(config, sizes, false, (workspace, state, work), out) };
        Ok(())
    }

    /// Makes an evaluator of the context behind `trained`, for at most `max_batch` rows.
    ///
    /// # Safety
    /// As for [`check`]; if not NULL and aligned, `memory` is writable for `bytes` and `out` for
    /// its type.
    pub unsafe fn evaluator(
        &self,
        max_batch: usize,
        (memory, bytes): (*mut u8, usize),
        out: *mut *mut Handle<T>,
    ) -> Result<()> {
        let written = [Region::of("memory", memory, bytes)?, Region::of("evaluator", out, 1)?];
        self.disjoint(written, &[])?;
        let own_bytes = Evaluator::<T>::bytes(&self.config, max_batch)?;
        check_region((memory, bytes), own_bytes + CONTEXT_BYTES, "memory")?;
        let config = evaluator::config(&self.config, max_batch);
        let sizes = Sizes::of::<T>(&config)?;
        let state = memory.wrapping_add(CONTEXT_BYTES);
        // SAFETY: by contract, and long enough.
        let own = unsafe { guard::zeroed("memory", state, own_bytes)? };
        Evaluator::<T>::new(&self.config, self.state(), max_batch, own)?;
        let work = state.wrapping_add(sizes.state_bytes);
        // SAFETY: as for `create`.
        unsafe { Self::put(config, sizes, true, (memory, state, work), out) };
        Ok(())
    }

    /// Writes a context to the start of its memory.
    ///
    /// # Safety
    /// `memory` is aligned to 64 and has CONTEXT_BYTES, `out` is writable.
    unsafe fn put(
        config: Config,
        sizes: Sizes,
        evaluator: bool,
        (memory, state, work): (*mut u8, *mut u8, *mut u8),
        out: *mut *mut Handle<T>,
    ) {
        let handle = memory.cast::<Handle<T>>();
        let context = Context {
            config,
            sizes,
            evaluator,
            state,
            work,
            team: Threads::Mine,
            last: None,
            numbers: PhantomData,
        };
        // SAFETY: by contract.
        unsafe {
            handle.write(Handle { magic: magic::<T>(), busy: AtomicBool::new(false), context });
            out.write(handle);
        }
    }

    /// Refuses evaluators.
    pub fn trains(&self) -> Result<()> {
        if self.evaluator {
            let allowed = "must be one that is trained: this is an evaluator";
            return Err(Error::new(Status::State, "context", Value::None, allowed));
        }
        Ok(())
    }

    /// What the state knows, without a session: several threads may look.
    pub fn known(&self) -> Known<'_> {
        Known::of_bytes(self.state(), self.config.layers)
    }

    /// Bytes of state between the context and its workspace.
    fn state_here(&self) -> usize {
        if self.evaluator { self.sizes.state_bytes } else { 0 }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The state's bytes.
    pub fn state(&self) -> &[u8] {
        // SAFETY: as for `session`; nobody writes to it meanwhile.
        unsafe { core::slice::from_raw_parts(self.state, self.sizes.state_bytes) }
    }

    /// The configuration, and the state's bytes.
    pub fn kept(&mut self) -> (&Config, &mut [u8]) {
        // SAFETY: as for `session`.
        let state = unsafe { core::slice::from_raw_parts_mut(self.state, self.sizes.state_bytes) };
        (&self.config, state)
    }

    /// The session in this context's memory.
    pub fn session(&mut self) -> Session<'_, T> {
        // SAFETY: `create` got these buffers with at least these bytes, and the context's
        // contract keeps them there and unshared.
        let (state, work) = unsafe {
            (
                core::slice::from_raw_parts_mut(self.state, self.sizes.state_bytes),
                core::slice::from_raw_parts_mut(self.work, self.sizes.workspace_bytes),
            )
        };
        let mut session = Session::view(&self.config, &self.sizes, state, work);
        session.set_parallel(match &self.team {
            Threads::Mine => None,
            Threads::Callers(team) => Some(team),
            // SAFETY: a pool that outlives the context, by contract.
            #[cfg(feature = "std")]
            Threads::Pool(pool) => Some(unsafe { &**pool }),
        });
        session
    }

    /// Refuses arguments that share memory with each other, the state or the workspace.
    pub fn disjoint<const N: usize>(&self, written: [Region; N], read: &[Region]) -> Result<()> {
        guard::disjoint(&written, read)?;
        let workspace = self.work.wrapping_sub(CONTEXT_BYTES + self.state_here());
        let bytes = self.sizes.workspace_bytes + CONTEXT_BYTES + self.state_here();
        let state_bytes = if self.evaluator { 0 } else { self.sizes.state_bytes };
        let own = [
            Region::of("state", self.state, state_bytes)?,
            Region::of("workspace", workspace, bytes)?,
        ];
        for region in written.iter().chain(read) {
            guard::disjoint(core::slice::from_ref(region), &own)?;
        }
        Ok(())
    }
}

/// Threads of the caller's, behind `relgrad_parallel_for`.
#[derive(Clone, Copy)]
pub(super) struct CallersThreads {
    function: unsafe extern "C" fn(*mut c_void, relgrad_task, *mut c_void, usize),
    user: *mut c_void,
    threads: usize,
    /// Where the threads are.
    #[cfg(feature = "std")]
    process: crate::threads::fork::Process,
}

/// A number of threads that a caller names.
pub(super) fn check_threads(threads: u32) -> Result<usize> {
    let n = threads as usize;
    if (1..=MAX_THREADS).contains(&n) {
        return Ok(n);
    }
    Err(Error::new(Status::Threads, "threads", Value::Int(threads.into()), "must be 1 to 64"))
}

impl CallersThreads {
    pub fn new(
        function: unsafe extern "C" fn(*mut c_void, relgrad_task, *mut c_void, usize),
        user: *mut c_void,
        threads: usize,
    ) -> Self {
        CallersThreads {
            function,
            user,
            threads,
            #[cfg(feature = "std")]
            process: crate::threads::fork::Process::remember(),
        }
    }

    /// Whether this is a child that was forked since: it has none of its parent's threads.
    fn is_left_alone(&self) -> bool {
        #[cfg(feature = "std")]
        return !self.process.is_current();
        #[cfg(not(feature = "std"))]
        false
    }
}

// SAFETY: the context's contract: the function and its pointer may be used from whichever thread
// uses the context.
unsafe impl Sync for CallersThreads {}

/// The most threads that the work is split for: four parts each fit into the bits of [`Tasks`].
const MAX_THREADS: usize = 64;
const WORDS: usize = 4 * MAX_THREADS / 32;

/// What a `relgrad_task` gets: the work, and one bit for each index that was called.
struct Tasks<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    count: usize,
    called: [AtomicU32; WORDS],
    panicked: AtomicBool,
}

impl Tasks<'_> {
    /// Does part `i` unless it was done.
    fn call(&self, i: usize) {
        let bit = 1 << (i % 32);
        let word = self.called.get(i / 32).filter(|_| i < self.count);
        if word.is_some_and(|w| w.fetch_or(bit, Ordering::Relaxed) & bit == 0) {
            (self.work)(i);
        }
    }
}

/// # Safety
/// `tasks` is the pointer that came with this function.
unsafe extern "C" fn run_task(tasks: *mut c_void, index: usize) {
    // SAFETY: by contract; the tasks outlive the call of the caller's function.
    let tasks = unsafe { &*tasks.cast::<Tasks>() };
    let result = edge::guarded(|| {
        tasks.call(index);
        Ok(())
    });
    if result.is_err() {
        tasks.panicked.store(true, Ordering::Relaxed);
    }
}

// SAFETY: `Tasks` runs a task once, whatever the caller's function does.
unsafe impl ParallelFor for CallersThreads {
    fn threads(&self) -> usize {
        if self.is_left_alone() { 1 } else { self.threads }
    }

    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        let called = core::array::from_fn(|_| AtomicU32::new(0));
        let tasks = Tasks { work, count, called, panicked: AtomicBool::new(false) };
        let pointer = (&raw const tasks).cast_mut().cast::<c_void>();
        // SAFETY: the function is the caller's to vouch for.
        edge::outside(|| unsafe { (self.function)(self.user, Some(run_task), pointer, count) });
        // What it left out is done here.
        (0..count).for_each(|i| tasks.call(i));
        assert!(!tasks.panicked.into_inner(), "a task panicked");
    }
}

/// A batch of either precision.
pub(super) trait CBatch: Growing {
    type Number: Scalar;
    fn raw(&self) -> RawBatch<Self::Number>;
}

type BaseFn<T> = unsafe extern "C" fn(*mut c_void, usize, *const T, *mut T, *mut T, usize) -> i32;

/// The fields of `relgrad_batch`.
pub(super) struct RawBatch<T> {
    reserved: u32,
    x: *const T,
    rows: usize,
    ld: usize,
    weights: *const T,
    base: Option<BaseFn<T>>,
    user: *mut c_void,
    whole: usize,
    condition: *const T,
    condition_ld: usize,
}

impl CBatch for relgrad_batch {
    type Number = f32;
    fn raw(&self) -> RawBatch<f32> {
        let relgrad_batch { reserved, x, rows, ld, weights, base, user, whole, .. } = *self;
        let relgrad_batch { condition, condition_ld, .. } = *self;
        RawBatch { reserved, x, rows, ld, weights, base, user, whole, condition, condition_ld }
    }
}

impl CBatch for relgrad_batch_f64 {
    type Number = f64;
    fn raw(&self) -> RawBatch<f64> {
        let relgrad_batch_f64 { reserved, x, rows, ld, weights, base, user, whole, .. } = *self;
        let relgrad_batch_f64 { condition, condition_ld, .. } = *self;
        RawBatch { reserved, x, rows, ld, weights, base, user, whole, condition, condition_ld }
    }
}

/// A caller's density function.
struct Callback<T> {
    function: BaseFn<T>,
    user: *mut c_void,
}

impl<T> CustomBase<T> for Callback<T> {
    fn evaluate(&self, sample: usize, z: &[T], log_density: &mut [T], score: &mut [T]) -> bool {
        let (p, s) = (log_density.as_mut_ptr(), score.as_mut_ptr());
        // SAFETY: the slices have `dim` numbers each; the function is the caller's to vouch for.
        edge::outside(|| unsafe {
            (self.function)(self.user, sample, z.as_ptr(), p, s, z.len()) == 0
        })
    }
}

/// A batch whose pointers were checked.
pub(super) struct Checked<'a, T> {
    x: &'a [T],
    rows: usize,
    ld: usize,
    weights: Option<&'a [T]>,
    base: Option<Callback<T>>,
    whole: Option<usize>,
    condition: Option<&'a [T]>,
    condition_ld: usize,
    pub regions: [Region; 3],
}

impl<'a, T: Scalar> Checked<'a, T> {
    /// # Safety
    /// If not NULL and aligned, the pointers of the batch are readable for what its shape says.
    pub unsafe fn new<B: CBatch<Number = T>>(batch: *const B, config: &Config) -> Result<Self> {
        let (dim, width) = (config.dim, config.condition_width());
        // SAFETY: by contract.
        let raw = unsafe { guard::value("batch", batch)? }.raw();
        if raw.reserved != 0 {
            let v = Value::Int(raw.reserved.into());
            return Err(Error::new(Status::Reserved, "batch.reserved", v, "must be 0"));
        }
        let ld = if raw.ld == 0 { dim } else { raw.ld };
        if ld < dim {
            let v = Value::Int(ld as u64);
            let allowed = "must be 0 or at least dim";
            return Err(Error::new(Status::LeadingDimension, "batch.ld", v, allowed));
        }
        let spread = |ld: usize, width: usize| match raw.rows {
            0 => 0,
            rows => (rows - 1).saturating_mul(ld).saturating_add(width),
        };
        let len = spread(ld, dim);
        if width == 0 && !raw.condition.is_null() {
            let allowed = "must be NULL: this model has no condition";
            return Err(Error::new(Status::Condition, "batch.condition", Value::None, allowed));
        }
        let condition_ld = if raw.condition_ld == 0 { width } else { raw.condition_ld };
        let condition_len =
            if raw.condition.is_null() { 0 } else { spread(condition_ld.max(width), width) };
        let weight_count = if raw.weights.is_null() { 0 } else { raw.rows };
        // SAFETY: by contract.
        let (x, weights, condition) = unsafe {
            (
                guard::read("batch.x", raw.x, len)?,
                guard::read("batch.weights", raw.weights, weight_count)?,
                guard::read("batch.condition", raw.condition, condition_len)?,
            )
        };
        Ok(Checked {
            x,
            rows: raw.rows,
            ld,
            weights: (!raw.weights.is_null()).then_some(weights),
            base: raw.base.map(|function| Callback { function, user: raw.user }),
            whole: (raw.whole > 0).then_some(raw.whole),
            condition: (!raw.condition.is_null()).then_some(condition),
            condition_ld,
            regions: [
                Region::of("batch.x", x.as_ptr(), len)?,
                Region::of("batch.weights", weights.as_ptr(), weight_count)?,
                Region::of("batch.condition", condition.as_ptr(), condition_len)?,
            ],
        })
    }

    pub fn batch(&self) -> Batch<'_, T> {
        let mut batch = Batch::new(self.x, self.rows).with_ld(self.ld);
        if let Some(weights) = self.weights {
            batch = batch.with_weights(weights);
        }
        if let Some(base) = &self.base {
            batch = batch.with_base(base);
        }
        if let Some(rows) = self.whole {
            batch = batch.of_whole(rows);
        }
        if let Some(condition) = self.condition {
            batch = batch.with_condition(condition).with_condition_ld(self.condition_ld);
        }
        batch
    }
}
