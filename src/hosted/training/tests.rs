use super::super::data::Data;
use super::*;
use crate::{Activation, Config, Decay, Optimizer, Schedule, Start};

fn data(rows: usize, seed: u64) -> Data<f32> {
    let mut random = crate::random::Random::new(seed, 9);
    let values = (0..rows).flat_map(|_| {
        let t = random.normal();
        [t as f32, (t * t + 0.3 * random.normal()) as f32]
    });
    Data::new(2, values.collect()).unwrap()
}

fn training(optimizer: Optimizer, rate: f64, plan: Plan) -> Training<f32> {
    let activation = Activation::SmoothLeakyRelu { a: 0.3 };
    let usual = Config { activation, final_activation: false, ..Config::new(2, 3) };
    let config = Config { optimizer, max_batch: 16, ..usual };
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

/// The average is what is measured and kept; the steps' course does not notice.
#[test]
fn an_average_is_measured_and_kept() {
    let (train, validation) = (data(300, 1), data(50, 2));
    for optimizer in [Optimizer::NATURAL, Optimizer::ADAM] {
        let run = |average, held_out: Option<&dyn Rows<f32>>| {
            let mut run = training(optimizer, 0.05, Plan { average, ..Plan::new(6) });
            let mut values = Vec::new();
            run.run(&train, held_out, &mut |event| {
                if let Event::Epoch(e) = event {
                    values.push(e.validation.unwrap_or(f64::NAN));
                }
                go_on(event)
            })
            .unwrap();
            (run, values)
        };
        let (mut plain, _) = run(None, None);
        let (mut averaged, _) = run(Some(0.3), None);
        assert_eq!(averaged.trainer.model.params(), plain.trainer.model.params());
        assert_eq!(averaged.trainer.model.log_det(), plain.trainer.model.log_det());

        // 19 steps an epoch: every tenth and the last of each are averaged.
        let mut steps = training(optimizer, 0.05, Plan::new(6)).trainer;
        let mut by_hand = Average::new(0.3, steps.model.params());
        let mut averages = Vec::new();
        for step in 1..=114 {
            let taken = steps.step(300, |pass, rows, batch| train.fetch(pass, rows, batch));
            let is_last = taken.unwrap().pass_mean.is_some();
            by_hand.see(step, is_last, steps.model.params());
            if is_last {
                averages.push(by_hand.values.clone());
            }
        }
        assert_eq!(averaged.into_best().unwrap().params(), &averages[5][..]);

        let (selected, values) = run(Some(0.3), Some(&validation));
        let (best, value) = selected.best().unwrap();
        let kept = selected.into_best().unwrap();
        assert_eq!(kept.params(), &averages[best as usize - 1][..]);
        for (average, value) in averages.iter().zip(&values) {
            let mut afresh = Model::from_params(*kept.config(), average).unwrap();
            assert_eq!(afresh.mean_log_likelihood_of(&validation).unwrap(), *value);
        }
        assert_eq!(values.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v)), value);
    }
    for share in [0.0, -1.0, 1.5, f64::NAN] {
        let trainer = training(Optimizer::ADAM, 0.02, Plan::new(1)).trainer;
        let plan = Plan { average: Some(share), ..Plan::new(1) };
        assert!(Training::new(trainer, plan).err().unwrap().to_string().contains("average"));
    }
}

/// An average that is no model is neither chosen nor kept.
#[test]
fn an_average_may_be_singular() {
    let train = data(300, 1);
    let plan = || Plan { average: Some(0.3), ..Plan::new(1) };
    let mut run = training(Optimizer::NATURAL, 0.05, plan());
    run.run(&train, None, &mut go_on).unwrap();
    run.average.as_mut().unwrap().values.fill(0.0);
    assert_eq!(run.validate(&train).unwrap(), f64::NEG_INFINITY);
    let params = run.trainer.model.params().to_vec();
    let mut last = run.into_best().unwrap();
    assert!(last.params() == params && last.mean_log_likelihood_of(&train).unwrap().is_finite());

    // Broken off before there was anything to average.
    let mut run = training(Optimizer::NATURAL, 0.05, plan());
    let start = run.trainer.model.params().to_vec();
    run.run(&train, None, &mut |_| ControlFlow::Break(())).unwrap();
    let params = run.trainer.model.params().to_vec();
    assert!(params != start && run.into_best().unwrap().params() == params);
}

/// A model that fits its data too well is not rolled back for it.
#[test]
fn the_guard_does_not_look_at_validation() {
    let (train, validation) = (data(40, 1), data(400, 2));
    let plan = Plan { guard: 0.05, ..Plan::new(300) };
    let mut run = training(Optimizer::ADAM, 0.02, plan);
    let (mut values, mut roll_backs) = (Vec::new(), 0);
    run.run(&train, Some(&validation), &mut |event| {
        match event {
            Event::Epoch(e) => values.push(e.validation.unwrap()),
            Event::RolledBack { .. } => roll_backs += 1,
            _ => {}
        }
        go_on(event)
    })
    .unwrap();
    let best = run.best().unwrap().1;
    assert!(values.iter().any(|v| *v < best - 0.1) && roll_backs == 0, "{roll_backs} {best}");
}

#[test]
fn a_run_that_goes_back_averages_anew() {
    let train = data(300, 1);
    let plan = Plan { average: Some(1.0), ..Plan::new(6) };
    let mut run = training(Optimizer::SGD, 30.0, plan);
    // Every tenth step and the last of each epoch.
    let (mut roll_backs, mut taken, mut tenth) = (0, 0, false);
    run.run(&train, None, &mut |event| {
        match event {
            Event::Step { step, .. } => {
                tenth = step % 10 == 0;
                taken += u64::from(tenth);
            }
            Event::Epoch(_) => taken += u64::from(!tenth),
            Event::RolledBack { .. } => (roll_backs, taken) = (roll_backs + 1, 1),
            _ => {}
        }
        go_on(event)
    })
    .unwrap();
    assert!(roll_backs > 0);
    let average = run.average.unwrap();
    assert_eq!(average.taken, taken);
    assert!(average.values.iter().all(|v| v.is_finite()));
}

#[test]
fn validation_may_be_rarer_than_epochs() {
    let (train, validation) = (data(40, 1), data(400, 2));
    let plan = Plan { validate_every: 3, ..Plan::new(7) };
    let mut run = training(Optimizer::ADAM, 0.01, plan);
    let mut due = Vec::new();
    run.run(&train, Some(&validation), &mut |event| {
        if let Event::Epoch(e) = event
            && e.validation.is_some()
        {
            due.push(e.epoch);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(due, [3, 6, 7]);
    assert!(due.contains(&run.best().unwrap().0));
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

/// All of a run, as a checkpoint holds it.
fn saved(run: &Training<f32>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    run.save(&folder.path().join("run")).unwrap();
    std::fs::read(folder.path().join("run")).unwrap()
}

/// A run's numbers are in memory once, but for those that it may go back to, which are in files
/// where there is a folder for them.
#[test]
fn copies_are_few_and_large_ones_are_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let train = Data::new(400, (0..8000).map(|i| (i as f32 * 0.618).fract()).collect()).unwrap();
    let run = |scratch: Option<&Path>, validation: Option<&dyn Rows<f32>>| {
        let config = Config { max_batch: 10, ..Config::new(400, 2) };
        let model = Model::new(config, 1).unwrap();
        let scratch = scratch.map(Path::to_path_buf);
        let plan = Plan { scratch, guard: 1e9, ..Plan::new(2) };
        let trainer = Trainer::new(model, Schedule::constant(1e-3), 1).unwrap();
        let mut run = Training::new(trainer, plan).unwrap();
        run.run(&train, validation, &mut go_on).unwrap();
        run
    };
    let path = Some(folder.path());
    let (plain, in_file) = (run(None, None), run(path, None));
    assert!(plain.best.is_none() && plain.good.is_in_memory());
    assert!(in_file.best.is_none() && !in_file.good.is_in_memory());
    let (kept, kept_in_file) = (run(None, Some(&train)), run(path, Some(&train)));
    assert!(kept.best.as_ref().unwrap().is_in_memory());
    assert!(!kept_in_file.best.as_ref().unwrap().is_in_memory());
    // The same runs, wherever their copies are.
    assert!(saved(&plain) == saved(&in_file) && saved(&kept) == saved(&kept_in_file));
    let best = [kept, kept_in_file].map(|run| run.into_best().unwrap());
    assert_eq!(best[0].params(), best[1].params());
}

#[test]
fn the_best_model_keeps_its_team() {
    let team = std::sync::Arc::new(crate::Pool::new(2).unwrap());
    let mut run = training(Optimizer::ADAM, 0.02, Plan::new(2));
    run.trainer.model.set_parallel(Some(team.clone()));
    run.run(&data(40, 1), Some(&data(40, 2)), &mut go_on).unwrap();
    assert!(run.best.is_some());
    let mut best = run.into_best().unwrap();
    assert_eq!(std::sync::Arc::strong_count(&team), 2);
    best.set_parallel(None);
    assert_eq!(std::sync::Arc::strong_count(&team), 1);
}

#[test]
fn resumes_bit_for_bit_from_any_step() {
    let (train, validation) = (data(100, 1), data(50, 2));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    for (optimizer, rate, average) in
        [(Optimizer::NATURAL, 0.05, None), (Optimizer::ADAM, 0.02, Some(0.2))]
    {
        let usual = Plan { average, ..Plan::new(6) };
        let plan = Plan { checkpoint: Some(path.clone()), ..usual.clone() };
        let mut whole = training(optimizer, rate, usual);
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
            assert!(saved(&run) == saved(&whole));
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

/// A checkpoint with a right checksum whose `name` has other bytes.
fn forge(path: &Path, name: &str, bytes: &[u8]) {
    // The head is 20 bytes long.
    let whole = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&whole[20..]).unwrap();
    let tensors = tensors.iter().map(|(n, t)| {
        let data = if n == name { bytes } else { t.data() };
        let count = data.len() * 8 / t.dtype().bitsize();
        Tensor::bytes(n, t.dtype(), [count].to_vec(), data)
    });
    checkpoint::write(path, "", tensors.collect()).unwrap();
}

#[test]
fn forged_checkpoints_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut run = training(Optimizer::ADAM, 0.02, Plan::new(6));
    let mut left = 10;
    run.run(&data(100, 1), Some(&data(50, 2)), &mut |event| {
        left -= i32::from(matches!(event, Event::Step { .. }));
        if left <= 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    let words = |w: &[u64]| -> Vec<u8> { w.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let params: Vec<u8> = run.trainer.model.params().iter().flat_map(|p| p.to_le_bytes()).collect();
    let nan = [&f32::NAN.to_le_bytes(), &params[4..]].concat();
    let mut steps = run.trainer.model.state().to_vec();
    steps[16..24].fill(0xff);
    let position = |factor: f64, sum: f64| words(&[1, 3, sum.to_bits(), factor.to_bits(), 0]);
    let resume = || {
        let trainer = training(Optimizer::ADAM, 0.02, Plan::new(1)).trainer;
        Training::resume(trainer, Plan::new(6), &path)
    };
    for (name, bytes) in [
        (BEST, &params[4..]),
        (BEST, &[]),
        (BEST, &nan),
        (GOOD[0], &params[4..]),
        (GOOD[1], &steps[1..]),
        (GOOD[1], &steps),
        (GOOD[2], &position(-1.0, 0.0)),
        (NOW[0], &nan),
        (NOW[1], &steps),
        (NOW[2], &position(f64::NAN, 0.0)),
        (NOW[2], &position(1.0, f64::NAN)),
        (NOW[2], &words(&[1, 3])),
        (COUNTS, &words(&[u64::MAX; 5])),
        (COUNTS, &words(&[])),
    ] {
        run.save(&path).unwrap();
        resume().unwrap();
        forge(&path, name, bytes);
        let refused = resume().unwrap_err().to_string();
        assert!(!refused.is_empty(), "{name}");
    }
    // Rows that are not there, and as many roll-backs as can be, are errors of the run.
    run.save(&path).unwrap();
    forge(&path, NOW[2], &words(&[1, u64::MAX, 0, 1.0f64.to_bits(), 0]));
    let end = resume().unwrap().run(&data(100, 1), Some(&data(50, 2)), &mut go_on);
    assert!(end.unwrap_err().to_string().contains("position"));
    run.save(&path).unwrap();
    forge(&path, COUNTS, &words(&[u64::MAX, u64::MAX, 0, 0, u64::MAX]));
    let end = resume().unwrap().run(&data(100, 1), Some(&data(50, 2)), &mut go_on);
    assert!(end.unwrap_err().to_string().contains("diverges at every rate"));
}
