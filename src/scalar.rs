//! The numbers that everything is generic over, and the calls of a session in either of them:
//! compiled once, here, so that no crate which uses relgrad compiles the kernels again.

use crate::session::{
    Entries, Inverse, Inversion, Refresh, Session, Start, evaluate, inverse, sample, start,
};
use crate::simd::Real;
use crate::status::Result;
use crate::step::{self, Batch, Report, Totals, split};

/// Numbers that a [`Session`] computes with: `f32` or `f64`.
#[allow(private_bounds)]
pub trait Scalar: Real + Calls {}
impl Scalar for f32 {}
impl Scalar for f64 {}

/// The calls for one number type; see the methods of [`Session`] with the same names.
macro_rules! calls {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $out:ty = $path:path;)*) => {
        pub(crate) trait Calls: Sized {
            $(fn $name($($arg: $type),*) -> $out;)*
        }
        impl Calls for f32 {
            $(fn $name($($arg: $type),*) -> $out { $path($($arg),*) })*
        }
        impl Calls for f64 {
            $(fn $name($($arg: $type),*) -> $out { $path($($arg),*) })*
        }
    };
}

calls! {
    fn step(
        session: &mut Session<Self>,
        params: &mut [Self],
        batch: &Batch<Self>,
        rate: f64,
    ) -> Result<Report> = step::step;
    fn gradient(
        session: &mut Session<Self>,
        params: &[Self],
        batch: &Batch<Self>,
        out: &mut [Self],
    ) -> Result<Report> = split::gradient;
    fn accumulate(
        session: &mut Session<Self>,
        params: &[Self],
        batch: &Batch<Self>,
        sums: &mut [Self],
        totals: &mut Totals,
    ) -> Result<()> = split::accumulate;
    fn apply(
        session: &mut Session<Self>,
        params: &mut [Self],
        sums: &[Self],
        totals: &Totals,
        rate: f64,
    ) -> Result<Report> = split::apply;
    fn factors(
        session: &mut Session<Self>,
        params: &[Self],
        batch: &Batch<Self>,
        out: &mut [Self],
        totals: &mut Totals,
    ) -> Result<()> = split::factors;
    fn apply_factors(
        session: &mut Session<Self>,
        params: &mut [Self],
        factors: (&[Self], usize),
        weights: Option<&[Self]>,
        totals: &Totals,
        rate: f64,
    ) -> Result<Report> = split::apply_factors;
    fn forward(
        session: &mut Session<Self>,
        params: &[Self],
        batch: &Batch<Self>,
        z: &mut [Self],
    ) -> Result<()> = evaluate::forward;
    fn log_likelihood(
        session: &mut Session<Self>,
        params: &[Self],
        batch: &Batch<Self>,
        out: &mut [f64],
    ) -> Result<()> = evaluate::log_likelihood;
    fn input_gradient(
        session: &mut Session<Self>,
        params: &[Self],
        batch: &Batch<Self>,
        gradient: &mut [Self],
        log_p: Option<&mut [f64]>,
    ) -> Result<()> = evaluate::input_gradient;
    fn sum_log_slopes(
        session: &mut Session<Self>,
        params: &[Self],
        batch: &Batch<Self>,
        sums: &mut [f64],
    ) -> Result<()> = evaluate::sum_log_slopes;
    fn factorize(session: &Session<Self>, params: &[Self], memory: &mut [u8]) -> Result<()>
        = inverse::factorize;
    fn inverse(
        session: &mut Session<Self>,
        params: &[Self],
        with: &Inverse,
        z: (&[Self], usize),
        given: Option<&[Self]>,
        x: &mut [Self],
    ) -> Result<Inversion> = inverse::inverse;
    fn sample(
        session: &mut Session<Self>,
        params: &[Self],
        with: &Inverse,
        which: (u64, u64),
        given: Option<&[Self]>,
        x: (&mut [Self], usize),
    ) -> Result<Inversion> = sample::sample;
    fn refresh(
        session: &mut Session<Self>,
        params: &[Self],
        scratch: &mut [u8],
    ) -> Result<Refresh> = crate::session::refresh::refresh;
    fn start_orthogonal(session: &mut Session<Self>, params: &mut [Self], seed: u64) -> Result<()>
        = start::orthogonal;
    fn start_entries(
        session: &mut Session<Self>,
        params: &mut [Self],
        which: Entries,
        seed: u64,
    ) -> Result<()> = start::entries;
    fn start_identity(session: &mut Session<Self>, params: &mut [Self]) -> Result<()>
        = start::identity;
    fn start_from_data(
        session: &mut Session<Self>,
        params: &mut [Self],
        data: &Batch<Self>,
        start: (Start, u64),
        ridge: f64,
        scratch: &mut [u8],
    ) -> Result<()> = start::from_data;
}
