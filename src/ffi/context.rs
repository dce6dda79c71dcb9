//! What an opaque `relgrad_context` is: a session's configuration and where its memory lies.
//! It lives at the start of the workspace, so that the caller frees nothing of ours.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering};

use super::guard::{self, Region};
use super::types::{relgrad_batch, relgrad_batch_f64, relgrad_config, relgrad_task};
use crate::config::Config;
use crate::density::base::CustomBase;
use crate::memory::sizes::Sizes;
use crate::scalar::Scalar;
use crate::session::Session;
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;
use crate::threads::counters::AtomicU32;
use crate::threads::parallel::ParallelFor;

/// Bytes of the workspace that the context takes; the same on every target.
pub(super) const CONTEXT_BYTES: usize = 1024;

/// See the module.
pub(super) struct Context<T> {
    magic: u64,
    config: Config,
    sizes: Sizes,
    state: *mut u8,
    work: *mut u8,
    pub parallel: Option<CallersThreads>,
    /// Why the last call was refused.
    pub last: Option<Error>,
    numbers: PhantomData<T>,
}

const _: () = assert!(size_of::<Context<f64>>() <= CONTEXT_BYTES);

/// "relgradc", and the number type's width.
fn magic<T: Scalar>() -> u64 {
    0x6364_6172_676c_6572 ^ u64::from(T::BITS)
}

/// Runs the body of an entry point, which must not let a panic out.
pub(super) fn guarded(f: impl FnOnce() -> Result<()>) -> Result<()> {
    #[cfg(feature = "std")]
    {
        let internal =
            Error::new(Status::Internal, "relgrad", Value::None, "this is a defect: report it");
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(Err(internal))
    }
    #[cfg(not(feature = "std"))]
    f()
}

pub(super) fn code(result: Result<()>) -> i32 {
    result.map_or_else(|e| e.status as i32, |()| super::types::RELGRAD_OK)
}

/// Runs `f` on the context behind `ctx` and keeps the error for `relgrad_message`.
///
/// # Safety
/// `ctx` is NULL or was returned by init or attach, its memory still there and not in use by
/// another thread.
pub(super) unsafe fn enter<T: Scalar>(
    ctx: *mut Context<T>,
    f: impl FnOnce(&mut Context<T>) -> Result<()>,
) -> i32 {
    let region = Region::of("context", ctx, 1);
    if let Err(e) = region {
        return e.status as i32;
    }
    // SAFETY: not NULL and aligned; a context by contract.
    let context = unsafe { &mut *ctx };
    // Memory that is no context, and a context that was moved: it would write where it was.
    if context.magic != magic::<T>() || context.work != ctx.cast::<u8>().wrapping_add(CONTEXT_BYTES)
    {
        return Status::State as i32;
    }
    let result = guarded(|| f(context));
    context.last = result.err();
    code(result)
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
        out: *mut *mut Context<T>,
        fresh: bool,
    ) -> Result<()> {
        let (state, workspace) = (state.cast::<u8>(), workspace.cast::<u8>());
        let regions = [
            Region::of("workspace", workspace, workspace_bytes)?,
            Region::of("state", state, state_bytes)?,
            Region::of("context", out, 1)?,
        ];
        // SAFETY: by contract.
        let config = unsafe { guard::value("config", config)? };
        guard::disjoint(&regions, &[Region::of("config", config, 1)?])?;
        let config = config.read()?;
        let sizes = Sizes::of::<T>(&config)?;
        let needed = sizes.workspace_bytes + CONTEXT_BYTES;
        // SAFETY: by contract, and disjoint from each other.
        let (state_slice, memory) = unsafe {
            (
                guard::write("state", state, state_bytes)?,
                guard::write("workspace", workspace, workspace_bytes)?,
            )
        };
        crate::memory::workspace::check(memory, needed, "workspace")?;
        let work = &mut memory[CONTEXT_BYTES..];
        if fresh {
            Session::<T>::new(&config, state_slice, work)?;
        } else {
            Session::<T>::attach(&config, state_slice, work)?;
        }
        let work = work.as_mut_ptr();
        let context = workspace.cast::<Context<T>>();
        // SAFETY: the workspace is aligned to 64 and begins with CONTEXT_BYTES for this.
        unsafe {
            context.write(Context {
                magic: magic::<T>(),
                config,
                sizes,
                state,
                work,
                parallel: None,
                last: None,
                numbers: PhantomData,
            });
            out.write(context);
        }
        Ok(())
    }

    pub fn dim(&self) -> usize {
        self.config.dim
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
        session.set_parallel(self.parallel.as_ref().map(|team| team as &dyn ParallelFor));
        session
    }

    /// Refuses arguments that share memory with each other, the state or the workspace.
    pub fn disjoint<const N: usize>(&self, written: [Region; N], read: &[Region]) -> Result<()> {
        guard::disjoint(&written, read)?;
        let workspace = self.work.wrapping_sub(CONTEXT_BYTES);
        let bytes = self.sizes.workspace_bytes + CONTEXT_BYTES;
        let own = [
            Region::of("state", self.state, self.sizes.state_bytes)?,
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
pub(super) const MAX_THREADS: usize = 64;
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
    let result = guarded(|| {
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
        unsafe { (self.function)(self.user, Some(run_task), pointer, count) };
        // What it left out is done here.
        (0..count).for_each(|i| tasks.call(i));
        assert!(!tasks.panicked.into_inner(), "a task panicked");
    }
}

/// A batch of either precision.
pub(super) trait CBatch {
    type Number: Scalar;
    fn raw(&self) -> RawBatch<Self::Number>;
}

type BaseFn<T> = unsafe extern "C" fn(*mut c_void, usize, *const T, *mut T, *mut T, usize) -> i32;

/// The fields of `relgrad_batch`.
pub(super) struct RawBatch<T> {
    x: *const T,
    rows: usize,
    ld: usize,
    weights: *const T,
    base: Option<BaseFn<T>>,
    user: *mut c_void,
    whole: usize,
}

impl CBatch for relgrad_batch {
    type Number = f32;
    fn raw(&self) -> RawBatch<f32> {
        let relgrad_batch { x, rows, ld, weights, base, user, whole } = *self;
        RawBatch { x, rows, ld, weights, base, user, whole }
    }
}

impl CBatch for relgrad_batch_f64 {
    type Number = f64;
    fn raw(&self) -> RawBatch<f64> {
        let relgrad_batch_f64 { x, rows, ld, weights, base, user, whole } = *self;
        RawBatch { x, rows, ld, weights, base, user, whole }
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
        unsafe { (self.function)(self.user, sample, z.as_ptr(), p, s, z.len()) == 0 }
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
    pub regions: [Region; 2],
}

impl<'a, T: Scalar> Checked<'a, T> {
    /// # Safety
    /// If not NULL and aligned, the pointers of the batch are readable for what its shape says.
    pub unsafe fn new<B: CBatch<Number = T>>(batch: *const B, dim: usize) -> Result<Self> {
        // SAFETY: by contract.
        let raw = unsafe { guard::value("batch", batch)? }.raw();
        let ld = if raw.ld == 0 { dim } else { raw.ld };
        if ld < dim {
            let v = Value::Int(ld as u64);
            let allowed = "must be 0 or at least dim";
            return Err(Error::new(Status::LeadingDimension, "batch.ld", v, allowed));
        }
        let len = raw.rows.saturating_sub(1).saturating_mul(ld).saturating_add(dim);
        let len = if raw.rows == 0 { 0 } else { len };
        let weight_count = if raw.weights.is_null() { 0 } else { raw.rows };
        // SAFETY: by contract.
        let (x, weights) = unsafe {
            (
                guard::read("batch.x", raw.x, len)?,
                guard::read("batch.weights", raw.weights, weight_count)?,
            )
        };
        Ok(Checked {
            x,
            rows: raw.rows,
            ld,
            weights: (!raw.weights.is_null()).then_some(weights),
            base: raw.base.map(|function| Callback { function, user: raw.user }),
            whole: (raw.whole > 0).then_some(raw.whole),
            regions: [
                Region::of("batch.x", x.as_ptr(), len)?,
                Region::of("batch.weights", weights.as_ptr(), weight_count)?,
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
        batch
    }
}
