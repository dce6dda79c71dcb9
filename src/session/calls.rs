//! What a session does: the documentation of every call. Each is compiled in the library, for either
//! number type, and found through [`Scalar`](crate::Scalar).

use crate::scalar::Scalar;
use crate::session::{Entries, Inverse, Inversion, Refresh, Session, Start};
use crate::status::{Result, check_len};
use crate::step::{Batch, Report, Totals};

impl<T: Scalar> Session<'_, T> {
    /// One ascent step on the mean log-likelihood of `batch` with the given rate. Nothing
    /// changes unless all of it succeeds. Allocates nothing.
    ///
    /// Cost: `(8 L - 2) B D^2` flops for relative gradients, and O(L (B^2 D + B^3)) for the
    /// log-determinant where it is kept exact. With about as many samples as features, or more
    /// (from `B = 3 D / 4` on for natural steps, `7 D / 8` for SGD, `3 D / 2` for the others),
    /// `(6 L - 2) B D^2 + 2 L D^3`, and O(L D^3) for the log-determinant.
    ///
    /// # Errors
    /// Lengths, batch size, sample weights, rate; data that are not finite; a step that would
    /// diverge or cross a singular matrix; [`Status::LogDetUnknown`](crate::Status) before the
    /// first start or refresh.
    pub fn step(&mut self, params: &mut [T], batch: &Batch<T>, rate: f64) -> Result<Report> {
        T::step(self, params, batch, rate)
    }

    /// The gradient of the mean log-likelihood (an ascent direction, of the configured kind)
    /// into `out`, laid out as the parameters without the input transform. The parameters stay.
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn gradient(&mut self, params: &[T], batch: &Batch<T>, out: &mut [T]) -> Result<Report> {
        T::gradient(self, params, batch, out)
    }

    /// Adds a part's weighted sums to `sums` ([`Sizes::gradient_len`](crate::Sizes) numbers,
    /// zero at first) and `totals`. Not for the natural optimiser: see [`Session::factors`].
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn accumulate(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        sums: &mut [T],
        totals: &mut Totals,
    ) -> Result<()> {
        T::accumulate(self, params, batch, sums, totals)
    }

    /// Adds the sums and totals of another part.
    ///
    /// # Errors
    /// Lengths.
    pub fn merge(
        &self,
        sums: &mut [T],
        totals: &mut Totals,
        other: &[T],
        other_totals: &Totals,
    ) -> Result<()> {
        let n = self.layout.network_len();
        check_len("sums", sums.len(), n)?;
        check_len("other", other.len(), n)?;
        sums[..n].iter_mut().zip(other).for_each(|(s, o)| *s = *s + *o);
        totals.weight += other_totals.weight;
        totals.base_density += other_totals.base_density;
        totals.log_slopes += other_totals.log_slopes;
        Ok(())
    }

    /// One step with accumulated sums: what [`Session::step`] does with the whole batch, up to
    /// the order of summation. The log-determinants are out of date afterwards.
    ///
    /// # Errors
    /// Lengths, rate; nothing accumulated; sums that are not finite or a step that would
    /// diverge.
    pub fn apply(
        &mut self,
        params: &mut [T],
        sums: &[T],
        totals: &Totals,
        rate: f64,
    ) -> Result<Report> {
        T::apply(self, params, sums, totals, rate)
    }

    /// Writes each sample's factors to `out`: `delta_1, c_1, ..., delta_L, c_L`, and the
    /// derivatives by the outputs of the layers with learned curves, `D` numbers each; adds to
    /// `totals`. Relative gradients only.
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn factors(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        out: &mut [T],
        totals: &mut Totals,
    ) -> Result<()> {
        T::factors(self, params, batch, out, totals)
    }

    /// One step with the factors of `rows` samples, gathered in order: the same bits as
    /// [`Session::step`] with the whole batch (up to its report's likelihood terms, which are
    /// summed part by part). `weights` are the samples' weights, if they have any.
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn apply_factors(
        &mut self,
        params: &mut [T],
        factors: &[T],
        rows: usize,
        weights: Option<&[T]>,
        totals: &Totals,
        rate: f64,
    ) -> Result<Report> {
        T::apply_factors(self, params, (factors, rows), weights, totals, rate)
    }

    /// The latents `z_L` of a batch, row-major `(rows, D)`, as they come out of the last layer: a
    /// condition's location and scale are not taken off, and only layers need it. O(L D^2) a row; each row's bits do
    /// not depend on the batch around it.
    ///
    /// # Errors
    /// Lengths; data that are not finite; latents that would not be.
    pub fn forward(&mut self, params: &[T], batch: &Batch<T>, z: &mut [T]) -> Result<()> {
        T::forward(self, params, batch, z)
    }

    /// `log p(x)` of every row, in nats (GFJSH20 eqs. 3, 7, 9): base density, slopes and
    /// log-determinants, summed in f64. O(L D^2) a row.
    ///
    /// # Errors
    /// Lengths; data that are not finite; [`Status::LogDetUnknown`](crate::Status) unless the
    /// log-determinants are exact (see [`Session::refresh`]).
    pub fn log_likelihood(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        out: &mut [f64],
    ) -> Result<()> {
        T::log_likelihood(self, params, batch, out)
    }

    /// The derivatives of `log p(x)` by the features of each row, row-major `(rows, D)`, for
    /// samplers and optimisers: `W_1^T delta_1` (GFJSH20 eq. 19, one layer further down), times the
    /// input's scale. With `log_p` the log-likelihoods too, for which the log-determinants must be
    /// exact. Twice the cost of a log-likelihood; each row's bits do not depend on the batch around
    /// it.
    ///
    /// # Errors
    /// As for [`Session::log_likelihood`]; derivatives that are not finite.
    pub fn input_gradient(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        gradient: &mut [T],
        log_p: Option<&mut [f64]>,
    ) -> Result<()> {
        T::input_gradient(self, params, batch, gradient, log_p)
    }

    /// Adds `ln s'` and its square at the rows' pre-activations, two numbers a unit, for every unit of
    /// the layers that have a nonlinearity, layer after layer. A unit whose slope does not vary is
    /// linear on these data. O(L D^2) a row.
    ///
    /// # Errors
    /// As for [`Session::forward`].
    pub fn sum_log_slopes(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        sums: &mut [f64],
    ) -> Result<()> {
        T::sum_log_slopes(self, params, batch, sums)
    }

    /// Factors every layer's weight for [`Session::inverse`] and [`Session::sample`], into
    /// `memory` of [`Sizes::factorization_bytes`](crate::Sizes), O(D^3) a layer. Good until the
    /// parameters change.
    ///
    /// # Errors
    /// Lengths, parameters not finite, a singular weight.
    pub fn factorize(&self, params: &[T], memory: &mut [u8]) -> Result<()> {
        T::factorize(self, params, memory)
    }

    /// Data from latents: `rows` rows of `D` numbers, one after the other, O(L D^2) a row and
    /// once more for the residual. For models whose layers depend on a condition there is [`Session::inverse_given`].
    ///
    /// # Errors
    /// Lengths, latents that are not finite, a preimage that overflows, [`Inverse::Tracked`]
    /// without a tracked inverse.
    pub fn inverse(
        &mut self,
        params: &[T],
        with: &Inverse,
        z: &[T],
        rows: usize,
        x: &mut [T],
    ) -> Result<Inversion> {
        T::inverse(self, params, with, (z, rows), None, x)
    }

    /// Data from latents with their conditions: as [`Session::inverse`], of as many rows as are
    /// `given`.
    ///
    /// # Errors
    /// As there, and those of conditions.
    pub fn inverse_given(
        &mut self,
        params: &[T],
        with: &Inverse,
        z: &[T],
        given: &[T],
        x: &mut [T],
    ) -> Result<Inversion> {
        let rows = crate::step::condition::rows(&self.config, given)?;
        T::inverse(self, params, with, (z, rows), Some(given), x)
    }

    /// Samples of the model into `x`: latents from the base density, then [`Session::inverse`].
    /// A seed stands for one sequence of samples, the same on every machine, of which these are
    /// numbers `first_row` to `first_row + rows`: as many as are wanted come in batches one after
    /// another, and any of them without those before.
    ///
    /// # Errors
    /// As for [`Session::inverse`]; [`Base::Custom`](crate::Base::Custom) (draw latents yourself
    /// and invert them).
    pub fn sample(
        &mut self,
        params: &[T],
        with: &Inverse,
        seed: u64,
        first_row: u64,
        rows: usize,
        x: &mut [T],
    ) -> Result<Inversion> {
        T::sample(self, params, with, (seed, first_row), None, (x, rows))
    }

    /// A sample of `p(x | u)` for each `u` that is `given`: as [`Session::sample`]. Latents that depend
    /// on u are drawn around `M u` with the scale `e^(S u)`.
    ///
    /// # Errors
    /// As there, and those of conditions.
    pub fn sample_given(
        &mut self,
        params: &[T],
        with: &Inverse,
        seed: u64,
        first_row: u64,
        given: &[T],
        x: &mut [T],
    ) -> Result<Inversion> {
        let rows = crate::step::condition::rows(&self.config, given)?;
        T::sample(self, params, with, (seed, first_row), Some(given), (x, rows))
    }

    /// Forgets what the optimiser has gathered and counts steps from 0 again, as after
    /// [`Session::new`]. Log-determinants and tracked inverses stay.
    pub fn reset_optimizer(&mut self) {
        self.state.reset_optimizer();
    }

    /// Reads parameters that were loaded or changed from outside, and makes the
    /// log-determinants (and tracked inverses) exact by LU in f64, O(D^3) a layer. `scratch`
    /// has [`Sizes::refresh_bytes`](crate::Sizes::refresh_bytes).
    ///
    /// # Errors
    /// Parameters not finite or a zero scale; a singular weight, by layer. The state is then
    /// unchanged.
    pub fn refresh(&mut self, params: &[T], scratch: &mut [u8]) -> Result<Refresh> {
        T::refresh(self, params, scratch)
    }

    /// Haar-distributed orthogonal weights and zero biases; an input transform is the identity.
    /// O(D^3) a layer. As all starts it makes parameters only: the optimiser's state stays, and
    /// [`Session::new`] clears it.
    ///
    /// # Errors
    /// Lengths.
    pub fn start_orthogonal(&mut self, params: &mut [T], seed: u64) -> Result<()> {
        T::start_orthogonal(self, params, seed)
    }

    /// Independent weights and zero biases; an input transform is the identity. O(D^2) a layer. Call
    /// [`Session::refresh`] afterwards: until then there are no log-determinants.
    ///
    /// # Errors
    /// Lengths.
    pub fn start_entries(&mut self, params: &mut [T], entries: Entries, seed: u64) -> Result<()> {
        T::start_entries(self, params, entries, seed)
    }

    /// The identity in every layer, zero biases.
    ///
    /// # Errors
    /// Lengths.
    pub fn start_identity(&mut self, params: &mut [T]) -> Result<()> {
        T::start_identity(self, params)
    }

    /// A data-dependent start. The input transform takes the mean off each feature and divides by
    /// its standard deviation (so the configuration needs `input_transform`): the network sees
    /// standardised numbers, whatever the units. The first layer then whitens or rotates, all
    /// others are orthogonal (the identity with [`Start::Aligned`], which takes no notice of
    /// `seed`). With learned curves all layers but the first are then scaled and shifted, row by row,
    /// so that pre-activations have mean 0 and variance 1 on at most 2048 rows, evenly spread: there
    /// curves have their steps. `data` may have any number of rows, at least 2.
    ///
    /// `ridge` times its own variance is added to the variance of each feature, `C + ridge diag(C)`;
    /// 1e-6 serves. A constant feature counts as having the standard deviation of its magnitude, 1
    /// if it is 0.
    ///
    /// Scaling a feature by s moves every log-likelihood by `-ln s`, shifting it moves nothing,
    /// before training and after, up to rounding; scaling by a power of two changes no bit of the
    /// weights. Shifting a constant feature changes what it is divided by.
    ///
    /// `scratch` has [`Sizes::start_bytes`](crate::Sizes::start_bytes).
    ///
    /// The log-determinant is that of the f64 factorisation; rounding of `W_1` to f32 moves the
    /// true one by about `1e-7` times the condition of `W_1`, which a refresh takes in.
    ///
    /// With `track_inverse`, call [`Session::refresh`] afterwards: until then log-determinants
    /// and inverses count as out of date.
    ///
    /// # Errors
    /// Lengths, data that are not finite, a singular covariance or a standard deviation whose
    /// inverse is no number of this type, no input transform. The parameters are then unchanged.
    pub fn start_from_data(
        &mut self,
        params: &mut [T],
        data: &Batch<T>,
        start: Start,
        seed: u64,
        ridge: f64,
        scratch: &mut [u8],
    ) -> Result<()> {
        T::start_from_data(self, params, data, (start, seed), ridge, scratch)
    }
}
