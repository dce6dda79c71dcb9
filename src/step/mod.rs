//! One training step. A batch goes through these files in order: [`batch`] checks it, `plan`
//! chooses the route, [`forward`] and [`scores`] go up, [`backward`] comes down (or [`lanes`] does
//! both, with what [`condition`] says), [`curves`], [`summed`], [`norms`] and [`natural`] find the direction, [`propose`] and [`determinant`]
//! how far it goes, [`commit`] moves the parameters. [`split`] does the same in parts.

pub(crate) mod backward;
pub(crate) mod batch;
mod commit;
pub(crate) mod condition;
mod curves;
mod determinant;
mod differentiate;
pub(crate) mod forward;
mod lanes;
mod natural;
pub(crate) mod net;
mod norms;
mod propose;
mod report;
pub(crate) mod scores;
pub(crate) mod split;
mod summed;

pub use batch::Batch;
pub use report::Report;
pub use split::Totals;

use crate::config::check_rate;
use crate::plan::Plan;
use crate::session::{Call, Session};
use crate::simd::Real;
use crate::status::Result;
use crate::step::batch::Checked;
use crate::step::report::report;

/// [`Session::step`]: check, plan, differentiate, propose, commit.
pub(crate) fn step<T: Real>(
    session: &mut Session<T>,
    params: &mut [T],
    batch: &Batch<T>,
    rate: f64,
) -> Result<Report> {
    check_rate(rate)?;
    session.check_params(params)?;
    session.state.known().check()?;
    let batch = Checked::of(&session.config, batch)?;
    let plan = Plan::step(&session.config, batch.x.rows);
    session.on_team(Call::Step, plan.rows, |session| {
        let (net, state, work) = session.parts(params);
        let (terms, certificate) = differentiate::run(&net, params, &batch, state, work, plan)?;
        let proposed = propose::run(&net, params, state, work, plan, rate)?;
        let report = report(&net, state, terms, certificate, proposed);
        commit::run(&net, params, state, work, plan, &proposed);
        Ok(report)
    })
}
