//! What the tests share.
#![allow(dead_code)]

use relgrad::*;

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
