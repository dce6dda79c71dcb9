//! The bytes as a run's checkpoint, whose checksum is always right.

use std::ops::ControlFlow;
use std::path::Path;

use relgrad::hosted::{Data, Plan, Training, checkpoint_settings};
use relgrad::{Config, Model, Optimizer, Scalar, Schedule, Trainer};

use crate::memory::{file, in_proportion};
use crate::outcome::{note, note_error};
use crate::random::Random;
use crate::{Seeds, safetensors_file};

/// What comes before the safetensors file: a name, a checksum and a length.
const HEAD: usize = 20;

fn trainer<T: Scalar>() -> Trainer<T> {
    let config = Config { optimizer: Optimizer::NATURAL, max_batch: 4, ..Config::new(2, 1) };
    let model = Model::new(config, 1).expect("a model");
    Trainer::new(model, Schedule::constant(0.02), 1).expect("a trainer")
}

fn data<T: Scalar>(seed: u64, rows: usize) -> Data<T> {
    let mut random = Random(seed);
    let values = (0..2 * rows).map(|_| T::from_f64(random.normal())).collect();
    Data::new(2, values).expect("finite rows")
}

fn plan(epochs: u64) -> Plan {
    Plan { average: Some(0.5), patience: Some(4), ..Plan::new(epochs) }
}

/// A run that goes on from it ends with a model, or an error.
pub fn checkpoint(input: &[u8]) {
    let tensors = safetensors_file::file(input);
    let head = [b"relgradC".to_vec(), crc32fast::hash(&tensors).to_le_bytes().into()].concat();
    let length = (tensors.len() as u64).to_le_bytes();
    let path = &file("checkpoint", &[&head[..], &length, &tensors].concat());
    let settings = in_proportion(tensors.len(), || checkpoint_settings(path));
    if let Err(error) = &settings {
        note_error(error);
    }
    go_on::<f32>(path, tensors.len());
    go_on::<f64>(path, tensors.len());
}

fn go_on<T: Scalar>(path: &Path, length: usize) {
    let resumed = in_proportion(length, || Training::resume(trainer::<T>(), plan(3), path));
    let mut training = match resumed {
        Ok(training) => training,
        Err(error) => return note_error(&error),
    };
    let mut steps = 0;
    let mut observe = |_: relgrad::hosted::Event| {
        steps += 1;
        if steps < 40 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    match training.run(&data(1, 16), Some(&data(2, 8)), &mut observe) {
        Ok(end) => note(format!("{end:?} {}", training.best().is_some())),
        Err(error) => note_error(&error),
    }
    match training.into_best() {
        Ok(model) => assert!(model.params().iter().all(|p| p.to_f64().is_finite())),
        Err(error) => note_error(&error),
    }
}

pub fn seeds() -> Seeds {
    fn run<T: Scalar>(events: usize) -> Vec<u8> {
        let path = file("seed", &[]);
        let plan =
            Plan { checkpoint: Some(path.clone()), settings: "epochs = 2\n".into(), ..plan(2) };
        let mut training = Training::new(trainer::<T>(), plan).expect("a run");
        let mut left = events;
        let mut observe = |_: relgrad::hosted::Event| {
            left = left.saturating_sub(1);
            if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        training.run(&data(1, 16), Some(&data(2, 8)), &mut observe).expect("a run");
        safetensors_file::input(&std::fs::read(path).expect("a checkpoint")[HEAD..])
    }
    [
        ("at_an_end_f64".into(), run::<f64>(1000)),
        ("within_an_epoch_f64".into(), run::<f64>(7)),
        ("at_the_start_f32".into(), run::<f32>(1)),
        ("within_an_epoch_f32".into(), run::<f32>(8)),
    ]
    .into()
}
