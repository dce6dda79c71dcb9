//! Determinants and inverses of hostile matrices.

use relgrad::{
    Activation, AlignedBytes, Bias, Config, Inverse, Optimizer, Scalar, Session, Sizes, Status,
};

use crate::outcome::{note, note_error};
use crate::{Seeds, bytes::Bytes};

/// Refresh and factorization of one matrix: a finite log-determinant, the right one where that can be
/// told, and an inverse that is as good as it says; or an error with a name.
pub fn lu(input: &[u8]) {
    let mut b = Bytes(input);
    let d = 1 + b.below(6);
    let kind = b.byte();
    let power = if kind & 8 == 8 { i32::from(b.byte() as i8) } else { 0 };
    let whole = kind & 16 == 16;
    let element = |b: &mut Bytes| if whole { f64::from(b.byte() as i8) } else { b.number() };
    let mut w: Vec<f64> = (0..d * d).map(|_| element(&mut b)).collect();
    match kind & 7 {
        // Two rows alike, two columns alike, a row of zeros, a multiple, a diagonal.
        1 => w.copy_within(0..d, (d - 1) * d),
        2 => (0..d).for_each(|i| w[i * d + d - 1] = w[i * d]),
        3 => w[..d].fill(0.0),
        4 => (0..d).for_each(|j| w[(d - 1) * d + j] = 3.0 * w[j]),
        5 => (0..d * d).filter(|i| i % (d + 1) != 0).for_each(|i| w[i] = 0.0),
        _ => {}
    }
    let exact = whole.then(|| determinant(&w, d));
    let scaled: Vec<f64> = w.iter().map(|w| w * 2f64.powi(power)).collect();
    // Whole numbers times a power of two are exact in either type.
    let shift = d as f64 * f64::from(power) * std::f64::consts::LN_2;
    let exact = exact.map(|det| (det, shift));
    one::<f32>(&scaled, d, exact);
    one::<f64>(&scaled, d, exact);
}

/// Of whole numbers, without rounding (Bareiss).
fn determinant(w: &[f64], d: usize) -> i128 {
    let mut m: Vec<Vec<i128>> =
        w.chunks(d).map(|r| r.iter().map(|w| *w as i128).collect()).collect();
    let (mut sign, mut last) = (1, 1);
    for k in 0..d - 1 {
        let Some(pivot) = (k..d).find(|i| m[*i][k] != 0) else { return 0 };
        if pivot != k {
            m.swap(pivot, k);
            sign = -sign;
        }
        for i in k + 1..d {
            for j in k + 1..d {
                m[i][j] = (m[i][j] * m[k][k] - m[i][k] * m[k][j]) / last;
            }
        }
        last = m[k][k];
    }
    sign * m[d - 1][d - 1]
}

fn one<T: Scalar>(w: &[f64], d: usize, exact: Option<(i128, f64)>) {
    let config = Config {
        activation: Activation::Identity,
        bias: Bias::None,
        optimizer: Optimizer::SGD,
        max_batch: 1,
        ..Config::new(d, 1)
    };
    let sizes = Sizes::of::<T>(&config).expect("sizes");
    let mut state = AlignedBytes::new(sizes.state_bytes);
    let mut workspace = AlignedBytes::new(sizes.workspace_bytes);
    let mut scratch = AlignedBytes::new(sizes.refresh_bytes);
    let mut factors = AlignedBytes::new(sizes.factorization_bytes);
    let params: Vec<T> = w.iter().map(|w| T::from_f64(*w)).collect();
    let w: Vec<f64> = params.iter().map(|p| p.to_f64()).collect();
    let is_finite = w.iter().all(|w| w.is_finite());
    let mut session = Session::<T>::new(&config, &mut state, &mut workspace).expect("a session");
    let named = |status: Status| match status {
        Status::NonFiniteParameters => !is_finite,
        Status::Singular | Status::Diverged => is_finite,
        _ => false,
    };
    match session.refresh(&params, &mut scratch) {
        Ok(found) => {
            assert!(is_finite && found.log_det.is_finite(), "{found:?} of {w:?}");
            assert_eq!(session.log_det().expect("it is known").0, found.log_det);
            let least = if T::BITS == 32 { 1e-37 } else { 1e-307 };
            let normal = w.iter().all(|w| *w == 0.0 || (least..1e37).contains(&w.abs()));
            if let Some((det, shift)) = exact.filter(|_| normal) {
                // Elements are below 128, so this is what rounding may do to the determinant.
                let unsure = 1e-15 * (128.0 * d as f64).powi(d as i32) * (d * d) as f64;
                let want = (det.unsigned_abs() as f64).ln() + shift;
                let relative = unsure / det.unsigned_abs() as f64;
                if relative < 1e-3 {
                    let off = (found.log_det - want).abs();
                    assert!(off <= 2.0 * relative + 1e-12, "{:e} off {want:e}: {w:?}", off);
                }
            }
            note(("known", d, T::BITS, found.log_det > 0.0));
        }
        Err(error) => {
            assert!(named(error.status), "{error}: {w:?}");
            note_error(&error);
        }
    }
    match session.factorize(&params, &mut factors) {
        Ok(()) => assert!(is_finite),
        Err(error) => {
            assert!(named(error.status), "{error}: {w:?}");
            note_error(&error);
        }
    }
    let z: Vec<T> = (0..d).map(|i| T::from_f64(0.75 - 0.5 * i as f64)).collect();
    let mut x = vec![T::ONE; d];
    match session.inverse(&params, &Inverse::Factorization(&factors), &z, 1, &mut x) {
        Ok(inversion) => {
            assert!(x.iter().all(|x| x.to_f64().is_finite()) && inversion.residual.is_finite());
            for (w, z) in w.chunks(d).zip(&z) {
                let terms: Vec<f64> = w.iter().zip(&x).map(|(w, x)| w * x.to_f64()).collect();
                let size = terms.iter().map(|t| t.abs()).sum::<f64>().max(1.0);
                let own =
                    (terms.iter().sum::<f64>() - z.to_f64()).abs() / z.to_f64().abs().max(1.0);
                let most = 1.001 * inversion.residual + 16.0 * d as f64 * T::EPSILON * size;
                assert!(own <= most, "{own:e}, said to be {:e}: {w:?} {x:?}", inversion.residual);
            }
            note(("inverted", d, T::BITS, inversion.residual < 1e-3));
        }
        Err(error) => {
            assert!(x.iter().all(|x| *x == T::ONE), "written on error");
            note_error(&error);
        }
    }
}

pub fn seeds() -> Seeds {
    let whole = |kind: u8, power: u8| {
        let elements = (0..9u8).map(|i| i.wrapping_mul(37) ^ 5);
        let head: &[u8] = if kind & 8 == 8 { &[2, kind, power] } else { &[2, kind] };
        head.iter().copied().chain(elements).collect::<Vec<u8>>()
    };
    let mut seeds: Seeds =
        (0..6).map(|kind| (format!("whole_{kind}"), whole(16 + kind, 0))).collect();
    seeds.push(("whole_scaled_up".into(), whole(24, 30)));
    seeds.push(("whole_scaled_down".into(), whole(24, 226)));
    // Two by two, of scales as numbers have them.
    let hard = |i: u8| [208, i, 0, 16, 0, 240, 208, i + 1];
    for i in [0, 9, 12, 14, 15] {
        seeds.push((format!("hard_{i}"), [&[1, 0][..], &hard(i)].concat()));
    }
    seeds
}
