//! The densities of the latents, and their scores, which start the backward pass.

use crate::density::base;
use crate::memory::workspace::Pass;
use crate::simd::Real;
use crate::status::Result;
use crate::step::batch::Checked;
use crate::step::condition::{self, Place};
use crate::step::net::Net;

/// From the latents in `pass.z`: `pass.log_p`, and with `score` the scores in their place.
///
/// # Errors
/// A caller's density that fails or gives numbers that are not finite; a condition's scales beyond
/// all use.
pub(crate) fn evaluate<T: Real>(
    net: &Net<T>,
    params: &[T],
    batch: &Checked<T>,
    pass: &mut Pass<T>,
    score: bool,
) -> Result<()> {
    let n = batch.x.rows;
    let place = Place::rows(net, n);
    condition::standardize(net, params, pass, n, place)?;
    densities(net, batch, pass, score)?;
    condition::scores(net, pass, n, place, score);
    Ok(())
}

/// The base density itself.
fn densities<T: Real>(
    net: &Net<T>,
    batch: &Checked<T>,
    pass: &mut Pass<T>,
    score: bool,
) -> Result<()> {
    let (n, d) = (batch.x.rows, net.config.dim);
    if let Some(density) = base::built_in(net.config.base) {
        let z = net.rows.of_mut(pass.z, 0, n);
        T::density(net.exec, density, z, &mut pass.log_p[..n], score);
        return Ok(());
    }
    let custom = batch.custom_base()?;
    let (log_p, scores) = pass.features[..2 * d].split_at_mut(d);
    for b in 0..n {
        let z = net.rows.row_mut(pass.z, 0, b);
        pass.log_p[b] = base::row(custom, b, z, log_p, scores)?;
        if score {
            z.copy_from_slice(scores);
        }
    }
    Ok(())
}
