//! Drawing from the model.

use crate::config::Base;
use crate::random::{Random, Streams};
use crate::session::Session;
use crate::session::inverse::{self, Inverse, Inversion};
use crate::simd::Real;
use crate::status::{Error, Result, Status, Value, check_len};
use crate::step::batch::check_rows;

/// See [`Session::sample`].
pub(crate) fn sample<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    with: &Inverse,
    (seed, first_row): (u64, u64),
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
    let outcome = inverse::inverse(session, params, with, (&latents[..len], n), x);
    // Zeros between the rows again.
    latents[..len].fill(T::ZERO);
    session.work.pass.p = latents;
    outcome
}

/// The random stream of samples; starts use 0.
const STREAM: u32 = 1;
