//! A call that must be refused.

use super::*;

pub const D: usize = 3;
pub const B: usize = 4;

pub fn config(optimizer: Optimizer) -> Config {
    Config { optimizer, max_batch: B, ..fixed_curves(D, 2) }
}

/// Every way of stepping, by optimiser and gradient.
pub fn configs() -> Vec<Config> {
    let with = |optimizer, gradient| Config { gradient, ..config(optimizer) };
    vec![
        config(Optimizer::ADAM),
        config(Optimizer::SGD),
        config(Optimizer::Sgd { momentum: 0.5 }),
        config(Optimizer::NATURAL),
        with(Optimizer::ADAM, Gradient::Transposed),
        with(Optimizer::SGD, Gradient::Ordinary),
    ]
}

/// Outputs to be found untouched after a refusal.
pub struct Out<T> {
    pub x: Vec<T>,
    pub p: Vec<f64>,
    pub totals: Totals,
}

impl<T: Scalar> Out<T> {
    pub fn new() -> Self {
        let totals = Totals { weight: 7.0, base_density: 7.0, log_slopes: 7.0 };
        Out { x: vec![T::from_f64(7.0); 100], p: vec![7.0; 2 * B], totals }
    }
}

pub type Expected = (Status, &'static str);

/// The call is refused as said, and whatever it is given to write to stays as it was.
#[track_caller]
pub fn refused<T: Scalar, R: std::fmt::Debug>(
    owned: &mut Owned<T>,
    (status, argument): Expected,
    call: impl FnOnce(&mut Session<T>, &mut [T], &mut [u8], &mut Out<T>) -> Result<R>,
) {
    let (params, state, mut out) = (bits(&owned.params), owned.state.to_vec(), Out::new());
    let (mut s, p, scratch) = owned.session();
    let error = call(&mut s, p, scratch, &mut out).unwrap_err();
    assert_eq!((error.status, error.argument), (status, argument), "{error}");
    assert!(bits(&owned.params) == params, "parameters changed");
    assert!(owned.state[..] == state[..], "state changed");
    let blank = Out::<T>::new();
    let same = bits(&out.x) == bits(&blank.x) && out.p == blank.p && out.totals == blank.totals;
    assert!(same, "outputs changed");
}

pub fn trained<T: Scalar>(config: Config) -> Owned<T> {
    let mut owned = Owned::orthogonal(config, 1);
    owned.step(&data(B), 0.01).unwrap();
    let (mut s, params, scratch) = owned.session();
    s.refresh(params, scratch).unwrap();
    owned
}

pub fn data<T: Scalar>(rows: usize) -> Vec<T> {
    Lcg(2).normals(rows * D)
}
