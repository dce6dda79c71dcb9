//! What the tests share.
#![allow(dead_code)]

pub mod refused;

use relgrad::*;

/// The defaults but for the curves: the paper's, after all layers but the last.
pub fn fixed_curves(dim: usize, layers: usize) -> Config {
    let activation = Activation::SmoothLeakyRelu { a: 0.3 };
    Config { activation, final_activation: false, ..Config::new(dim, layers) }
}

/// Whether an emulator runs the tests: what would take it minutes is shorter then.
pub fn emulated() -> bool {
    std::env::var_os("RELGRAD_RUNNER").is_some()
}

/// A session's memory and parameters.
pub struct Owned<T> {
    pub config: Config,
    pub params: Vec<T>,
    pub state: AlignedBytes,
    pub workspace: AlignedBytes,
    pub scratch: AlignedBytes,
}

impl<T: Scalar> Owned<T> {
    /// Memory of exactly the stated sizes, workspace and scratch full of 0xa5.
    pub fn new(config: Config) -> Self {
        let sizes = Sizes::of::<T>(&config).unwrap();
        let dirty = |n| {
            let mut bytes = AlignedBytes::new(n);
            bytes.fill(0xa5);
            bytes
        };
        Owned {
            config,
            params: vec![T::ZERO; sizes.params_len],
            state: dirty(sizes.state_bytes),
            workspace: dirty(sizes.workspace_bytes),
            scratch: dirty(sizes.refresh_bytes),
        }
    }

    /// With the given network parameters, refreshed.
    pub fn with_params(config: Config, params: &[f64]) -> Self {
        let mut owned = Self::new(config);
        owned.params = params.iter().map(|p| T::from_f64(*p)).collect();
        owned.start(|s, p, scratch| s.refresh(p, scratch).map(|_| ())).unwrap();
        owned
    }

    /// Orthogonal weights.
    pub fn orthogonal(config: Config, seed: u64) -> Self {
        let mut owned = Self::new(config);
        owned.start(|s, p, _| s.start_orthogonal(p, seed)).unwrap();
        owned
    }

    /// A fresh session, started.
    pub fn start(
        &mut self,
        f: impl FnOnce(&mut Session<T>, &mut [T], &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut s = Session::new(&self.config, &mut self.state, &mut self.workspace)?;
        f(&mut s, &mut self.params, &mut self.scratch)
    }

    /// The session with its state as it stands.
    pub fn session(&mut self) -> (Session<'_, T>, &mut Vec<T>, &mut AlignedBytes) {
        let s = Session::attach(&self.config, &mut self.state, &mut self.workspace).unwrap();
        (s, &mut self.params, &mut self.scratch)
    }

    /// The weight of layer `k`.
    pub fn weight(&self, k: usize) -> Vec<f64> {
        self.params[Layout::new(&self.config).weight(k)].iter().map(|w| w.to_f64()).collect()
    }

    /// One step on the rows of `x`.
    pub fn step(&mut self, x: &[T], rate: f64) -> Result<Report> {
        let rows = x.len() / self.config.dim;
        let (mut s, params, _) = self.session();
        s.step(params, &Batch::new(x, rows), rate)
    }

    /// Log-likelihoods of the rows of `x`, the log-determinants made exact first.
    pub fn log_likelihood(&mut self, x: &[T]) -> Vec<f64> {
        let mut log_p = vec![0.0; x.len() / self.config.dim];
        let (mut s, params, scratch) = self.session();
        s.refresh(params, scratch).unwrap();
        s.log_likelihood(params, &Batch::new(x, log_p.len()), &mut log_p).unwrap();
        log_p
    }
}

/// Random parameters with well-conditioned weights of either sign of the determinant.
pub fn random_params(config: &Config, random: &mut Lcg) -> Vec<f64> {
    let layout = Layout::new(config);
    let d = config.dim;
    let mut params: Vec<f64> = random.normals(layout.params_len());
    for k in 0..config.layers {
        let w = &mut params[layout.weight(k)];
        w.iter_mut().for_each(|w| *w *= 0.4 / (d as f64).sqrt());
        w.iter_mut().step_by(d + 1).for_each(|w| *w += 1.0);
        w[..d].iter_mut().for_each(|w| *w *= if k == 0 { -1.0 } else { 1.0 });
    }
    for k in 0..layout.curves() {
        let curve = &mut params[layout.curve(k)];
        curve.iter_mut().for_each(|p| *p *= 0.4);
        // Slopes and weights: of about 1 in all, lest deep networks explode.
        if layout.steps() > 0 {
            curve[..(1 + layout.steps()) * d].iter_mut().for_each(|p| *p -= 1.5);
        }
    }
    for (i, s) in params[layout.scale()].iter_mut().enumerate() {
        *s = (1.0 + 0.2 * *s) * if i == 1 { -1.0 } else { 1.0 };
    }
    params
}

pub fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// `A B` for `B` of `n` rows.
pub fn matmul(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let columns = b.len() / n;
    let mut out = vec![0.0; a.len() / n * columns];
    for (out, a) in out.chunks_exact_mut(columns).zip(a.chunks_exact(n)) {
        for (a, b) in a.iter().zip(b.chunks_exact(columns)) {
            out.iter_mut().zip(b).for_each(|(out, b)| *out += a * b);
        }
    }
    out
}

/// Of a matrix with `n` columns.
pub fn transpose(a: &[f64], n: usize) -> Vec<f64> {
    (0..n).flat_map(|j| a[j..].iter().step_by(n).copied()).collect()
}

/// Whether `det A` is negative and `log|det A|`, by elimination with row exchanges.
pub fn determinant(a: &[f64], n: usize) -> (bool, f64) {
    let mut rows: Vec<Vec<f64>> = a.chunks_exact(n).map(<[f64]>::to_vec).collect();
    let (mut negative, mut log_abs) = (false, 0.0);
    for j in 0..n {
        let best = (j..n).max_by(|a, b| rows[*a][j].abs().total_cmp(&rows[*b][j].abs())).unwrap();
        rows.swap(j, best);
        let pivot = rows[j].clone();
        negative ^= (best != j) ^ (pivot[j] < 0.0);
        log_abs += pivot[j].abs().ln();
        for row in &mut rows[j + 1..] {
            let factor = row[j] / pivot[j];
            row.iter_mut().zip(&pivot).skip(j).for_each(|(x, p)| *x -= factor * p);
        }
    }
    (negative, log_abs)
}

/// `A^-1`, by elimination with row exchanges on `[A | I]`.
pub fn inverse(a: &[f64], n: usize) -> Vec<f64> {
    let unit = |i: usize| (0..n).map(move |j| f64::from(i == j));
    let rows = a.chunks_exact(n).enumerate();
    let mut rows: Vec<Vec<f64>> =
        rows.map(|(i, row)| row.iter().copied().chain(unit(i)).collect()).collect();
    for j in 0..n {
        let best = (j..n).max_by(|a, b| rows[*a][j].abs().total_cmp(&rows[*b][j].abs())).unwrap();
        rows.swap(j, best);
        let pivot = rows[j][j];
        rows[j].iter_mut().for_each(|v| *v /= pivot);
        let pivot = rows[j].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != j) {
            let factor = row[j];
            row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
        }
    }
    rows.iter().flat_map(|row| &row[n..]).copied().collect()
}

/// The largest difference, relative to the largest magnitude of `want`.
pub fn distance<T: Scalar, U: Scalar>(got: &[T], want: &[U]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = |x: &mut dyn Iterator<Item = f64>| {
        x.fold(0.0f64, |m, v| if v.abs() <= m || m.is_nan() { m } else { v.abs() })
    };
    let scale = largest(&mut want.iter().map(|w| w.to_f64())).max(1e-3);
    largest(&mut got.iter().zip(want).map(|(g, w)| g.to_f64() - w.to_f64())) / scale
}

pub fn cast<T: Scalar>(x: &[f64]) -> Vec<T> {
    x.iter().map(|v| T::from_f64(*v)).collect()
}

/// A small deterministic stream of numbers in (-1, 1), independent of the library's own.
pub struct Lcg(pub u64);

impl Lcg {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
    /// One of `0 .. n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() + 1.0) / 2.0 * n as f64) as usize
    }
    /// Roughly normal.
    pub fn normal(&mut self) -> f64 {
        (0..6).map(|_| self.next()).sum::<f64>() * 0.5f64.sqrt()
    }
    pub fn normals<T: Scalar>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| T::from_f64(self.normal())).collect()
    }
}

/// FNV-1a of the bits.
pub fn hash<T: Scalar>(x: &[T]) -> u64 {
    let bytes = x.iter().flat_map(|v| v.to_bits64().to_le_bytes());
    bytes.fold(0xcbf29ce484222325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100000001b3))
}

pub fn bits<T: Scalar>(x: &[T]) -> Vec<u64> {
    x.iter().map(|v| v.to_bits64()).collect()
}
