//! Log-determinants and tracked inverses, made exact.

use crate::linalg::lu;
use crate::memory::workspace::{self, Scratch};
use crate::session::Session;
use crate::simd::Real;
use crate::status::{Result, singular};
use crate::step::net::Net;

/// What [`Session::refresh`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refresh {
    /// `sum_k log|det W_k|`, now exact, without the input transform.
    pub log_det: f64,
    /// The largest change of a layer's log-determinant over `max(1, |log_det|)`; 0 if none was
    /// known before.
    pub drift: f64,
    /// With a tracked inverse, how far `W W^-1` was from the identity before: the largest
    /// element; 0 otherwise or if none was known.
    pub inverse_error: f64,
}

/// [`Session::refresh`].
pub(crate) fn refresh<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    scratch: &mut [u8],
) -> Result<Refresh> {
    session.check_params(params)?;
    let d = session.config.dim;
    let bytes = workspace::measure(|c| Scratch::carve_refresh(c, d));
    let s = workspace::carve(scratch, bytes, "scratch", |c| Scratch::carve_refresh(c, d))?;
    session.check_finite(params)?;
    let (net, state, work) = session.parts(params);
    let known = state.known().is_known();
    let mut refresh = Refresh { log_det: 0.0, drift: 0.0, inverse_error: 0.0 };
    // All layers are looked at before the state changes.
    for k in 0..net.config.layers {
        let w = &params[net.layout.weight(k)];
        s.matrix.iter_mut().zip(w).for_each(|(m, w)| *m = w.to_f64());
        let determinant = lu::factor(net.exec, s.matrix, d, s.panel, s.pivots);
        let log_det = determinant.ok_or_else(|| singular(k))?.log_abs();
        let change = libm::fabs(log_det - state.log_det[k]);
        let drift = change / libm::fabs(log_det).max(1.0);
        refresh.drift = refresh.drift.max(if known { drift } else { 0.0 });
        refresh.log_det += log_det;
        work.proposal.log_det_change[k] = log_det;
    }
    for k in 0..net.config.layers {
        let w = &params[net.layout.weight(k)];
        state.log_det[k] = work.proposal.log_det_change[k];
        state.weight_max[k] = T::max_abs(net.exec, w);
        if net.config.track_inverse {
            s.matrix.iter_mut().zip(w).for_each(|(m, w)| *m = w.to_f64());
            lu::factor(net.exec, s.matrix, d, s.panel, s.pivots).ok_or_else(|| singular(k))?;
            let inverse = &mut state.inverse[net.square(k)];
            if known {
                let error = lu::inverse_error(net.exec, w, inverse, d, work.capacitance.band);
                refresh.inverse_error = refresh.inverse_error.max(error);
            }
            invert(&net, s.matrix, s.pivots, s.panel, inverse);
        }
    }
    state.set_known(&params[net.layout.scale()]);
    Ok(refresh)
}

/// The inverse of a weight from its factorisation, some columns at a time in `panel`.
fn invert<T: Real>(net: &Net<T>, lu: &[f64], pivots: &[u64], panel: &mut [f64], inverse: &mut [T]) {
    let d = net.config.dim;
    for from in (0..d).step_by(lu::PANEL) {
        let width = lu::PANEL.min(d - from);
        let columns = &mut panel[..d * width];
        columns.fill(0.0);
        let diagonal = columns[from * width..].iter_mut().step_by(width + 1);
        diagonal.take(width).for_each(|v| *v = 1.0);
        lu::solve(net.exec, lu, pivots, d, columns, width);
        for (row, values) in inverse.chunks_exact_mut(d).zip(columns.chunks_exact(width)) {
            row[from..].iter_mut().zip(values).for_each(|(w, v)| *w = T::from_f64(*v));
        }
    }
}
