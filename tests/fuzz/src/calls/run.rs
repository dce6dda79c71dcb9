//! A sequence of calls in one type: see `calls`.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use relgrad::ffi::*;

use super::abi::{self, Batch, Context, T};
use crate::bytes::Bytes;
use crate::calls::{self, CALL, KINDS, MOST_CALLS, Odd};
use crate::guarded::Guarded;
use crate::outcome::note;
use crate::random::Random;

/// More memory than this is not given to a model.
const ROOM: usize = 1 << 24;

pub fn run(mut b: Bytes) {
    let config = calls::config(&mut b);
    let mut sizes = sized::<relgrad_sizes>(|s, size| s.struct_size = size);
    // SAFETY: structures of their sizes; a short config is only read as far as it goes.
    let status = unsafe { abi::query_sizes(&config, &mut sizes) };
    note(("sizes", status));
    assert_ne!(status, RELGRAD_ERR_INTERNAL);
    if status != RELGRAD_OK || sizes.state_bytes.max(sizes.workspace_bytes) > ROOM {
        return;
    }
    let mut worlds = [RELGRAD_LEVEL_AUTO, RELGRAD_LEVEL_SCALAR]
        .map(|level| World::new(relgrad_config { level, ..config }, sizes));
    if worlds.iter().any(|w| w.context.is_null()) {
        return;
    }
    for _ in 0..MOST_CALLS {
        if b.0.is_empty() {
            break;
        }
        let call = Call::of(b.take(CALL), &config, &sizes);
        let [one, other] = &mut worlds;
        let (first, second) = (one.see(&call), other.see(&call));
        note((call.kind, first.0));
        assert_eq!(first.0, second.0, "status on the two levels: {call:?}");
        assert!(first.1 == second.1, "outputs differ between the levels: {call:?}");
        assert!(one.params.bytes() == other.params.bytes(), "parameters differ: {call:?}");
        assert!(one.state.bytes() == other.state.bytes(), "states differ: {call:?}");
        assert!(one.factors.bytes() == other.factors.bytes(), "factors differ: {call:?}");
    }
}

/// A structure of zeros that knows its size.
fn sized<S>(set: impl FnOnce(&mut S, u32)) -> S {
    // SAFETY: of structures of numbers and pointers, all of which may be zero.
    let mut s: S = unsafe { std::mem::zeroed() };
    set(&mut s, size_of::<S>() as u32);
    s
}

/// One call's arguments.
#[derive(Clone, Debug)]
struct Call {
    kind: u8,
    params: Odd,
    out: Odd,
    seed: u64,
    rate: f64,
    rows: usize,
    ld: usize,
    choice: u8,
    x: Vec<T>,
    weights: Option<Vec<T>>,
    given: Option<Vec<T>>,
    /// Where a number is changed, and to what.
    poke: (usize, f64),
}

impl Call {
    fn of(mut b: Bytes, config: &relgrad_config, sizes: &relgrad_sizes) -> Call {
        let kind = b.byte() % KINDS;
        let (params, out) = (Odd::of(&mut b), Odd::of(&mut b));
        let seed = u64::from(b.byte());
        let rate = match b.byte() {
            n @ 0..200 => f64::from(n) / 100.0,
            200..216 => b.number().abs(),
            _ => b.number(),
        };
        // Mostly a good number of them.
        let rows = match usize::from(b.byte()) {
            n @ 0..250 => 1 + n % config.max_batch as usize,
            250 => 0,
            n => config.max_batch as usize + n - 250,
        };
        let dim = config.dim as usize;
        let choice = b.byte();
        let ld = [dim, dim, dim + 1, dim + 3][usize::from(choice & 3)];
        let scale = if b.rarely() { b.finite() } else { 1.0 };
        let mut random = Random(seed);
        let mut x: Vec<T> = (0..rows * ld).map(|_| (scale * random.normal()) as T).collect();
        for _ in 0..b.below(3) {
            let at = usize::from(b.byte());
            let n = x.len().max(1);
            x.get_mut(at % n).into_iter().for_each(|x| *x = b.number() as T);
        }
        let weights = b.rarely().then(|| {
            let weights = (0..rows).map(|_| random.normal().abs() as T);
            let mut weights: Vec<T> = weights.collect();
            weights.first_mut().into_iter().for_each(|w| *w = b.number() as T);
            weights
        });
        let width = if config.condition == 1 { config.condition_len as usize } else { 1 };
        let mut given: Vec<T> = match config.condition {
            2 => (0..rows).map(|_| random.below(config.condition_len as usize) as T).collect(),
            _ => (0..rows * width).map(|_| random.normal() as T).collect(),
        };
        if b.rarely() {
            given.first_mut().into_iter().for_each(|u| *u = b.number() as T);
        }
        let is_given = (config.condition > 0) != b.rarely();
        let at = usize::from(b.byte()) | usize::from(b.byte()) << 8;
        let poke = (at % sizes.params_len.max(1), b.number());
        let given = is_given.then_some(given);
        Call { kind, params, out, seed, rate, rows, ld, choice, x, weights, given, poke }
    }

    fn batch(&self) -> Batch {
        let mut batch = sized::<Batch>(|s, size| s.struct_size = size);
        (batch.x, batch.rows, batch.ld) = (self.x.as_ptr(), self.rows, self.ld);
        batch.weights = self.weights.as_ref().map_or(null(), |w| w.as_ptr());
        batch.condition = self.given.as_ref().map_or(null(), |u| u.as_ptr());
        batch.base = Some(laplace);
        batch.user = usize::from(self.choice >> 6) as *mut c_void;
        batch
    }

    fn given(&self) -> (*const T, usize) {
        self.given.as_ref().map_or((null(), 0), |u| (u.as_ptr(), u.len()))
    }
}

/// A density of the caller's; `user` 3 fails, 2 returns what is no number.
unsafe extern "C" fn laplace(
    user: *mut c_void,
    sample: usize,
    z: *const T,
    log_density: *mut T,
    score: *mut T,
    dim: usize,
) -> i32 {
    for i in 0..dim {
        // SAFETY: `dim` numbers in each.
        unsafe {
            let z = *z.add(i);
            *log_density.add(i) = -z.abs() - std::f64::consts::LN_2 as T;
            *score.add(i) = if user.addr() == 2 && sample == 1 { T::NAN } else { -z.signum() };
        }
    }
    i32::from(user.addr() == 3)
}

/// Runs tasks from the last to the first.
unsafe extern "C" fn backwards(_: *mut c_void, run: relgrad_task, task: *mut c_void, count: usize) {
    let run = run.expect("a task");
    // SAFETY: each index once.
    (0..count).rev().for_each(|i| unsafe { run(task, i) });
}

/// A model and all of its memory.
struct World {
    config: relgrad_config,
    sizes: relgrad_sizes,
    context: *mut Context,
    params: Guarded<T>,
    state: Guarded<u8>,
    workspace: Guarded<u8>,
    scratch: Guarded<u8>,
    factorization: Guarded<u8>,
    sums: Guarded<T>,
    factors: Guarded<T>,
    totals: relgrad_totals,
    rows_of_factors: usize,
}

impl World {
    fn new(config: relgrad_config, sizes: relgrad_sizes) -> World {
        let rows = config.max_batch as usize + 8;
        let mut world = World {
            config,
            sizes,
            context: null_mut(),
            params: Guarded::of(&vec![0.0; sizes.params_len]),
            state: Guarded::new(sizes.state_bytes),
            workspace: Guarded::new(sizes.workspace_bytes),
            scratch: Guarded::new(sizes.refresh_bytes.max(sizes.start_bytes)),
            factorization: Guarded::new(sizes.factorization_bytes),
            sums: Guarded::of(&vec![0.0; sizes.gradient_len]),
            factors: Guarded::of(&vec![0.0; sizes.factors_len * rows]),
            totals: sized(|s: &mut relgrad_totals, size| s.struct_size = size),
            rows_of_factors: 0,
        };
        let status = world.make(true);
        assert_ne!(status, RELGRAD_ERR_INTERNAL);
        world
    }

    /// A context, fresh or of the state as it stands.
    fn make(&mut self, fresh: bool) -> i32 {
        let (state, workspace) = (self.state.ptr().cast(), self.workspace.ptr().cast());
        let (state_bytes, bytes) = (self.state.len(), self.workspace.len());
        let make = if fresh { abi::init } else { abi::attach };
        let mut context = null_mut();
        // SAFETY: memory of these sizes, which lives as long as the context.
        let status =
            unsafe { make(&self.config, state, state_bytes, workspace, bytes, &mut context) };
        assert_eq!(status == RELGRAD_OK, !context.is_null());
        if status == RELGRAD_OK {
            self.context = context;
            if self.config.level == RELGRAD_LEVEL_SCALAR {
                // SAFETY: the function is as it must be.
                let set = unsafe { abi::set_parallel(context, Some(backwards), null_mut(), 3) };
                assert_eq!(set, RELGRAD_OK);
            }
        }
        status
    }

    /// Makes the call, and looks at what it did: its status and all of its outputs.
    fn see(&mut self, call: &Call) -> (i32, Vec<u8>) {
        let before = [self.params.bytes().to_vec(), self.state.bytes().to_vec()];
        let sums = [self.sums.bytes().to_vec(), self.factors.bytes().to_vec()];
        let totals = self.totals;
        let was_finite = self.is_finite();
        let mut out = Out::new(self, call);
        let untouched = out.bytes();
        let status = self.make_call(call, &mut out);
        assert_ne!(status, RELGRAD_ERR_INTERNAL, "{call:?}");
        self.check(&out);
        if status == RELGRAD_OK {
            let is_over = call.out == Odd::OnParams && matches!(call.kind, 4 | 10 | 12 | 15 | 16);
            assert!(!is_over, "an output over the parameters was taken: {call:?}");
            assert!(!was_finite || self.is_finite(), "not finite after a success: {call:?}");
            self.check_outputs(call, &out);
        } else {
            assert!(before[0] == self.params.bytes(), "parameters changed on error: {call:?}");
            assert!(before[1] == self.state.bytes(), "state changed on error: {call:?}");
            assert!(untouched == out.bytes(), "outputs changed on error: {call:?}");
            let same = sums[0] == self.sums.bytes() && sums[1] == self.factors.bytes();
            assert!(same && totals == self.totals, "sums changed on error: {call:?}");
        }
        (status, out.bytes())
    }

    fn is_finite(&self) -> bool {
        self.params.values().iter().all(|p| p.is_finite())
    }

    fn check(&self, out: &Out) {
        self.params.check();
        self.sums.check();
        self.factors.check();
        out.numbers.check();
        out.doubles.check();
        let memory = [&self.state, &self.workspace, &self.scratch, &self.factorization, &out.blob];
        memory.iter().for_each(|m| m.check());
    }

    fn check_outputs(&self, call: &Call, out: &Out) {
        let n = call.rows * self.config.dim as usize;
        let is_written = |x: &[T]| x.iter().all(|x| x.is_finite());
        match call.kind {
            3 | 7 | 9 => {
                let report = &out.report;
                assert!(report.mean_log_likelihood.is_finite(), "{report:?}: {call:?}");
                assert!((0.0..=1.0).contains(&report.trust_scale), "{report:?}: {call:?}");
            }
            4 => assert!(is_written(&out.numbers.values()[..self.sizes.gradient_len]), "{call:?}"),
            10 | 12 | 15 | 16 => assert!(is_written(&out.numbers.values()[..n]), "{call:?}"),
            11 => {
                let log_p = &out.doubles.values()[..call.rows];
                assert!(log_p.iter().all(|p| p.is_finite()), "{log_p:?}: {call:?}");
            }
            _ => {}
        }
    }

    fn make_call(&mut self, call: &Call, out: &mut Out) -> i32 {
        let batch = call.batch();
        let c =
            if call.params == Odd::Null && call.seed % 4 == 3 { null_mut() } else { self.context };
        let p = call.params.ptr(self.params.ptr());
        let n = call.params.len(self.params.len());
        let bytes = |memory: &mut Guarded<u8>| {
            (call.out.ptr(memory.ptr()).cast::<c_void>(), call.out.len(memory.len()))
        };
        let (x, x_len) = match call.out {
            Odd::OnParams => (self.params.ptr(), out.wanted.min(self.params.len())),
            odd => (odd.ptr(out.numbers.ptr()), odd.len(out.wanted)),
        };
        let doubles = (call.out.ptr(out.doubles.ptr()), call.out.len(call.rows));
        let (report, inversion) = (&raw mut out.report, &raw mut out.inversion);
        let (sums, sums_len) = (call.out.ptr(self.sums.ptr()), call.out.len(self.sums.len()));
        let f = self.factors.ptr();
        let factors_len = |rows: usize| self.sizes.factors_len * rows;
        let totals = &raw mut self.totals;
        // SAFETY: every pointer is NULL or has at least the memory that is stated; the context's
        // lives in this world.
        unsafe {
            match call.kind {
                0 => abi::params_init(c, p, n, u32::from(call.choice) & 1, call.seed),
                1 => {
                    let (init, ridge) = (2 + u32::from(call.choice >> 2) % 3, call.rate * 1e-6);
                    let (scratch, len) = bytes(&mut self.scratch);
                    abi::params_init_data(c, p, n, &batch, init, call.seed, ridge, scratch, len)
                }
                2 => {
                    let (scratch, len) = bytes(&mut self.scratch);
                    abi::refresh(c, p, n, scratch, len, &mut out.refreshed)
                }
                3 => abi::step(c, p, n, &batch, call.rate, report),
                4 => abi::gradient(c, p, n, &batch, x, x_len, report),
                5 => abi::accumulate(c, p, n, &batch, sums, sums_len, totals),
                6 => self.merge(call),
                7 => abi::apply(c, p, n, sums, sums_len, totals, call.rate, report),
                8 => {
                    let rows = call.rows.min(self.config.max_batch as usize);
                    let len = call.out.len(factors_len(rows));
                    let status = abi::factors(c, p, n, &batch, call.out.ptr(f), len, totals);
                    if status == RELGRAD_OK {
                        self.rows_of_factors = call.rows;
                    }
                    status
                }
                9 => {
                    let rows = self.rows_of_factors;
                    let len = call.out.len(factors_len(rows));
                    let weights = call.weights.as_ref().filter(|w| w.len() >= rows);
                    let weights = weights.map_or(null(), |w| w.as_ptr());
                    let f = call.out.ptr(f);
                    abi::apply_factors(c, p, n, f, len, rows, weights, totals, call.rate, report)
                }
                10 => abi::forward(c, p, n, &batch, x, x_len),
                11 => abi::log_likelihood(c, p, n, &batch, doubles.0, doubles.1),
                12 => {
                    let log_p = if call.choice & 4 == 4 { doubles.0 } else { null_mut() };
                    abi::input_gradient(c, p, n, &batch, x, x_len, log_p, doubles.1)
                }
                13 => {
                    let len = call.out.len(out.doubles.len());
                    abi::sum_log_slopes(c, p, n, &batch, doubles.0, len)
                }
                14 => {
                    let (memory, len) = bytes(&mut self.factorization);
                    abi::factorize(c, p, n, memory, len)
                }
                15 | 16 => {
                    let memory = self.factorization.ptr().cast::<c_void>();
                    let memory = if call.choice & 4 == 4 { null_mut() } else { memory };
                    let m = (memory.cast_const(), self.factorization.len());
                    let (rows, seed) = (call.rows, call.seed);
                    let z = call.x.as_ptr();
                    let z_len = rows * self.config.dim as usize;
                    let (u, u_len) = call.given();
                    let first = call.seed << 56;
                    match (call.kind, call.given.is_some()) {
                        (15, false) => {
                            abi::inverse(c, p, n, m.0, m.1, z, z_len, rows, x, x_len, inversion)
                        }
                        (15, true) => abi::inverse_given(
                            c, p, n, m.0, m.1, z, z_len, rows, u, u_len, x, x_len, inversion,
                        ),
                        (_, false) => {
                            abi::sample(c, p, n, m.0, m.1, seed, first, rows, x, x_len, inversion)
                        }
                        (_, true) => abi::sample_given(
                            c, p, n, m.0, m.1, seed, first, rows, u, u_len, x, x_len, inversion,
                        ),
                    }
                }
                17 => {
                    let (blob, len) = bytes(&mut out.blob);
                    let status = abi::save(c, p, n, blob, len);
                    if status == RELGRAD_OK {
                        let loaded = abi::load(c, p, n, blob, len);
                        assert_eq!(loaded, RELGRAD_OK, "what was saved is refused: {call:?}");
                    }
                    status
                }
                18 => abi::reset_optimizer(c),
                19 => self.poke(call),
                20 => self.forge(call),
                _ => self.look(call, out),
            }
        }
    }

    /// The sums twice, with one of them changed.
    fn merge(&mut self, call: &Call) -> i32 {
        let mut other = Guarded::of(self.sums.values());
        let at = call.poke.0 % other.len();
        other.values_mut()[at] = call.poke.1 as T;
        let (sums, len) = (self.sums.ptr(), self.sums.len());
        let (other, totals) = (call.out.ptr(other.ptr()), self.totals);
        let less = call.out.len(len);
        // SAFETY: as many numbers as are stated.
        unsafe { abi::merge(self.context, sums, len, &mut self.totals, other, less, &totals) }
    }

    /// A parameter of the caller's choice, which a refresh must know of.
    fn poke(&mut self, call: &Call) -> i32 {
        let (at, value) = call.poke;
        let old = self.params.values()[at];
        self.params.values_mut()[at] = value as T;
        let (scratch, bytes) = (self.scratch.ptr().cast(), self.scratch.len());
        let (p, n) = (self.params.ptr(), self.params.len());
        // SAFETY: memory of these sizes.
        let status = unsafe { abi::refresh(self.context, p, n, scratch, bytes, null_mut()) };
        if status == RELGRAD_OK {
            assert!((value as T).is_finite(), "{value} was taken for a parameter");
        } else {
            self.params.values_mut()[at] = old;
        }
        status
    }

    /// A state that was changed on its way: refused, or as good as any. Its tracked inverses are taken
    /// as they are, and so this is left out with them.
    fn forge(&mut self, call: &Call) -> i32 {
        if self.config.track_inverse == 1 {
            return RELGRAD_ERR_STATE;
        }
        let kept = self.state.bytes().to_vec();
        let at = 8 * (call.poke.0 % (kept.len() / 8));
        self.state.values_mut()[at..at + 8].copy_from_slice(&call.poke.1.to_le_bytes());
        let status = self.make(false);
        if status != RELGRAD_OK {
            self.state.values_mut().copy_from_slice(&kept);
            assert_eq!(self.make(false), RELGRAD_OK, "what was attached is refused");
        }
        status
    }

    /// What a context says of itself, and an evaluator made of it.
    fn look(&mut self, call: &Call, out: &mut Out) -> i32 {
        let (mut steps, mut age, mut bytes) = (0, 0, 0);
        let mut config = sized::<relgrad_config>(|s, size| s.struct_size = size);
        let mut text = [0x55u8; 64];
        let short = usize::from(call.choice) % text.len();
        let c = self.context;
        // SAFETY: room for each output; the evaluator's memory outlives it.
        unsafe {
            assert_eq!(abi::steps(c, &mut steps), RELGRAD_OK);
            assert_eq!(abi::config_of(c, &mut config), RELGRAD_OK);
            let text_status = abi::message(c, text.as_mut_ptr().cast(), short);
            assert!(
                text[short..].iter().all(|b| *b == 0x55) && text_status != RELGRAD_ERR_INTERNAL
            );
            let status = abi::log_det(c, &mut out.log_det, &mut age);
            assert!(status != RELGRAD_OK || out.log_det.is_finite());
            let rows = call.rows as u32;
            if abi::evaluator_bytes(&self.config, rows, &mut bytes) != RELGRAD_OK || bytes > ROOM {
                return status;
            }
            let mut memory = Guarded::<u8>::new(bytes);
            let mut other = null_mut();
            let less = call.out.len(bytes);
            let made = abi::evaluator(c, rows, memory.ptr().cast(), less, &mut other);
            memory.check();
            if made != RELGRAD_OK || rows > self.config.max_batch {
                return status;
            }
            let (p, n) = (self.params.ptr(), self.params.len());
            let batch = call.batch();
            let scored = |c| {
                let mut log_p = vec![7.0; call.rows];
                let status = abi::log_likelihood(c, p, n, &batch, log_p.as_mut_ptr(), call.rows);
                (status, log_p.into_iter().map(f64::to_bits).collect::<Vec<_>>())
            };
            assert!(scored(c) == scored(other), "an evaluator says something else: {call:?}");
            memory.check();
            status
        }
    }
}

/// Everything that a call may write beside parameters, state and sums.
struct Out {
    numbers: Guarded<T>,
    doubles: Guarded<f64>,
    blob: Guarded<u8>,
    /// How many numbers this call is asked for.
    wanted: usize,
    report: relgrad_report,
    refreshed: relgrad_refresh_report,
    inversion: relgrad_inversion,
    log_det: f64,
}

impl Out {
    fn new(world: &World, call: &Call) -> Out {
        let rows = call.rows * world.config.dim as usize;
        let wanted = if call.kind == 4 { world.sizes.gradient_len } else { rows };
        let units = 2 * world.config.dim as usize * world.config.layers as usize;
        let mut bytes = 0;
        // SAFETY: a configuration, and room for a number.
        let status = unsafe { abi::blob_bytes(&world.config, &mut bytes) };
        assert_eq!(status, RELGRAD_OK);
        Out {
            numbers: Guarded::new(wanted),
            doubles: Guarded::of(&vec![0.5; units.max(call.rows)]),
            blob: Guarded::new(if call.kind == 17 { bytes } else { 0 }),
            wanted,
            report: sized(|s: &mut relgrad_report, size| s.struct_size = size),
            refreshed: sized(|s: &mut relgrad_refresh_report, size| s.struct_size = size),
            inversion: sized(|s: &mut relgrad_inversion, size| s.struct_size = size),
            log_det: 0.0,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let r = &self.report;
        let reported = [
            f64::from(r.halvings),
            r.mean_log_likelihood,
            r.base_density,
            r.log_slopes,
            r.log_det,
            r.log_det_age as f64,
            r.relative_gradient_norm,
            r.mean_delta_norm,
            r.trust_scale,
            r.curve_gradient_norm,
            self.refreshed.log_det,
            self.refreshed.drift,
            self.refreshed.inverse_error,
            f64::from(self.inversion.iterations),
            self.inversion.newton_residual,
            self.inversion.residual,
            self.log_det,
        ];
        let reported: Vec<u8> = reported.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        [self.numbers.bytes(), self.doubles.bytes(), self.blob.bytes(), &reported].concat()
    }
}
