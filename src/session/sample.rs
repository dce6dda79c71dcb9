//! Drawing from the model.

use crate::config::Base;
use crate::random::{Random, Streams};
use crate::session::Session;
use crate::session::inverse::{self, Inverse, Inversion};
use crate::simd::Real;
use crate::status::{Error, Result, Status, Value, check_len};
use crate::step::batch::check_rows;
use crate::step::condition;

/// See [`Session::sample`].
pub(crate) fn sample<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    with: &Inverse,
    (seed, first_row): (u64, u64),
    given: Option<&[T]>,
    (x, n): (&mut [T], usize),
) -> Result<Inversion> {
    check_rows(&session.config, n)?;
    let len = n * session.config.dim;
    check_len("x", x.len(), len)?;
    let draw = match session.config.base {
        Base::Normal => Random::normal,
        Base::Sech => Random::sech,
        Base::Logistic => Random::logistic,
        Base::Custom => {
            let allowed = "latents of a custom density are the caller's to draw: use inverse";
            return Err(Error::new(Status::Combination, "base", Value::None, allowed));
        }
    };
    // Latents wait in `p`, which inverting does not use.
    let latents = core::mem::take(&mut session.work.pass.p);
    let streams = Streams::new(seed, STREAM);
    for (row, number) in latents[..len].chunks_exact_mut(session.config.dim).zip(0..) {
        let mut random = streams.get(first_row.wrapping_add(number));
        row.iter_mut().for_each(|z| *z = T::from_f64(draw(&mut random)));
    }
    let outcome = given_condition(session, params, given, (&mut latents[..len], n))
        .and_then(|()| inverse::inverse(session, params, with, (&latents[..len], n), given, x));
    // Zeros between the rows again.
    latents[..len].fill(T::ZERO);
    session.work.pass.p = latents;
    outcome
}

/// From the base density to the latents of each sample's condition.
fn given_condition<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    given: Option<&[T]>,
    (z, n): (&mut [T], usize),
) -> Result<()> {
    session.check_params(params)?;
    let given = condition::check(&session.config, (given, None), n)?;
    let (net, _, work) = session.parts(params);
    condition::load(&net, given, &mut work.pass, true)?;
    condition::unstandardize(&net, params, &mut work.pass, (z, n))
}

/// The random stream of samples; starts use 0.
const STREAM: u32 = 1;
