use super::super::data::Data;
use super::*;
use crate::{Config, Decay, Optimizer, Schedule, Start};

fn data(rows: usize, seed: u64) -> Data<f32> {
    let mut random = crate::random::Random::new(seed, 9);
    let values = (0..rows).flat_map(|_| {
        let t = random.normal();
        [t as f32, (t * t + 0.3 * random.normal()) as f32]
    });
    Data::new(2, values.collect()).unwrap()
}

fn training(optimizer: Optimizer, rate: f64, plan: Plan) -> Training<f32> {
    let config = Config { optimizer, max_batch: 16, ..Config::new(2, 3) };
    let model = Model::from_data(config, data(300, 1).values(), Start::Whitened, 1).unwrap();
    let schedule = Schedule { rate, warmup: 5, decay: Decay::Cosine { total: 400 } };
    Training::new(Trainer::new(model, schedule, 1).unwrap(), plan).unwrap()
}

fn go_on(_: Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn the_best_model_is_kept_and_patience_ends_a_run() {
    // So few rows that training soon fits their noise.
    let (train, validation) = (data(40, 1), data(400, 2));
    let plan = Plan { patience: Some(4), ..Plan::new(500) };
    let mut run = training(Optimizer::ADAM, 0.02, plan);
    let mut seen = Vec::new();
    let end = run
        .run(&train, Some(&validation), &mut |event| {
            if let Event::Epoch(e) = event {
                seen.push(*e);
            }
            go_on(event)
        })
        .unwrap();
    assert_eq!(end, End::OutOfPatience);
    let (epoch, value) = run.best().unwrap();
    assert_eq!(seen.len() as u64, epoch + 4);
    let values = seen.iter().map(|e| e.validation.unwrap());
    assert_eq!(values.fold(f64::NEG_INFINITY, f64::max), value);
    assert!(seen[epoch as usize - 1].is_best && !seen[epoch as usize].is_best);
    let mut best = run.into_best().unwrap();
    assert!((best.mean_log_likelihood_of(&validation).unwrap() - value).abs() < 1e-9);
}

/// The log-determinants that steps carry along are made exact before they select a model, and
/// the steps' course does not notice.
#[test]
fn what_selects_is_exact_and_moves_no_parameter() {
    let (train, validation) = (data(300, 1), data(50, 2));
    for optimizer in [Optimizer::NATURAL, Optimizer::SGD, Optimizer::ADAM] {
        let mut run = training(optimizer, 0.05, Plan::new(8));
        let mut last = None;
        run.run(&train, Some(&validation), &mut |event| {
            if let Event::Epoch(e) = event {
                last = e.validation;
            }
            go_on(event)
        })
        .unwrap();
        let config = *run.trainer.model.config();
        let mut afresh = Model::from_params(config, run.trainer.model.params()).unwrap();
        assert_eq!(last.unwrap(), afresh.mean_log_likelihood_of(&validation).unwrap());

        let mut plain = training(optimizer, 0.05, Plan::new(8)).trainer;
        for _ in 0..8 {
            plain.epoch(train.values(), |_| true).unwrap();
        }
        assert_eq!(run.trainer.model.params(), plain.model.params());
        let carried = plain.model.log_det().unwrap();
        let exact = run.trainer.model.log_det().unwrap();
        // The test would say nothing if there were nothing to make exact.
        let drifts = !matches!(optimizer, Optimizer::Adam { .. });
        assert_eq!(carried != exact, drifts, "{carried} {exact}");
    }
}

#[test]
fn patience_needs_validation() {
    let plan = Plan { patience: Some(4), ..Plan::new(5) };
    let mut run = training(Optimizer::ADAM, 0.02, plan);
    assert!(run.run(&data(40, 1), None, &mut go_on).unwrap_err().to_string().contains("patience"));
    let plan = Plan { guard: f64::NAN, ..Plan::new(5) };
    let trainer = training(Optimizer::ADAM, 0.02, Plan::new(1)).trainer;
    assert!(Training::new(trainer, plan).is_err());
}

#[test]
fn a_diverging_run_slows_down_and_recovers() {
    let train = data(300, 1);
    let mut run = training(Optimizer::SGD, 30.0, Plan::new(30));
    let before = run.trainer.model.mean_log_likelihood_of(&train).unwrap();
    let (mut factors, mut last) = (Vec::new(), f64::NAN);
    let end = run.run(&train, None, &mut |event| {
        match event {
            Event::RolledBack { rate_factor, epoch, reason } => {
                assert!(!reason.is_empty() && epoch <= 30);
                factors.push(rate_factor);
            }
            Event::Epoch(e) => last = e.train,
            _ => {}
        }
        ControlFlow::Continue(())
    });
    assert_eq!(end.unwrap(), End::Finished);
    let halves: Vec<f64> = (1..=factors.len()).map(|n| 0.5f64.powi(n as i32)).collect();
    assert!(!factors.is_empty() && factors == halves, "{factors:?}");
    assert!(last > before + 0.3, "{before} {last}");
}

#[test]
fn resumes_bit_for_bit_from_any_step() {
    let (train, validation) = (data(100, 1), data(50, 2));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    for (optimizer, rate) in [(Optimizer::NATURAL, 0.05), (Optimizer::ADAM, 0.02)] {
        let plan = Plan { checkpoint: Some(path.clone()), ..Plan::new(6) };
        let mut whole = training(optimizer, rate, Plan::new(6));
        whole.run(&train, Some(&validation), &mut go_on).unwrap();
        // 7 steps an epoch: stops fall on the ends of epochs and between them.
        for gap in [1, 3, 7, 10] {
            let mut run = training(optimizer, rate, plan.clone());
            let mut ends = 0;
            loop {
                let mut left = gap;
                let mut saved = false;
                let end = run.run(&train, Some(&validation), &mut |event| {
                    left -= u32::from(matches!(event, Event::Step { .. }));
                    saved |= matches!(event, Event::Saved(_));
                    if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                if end.unwrap() == End::Finished {
                    break;
                }
                assert!(saved);
                ends += 1;
                // Another start: nothing of it may be left after resuming.
                let trainer = training(optimizer, rate, Plan::new(1)).trainer;
                run = Training::resume(trainer, plan.clone(), &path).unwrap();
            }
            assert_eq!(ends, 42 / gap);
            assert_eq!(run.trainer.snapshot(), whole.trainer.snapshot());
            assert_eq!(
                (run.best(), &run.best, &run.good),
                (whole.best(), &whole.best, &whole.good)
            );
        }
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_does_not_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { checkpoint: Some(folder.path().join("no/folder")), ..Plan::new(3) };
    let mut run = training(Optimizer::ADAM, 0.02, plan);
    let mut failures = 0;
    let end = run.run(&data(40, 1), None, &mut |event| {
        failures += u32::from(matches!(event, Event::NotSaved(_)));
        ControlFlow::Continue(())
    });
    assert_eq!((end.unwrap(), failures), (End::Finished, 3));
}
