//! Linear ICA for C. It allocates, so it is in libraries with std only.

use std::vec::Vec;

use super::convert::{flag, one_of};
use super::edge::call;
use super::guard::{self, Region, fill};
use super::types::*;
use crate::ica::{Component, Components, Ica, SourceDensity};
use crate::simd::Level;
use crate::status::{Error, Result, Status, Value};
use crate::{ParallelFor, Pool, Real};

impl relgrad_ica {
    fn defaults(features: u32) -> Self {
        let ica = Ica::default();
        relgrad_ica {
            struct_size: size_of::<Self>() as u32,
            features,
            components: 0,
            density: ica.density as u32,
            orthogonal: ica.orthogonal.into(),
            restarts: ica.restarts as u32,
            iterations: ica.iterations as u32,
            level: ica.level as u32,
            seed: ica.seed,
            tolerance: ica.tolerance,
        }
    }

    fn read(&self) -> Result<Ica> {
        Ok(Ica {
            components: (self.components > 0).then_some(self.components as usize),
            density: one_of(self.density, &SourceDensity::ALL, "ica.density")?,
            orthogonal: flag(self.orthogonal, "ica.orthogonal")?,
            restarts: self.restarts as usize,
            seed: self.seed,
            tolerance: self.tolerance,
            iterations: self.iterations as usize,
            level: one_of(self.level, Level::ALL, "ica.level")?,
        })
    }
}

impl From<&Components> for relgrad_ica_report {
    fn from(found: &Components) -> Self {
        relgrad_ica_report {
            struct_size: size_of::<Self>() as u32,
            stop: found.stop() as u32,
            iterations: found.iterations() as u64,
            log_likelihood: found.log_likelihood().unwrap_or(f64::NAN),
            gradient_norm: found.gradient_norm(),
        }
    }
}

impl From<&Component> for relgrad_component {
    fn from(each: &Component) -> Self {
        relgrad_component {
            struct_size: size_of::<Self>() as u32,
            kind: each.kind as u32,
            gaussian: each.gaussian.into(),
            reserved: 0,
            explained: each.explained,
            kurtosis: each.kurtosis,
            stability: each.stability.unwrap_or(f64::NAN),
            scale: each.scale,
        }
    }
}

/// Fills `ica`, whose struct_size is set, with the defaults: as many components as features, extended
/// density, one start. In libraries with std.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_ica_default(ica: *mut relgrad_ica, features: u32) -> i32 {
    call(|| {
        // SAFETY: the caller vouches for `ica`.
        unsafe {
            guard::structure("ica", ica)?;
            fill(ica, relgrad_ica::defaults(features));
        }
        Ok(())
    })
}

/// Linear ICA: the matrix U that makes the columns of `rows` rows of `ica->features` numbers independent,
/// s = U (x - mean), by maximum likelihood of all rows. Sources have variance 1, the one that explains
/// most of the data comes first; in each column of `mixing` the element of the largest magnitude is
/// positive. Writes `unmixing` (components, features), `mixing` (features, components), `mean`
/// (features), and, unless NULL, `each` (one structure for each component; the first one's struct_size is
/// set, they lie that far apart) and `report`. Runs on the threads of `pool`, or on the calling one if it
/// is NULL; the bits are the same. Iterations that do not converge are no error: see report.stop.
///
/// Allocates about rows * components numbers: RELGRAD_ERR_BATCH without that memory. In libraries with std.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_ica_fit(
    ica: *const relgrad_ica,
    data: *const f32,
    rows: usize,
    pool: *const relgrad_pool,
    unmixing: *mut f64,
    mixing: *mut f64,
    mean: *mut f64,
    each: *mut relgrad_component,
    report: *mut relgrad_ica_report,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { fit(ica, (data, rows), pool, [unmixing, mixing, mean], each, report) }
}

/// As relgrad_ica_fit, of data in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_ica_fit_f64(
    ica: *const relgrad_ica,
    data: *const f64,
    rows: usize,
    pool: *const relgrad_pool,
    unmixing: *mut f64,
    mixing: *mut f64,
    mean: *mut f64,
    each: *mut relgrad_component,
    report: *mut relgrad_ica_report,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { fit(ica, (data, rows), pool, [unmixing, mixing, mean], each, report) }
}

unsafe fn fit<T: Real>(
    ica: *const relgrad_ica,
    (data, rows): (*const T, usize),
    pool: *const relgrad_pool,
    matrices: [*mut f64; 3],
    each: *mut relgrad_component,
    report: *mut relgrad_ica_report,
) -> i32 {
    // SAFETY: the caller vouches for all pointers.
    call(|| unsafe {
        let settings = guard::value("ica", ica)?;
        let (d, read) = (settings.features as usize, settings.read()?);
        let m = read.components.unwrap_or(d);
        let Some(len) = rows.checked_mul(d) else {
            let v = Value::Int(rows as u64);
            return Err(Error::new(Status::Length, "rows", v, "must fit in memory"));
        };
        let names = ["unmixing", "mixing", "mean"];
        let lens = [m.saturating_mul(d), m.saturating_mul(d), d];
        let mut written = Vec::new();
        for ((p, name), len) in matrices.into_iter().zip(names).zip(lens) {
            written.push(Region::of(name, p, len)?);
        }
        written.push(guard::optional_structure("report", report)?);
        let apart = if each.is_null() { 0 } else { guard::structure("each", each)?.bytes() };
        if apart > 0 {
            let aligned = Region::of("each", each.cast::<u8>(), apart.saturating_mul(m))?;
            if !apart.is_multiple_of(align_of::<relgrad_component>()) {
                let v = Value::Int(apart as u64);
                let allowed = "must be the sizeof of the structure, set before the call";
                return Err(Error::new(Status::Abi, "each.struct_size", v, allowed));
            }
            written.push(aligned);
        }
        guard::disjoint(&written, &[Region::of("data", data, len)?])?;
        let team: Option<&dyn ParallelFor> = if pool.is_null() {
            None
        } else {
            Region::of("pool", pool.cast::<Pool>(), 1)?;
            Some(&*pool.cast::<Pool>())
        };
        let found = read.fit_on(guard::read("data", data, len)?, d, team)?;
        let values = [found.unmixing(), found.mixing(), found.mean()];
        for ((p, name), values) in matrices.into_iter().zip(names).zip(values) {
            guard::write(name, p, values.len())?.copy_from_slice(values);
        }
        if apart > 0 {
            for (k, component) in found.each().iter().enumerate() {
                let to = each.byte_add(k * apart);
                guard::put(to.cast::<u32>(), apart as u32);
                fill(to, component.into());
            }
        }
        fill(report, (&found).into());
        Ok(())
    })
}
