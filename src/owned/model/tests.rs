use core::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use super::*;
use crate::config::Optimizer;
use crate::threads::counting::Counting;

fn data<T: Scalar>(n: usize) -> Vec<T> {
    (0..n)
        .map(|i| T::from_f64((i as f64 * 0.618).fract() - 0.3 * (i as f64 * 0.37).sin()))
        .collect()
}

fn bits<T: Scalar>(model: &Model<T>) -> (Vec<u64>, Vec<u8>) {
    (model.params().iter().map(|p| p.to_bits64()).collect(), model.state().to_vec())
}

fn starts_are_the_same_on_a_team<T: Scalar>() {
    const DIM: usize = 320;
    let config = Config { input_transform: true, max_batch: 30, ..Config::new(DIM, 2) };
    let x = data::<T>(500 * DIM);
    let team = Arc::new(Counting(AtomicUsize::new(0)));
    let parts = || team.0.swap(0, Ordering::Relaxed);
    let blank = || Model::<T>::blank(config).unwrap().with_parallel(team.clone());

    let mut model = blank();
    model.start_orthogonal(1).unwrap();
    assert!(parts() > 0);
    assert!(bits(&model) == bits(&Model::<T>::new(config, 1).unwrap()));

    let mut model = blank();
    model.start_from_data(&x, Start::Whitened, 1).unwrap();
    assert!(parts() > 0);
    let mut alone = Model::from_data(config, &x, Start::Whitened, 1).unwrap();
    assert!(bits(&model) == bits(&alone));

    let mut loaded = blank();
    loaded.set_params(model.params()).unwrap();
    assert!(parts() > 0);
    assert!(bits(&loaded) == bits(&Model::from_params(config, model.params()).unwrap()));

    // What is computed from there.
    assert!(model.refresh().unwrap() == alone.refresh().unwrap() && parts() > 0);
    assert!(model.sample(2, 1).unwrap() == alone.sample(2, 1).unwrap() && parts() > 0);
    #[cfg(feature = "files")]
    assert!(model.conditioning().unwrap() == alone.conditioning().unwrap() && parts() > 0);
}

#[test]
fn starts_and_factorisations_run_on_a_team_to_the_same_bits() {
    starts_are_the_same_on_a_team::<f32>();
    starts_are_the_same_on_a_team::<f64>();
}

#[test]
fn only_what_changes_parameters_discards_the_factorisation() {
    let config = Config { input_transform: true, max_batch: 4, ..Config::new(3, 2) };
    let x = data::<f64>(30);
    let mut model = Model::from_data(config, &x, Start::Whitened, 1).unwrap();
    let first = model.sample(5, 1).unwrap();
    type Call = (&'static str, bool, fn(&mut Model<f64>, &[f64]) -> Result<()>);
    let calls: [Call; 14] = [
        ("steps", true, |m, _| {
            assert_eq!(m.steps(), 0);
            Ok(())
        }),
        ("log_det", true, |m, _| m.log_det().map(|_| ())),
        ("refresh", true, |m, _| m.refresh().map(|_| ())),
        ("forward", true, |m, x| m.forward(x).map(|_| ())),
        ("log_likelihood", true, |m, x| m.log_likelihood(x).map(|_| ())),
        ("bending_share", true, |m, x| m.bending_share(x).map(|_| ())),
        ("inverse", true, |m, x| m.inverse(x).map(|_| ())),
        ("a refused inverse", true, |m, _| {
            assert!(m.inverse(&[f64::NAN; 3]).is_err());
            Ok(())
        }),
        ("step", false, |m, x| m.step(&x[..12], 0.1).map(|_| ())),
        ("session", false, |m, _| m.session().0.log_det().map(|_| ())),
        ("set_params", false, |m, _| {
            let params = m.params().to_vec();
            m.set_params(&params)
        }),
        ("restore", false, |m, _| {
            let (params, state) = (m.params().to_vec(), m.state().to_vec());
            m.restore(&params, &state)
        }),
        ("start_from_data", false, |m, x| m.start_from_data(x, Start::Whitened, 1)),
        ("start_orthogonal", false, |m, _| m.start_orthogonal(1)),
    ];
    for (name, keeps, call) in calls {
        model.sample(1, 1).unwrap();
        assert!(model.factorization.is_some());
        call(&mut model, &x).unwrap();
        assert_eq!(model.factorization.is_some(), keeps, "{name}");
    }
    // The factorisation is that of the parameters at hand.
    model.start_from_data(&x, Start::Whitened, 1).unwrap();
    assert_eq!(model.sample(5, 1).unwrap(), first);
    model.step(&x[..12], 0.1).unwrap();
    assert_ne!(model.sample(5, 1).unwrap(), first);
}

#[test]
fn a_model_begins_anew_in_its_memory() {
    for optimizer in [Optimizer::ADAM, Optimizer::NATURAL] {
        let config = Config { optimizer, input_transform: true, max_batch: 4, ..Config::new(3, 2) };
        let x = data::<f32>(30);
        let fresh = Model::from_data(config, &x, Start::Whitened, 1).unwrap();
        let mut model = fresh.clone();
        for _ in 0..3 {
            model.step(&x[..12], 0.1).unwrap();
        }
        let trained = model.clone();
        model.set_params(fresh.params()).unwrap();
        assert!(bits(&model) == bits(&fresh));
        model = trained.clone();
        model.start_from_data(&x, Start::Whitened, 1).unwrap();
        assert!(bits(&model) == bits(&fresh));

        // Nothing changes on failure.
        model = trained.clone();
        let n = model.params().len();
        assert_eq!(model.set_params(&vec![0.0; n]).unwrap_err().status, Status::Singular);
        assert_eq!(model.set_params(&[0.0]).unwrap_err().status, Status::Length);
        let bad = [f32::NAN; 6];
        let refused = model.start_from_data(&bad, Start::Whitened, 1).unwrap_err();
        assert_eq!(refused.status, Status::NonFiniteData);
        assert!(bits(&model) == bits(&trained));
    }
}

#[test]
fn a_blank_model_has_no_likelihood() {
    let mut blank = Model::<f32>::blank(Config::new(2, 2)).unwrap();
    assert_eq!(blank.log_likelihood(&[0.0; 2]).unwrap_err().status, Status::LogDetUnknown);
    assert_eq!(blank.step(&[0.0; 2], 0.1).unwrap_err().status, Status::LogDetUnknown);
    assert_eq!(blank.sample(1, 1).unwrap_err().status, Status::Singular);
}

/// By hand: the first layer's pre-activations, and both layers without their final curves.
#[test]
fn first_layers_stand_alone() {
    let config = Config { input_transform: true, max_batch: 4, ..Config::new(3, 2) };
    let x = data::<f64>(30);
    let mut model = Model::from_data(config, &x, Start::Whitened, 1).unwrap();
    model.step(&x[..12], 0.1).unwrap();
    let (layout, params) = (model.layout(), model.params());
    let first = model.first_layers(1).unwrap().forward(&x).unwrap();
    for (x, y) in x.chunks(3).zip(first.chunks(3)) {
        let input = |j: usize| (x[j] - params[layout.shift()][j]) * params[layout.scale()][j];
        for i in 0..3 {
            let row = &params[layout.weight(0)][3 * i..3 * i + 3];
            let by_hand: f64 = (0..3).map(|j| row[j] * input(j)).sum();
            assert!((by_hand + params[layout.bias(0)][i] - y[i]).abs() < 1e-13);
        }
    }
    let affine = Config { final_activation: false, ..config };
    let end = Layout::new(&affine).curve(0).end;
    let without = [&params[..end], &params[layout.shift().start..]].concat();
    let expected = Model::from_params(affine, without).unwrap().forward(&x).unwrap();
    assert_eq!(model.first_layers(2).unwrap().forward(&x).unwrap(), expected);
    for layers in [0, 3] {
        assert_eq!(model.first_layers(layers).err().unwrap().status, Status::Layers);
    }
}
