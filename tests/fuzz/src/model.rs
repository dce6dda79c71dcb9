//! The bytes as a model's file.

use std::mem::discriminant;

use relgrad::hosted::{Columns, ModelFile, Observed, Parameters, Reading};
use relgrad::{Activation, Base, Bias, Condition, Conditioned, Config, Data, Model, Scalar};

use crate::memory::in_proportion;
use crate::outcome::{note, note_error};
use crate::{Seeds, safetensors_file};

pub const WORDS: &[&str] = &[
    "\"F32\"",
    "\"F64\"",
    "\"U8\"",
    "\"BF16\"",
    "\"shape\":[",
    "\"data_offsets\":[",
    "__metadata__",
    "\"layers.0.weight\"",
    "\"layers.1.weight\"",
    "\"layers.0.bias\"",
    "\"input.shift\"",
    "\"input.scale\"",
    "\"input.origin\"",
    "\"condition.location\"",
    "\"condition.shift\"",
    "tanh_mixture:4",
    "tanh_mixture:16",
    "smooth_leaky_relu:0.5",
    "leaky_tanh:1,1",
    "identity",
    "bend",
    "normal",
    "sech",
    "logistic",
    "none",
    "separate",
    "affine",
    "true",
    "false",
    "numbers:1",
    "numbers:65536",
    "classes:2",
    "classes:1048576",
    "latents",
    "layers",
    "both",
    "18446744073709551615",
    "4294967296",
    "null",
    "[]",
    "{}",
    "\\u0000",
    "settings",
    "params",
    "state",
    "good",
    "best",
    "counts",
    "average",
];

/// What is read is written, and read again the same; its likelihoods and samples are finite, or errors.
pub fn model(input: &[u8]) {
    let file = safetensors_file::file(input);
    let read = || ModelFile::from_bytes(&file).map_err(|e| note_error(&e)).ok();
    let Some(model) = in_proportion(file.len(), read) else { return };
    let bytes = model.to_bytes().expect("what was read can be written");
    let again = ModelFile::from_bytes(&bytes).expect("what was written can be read");
    assert!(again == model, "written and read again it is another model");
    assert!(again.to_bytes().expect("as before") == bytes, "written again there are other bytes");
    let config = Config { max_batch: 2, ..model.config() };
    let kinds = (discriminant(&config.activation), discriminant(&config.condition));
    note((kinds, discriminant(&config.base), model.observed.is_some(), config.input_transform));
    match &model.parameters {
        Parameters::F32(params) => score(&config, params),
        Parameters::F64(params) => score(&config, params),
    }
}

fn score<T: Scalar>(config: &Config, params: &[T]) {
    // Parameters may be few where classes are many.
    let room = relgrad::Sizes::of::<T>(config).map_or(usize::MAX, |s| s.workspace_bytes);
    if room > 1 << 24 {
        return;
    }
    let mut model = match Model::from_params(*config, params) {
        Ok(model) => model,
        Err(error) => return note_error(&error),
    };
    let x: Vec<T> = (0..2 * config.dim).map(|i| T::from_f64(0.3 - 0.1 * i as f64)).collect();
    let width = match config.condition {
        Condition::Numbers { width } => width as usize,
        _ => 1,
    };
    let given = vec![T::ZERO; 2 * width];
    let data = match config.condition {
        Condition::None => Data::from(&x),
        _ => Data::from((&x, &given)),
    };
    match model.log_likelihood(data) {
        Ok(log_p) => assert!(log_p.iter().all(|p| p.is_finite()), "{log_p:?}"),
        Err(error) => note_error(&error),
    }
    let sampled = match config.condition {
        Condition::None => model.sample(2, 1),
        _ => model.sample_given(&given, 1),
    };
    match sampled {
        Ok(x) => assert!(x.iter().all(|x| x.to_f64().is_finite()), "{x:?}"),
        Err(error) => note_error(&error),
    }
}

pub fn seeds() -> Seeds {
    let new = |config: Config, is_double: bool| {
        let single = || Model::<f32>::new(config, 1).expect("a model").params().to_vec();
        let double = || Model::<f64>::new(config, 1).expect("a model").params().to_vec();
        ModelFile {
            dim: config.dim,
            layers: config.layers,
            activation: config.activation,
            final_activation: config.final_activation,
            base: config.base,
            bias: config.bias,
            condition: config.condition,
            conditioned: config.conditioned,
            observed: None,
            input_transform: config.input_transform,
            origin: None,
            parameters: match is_double {
                true => Parameters::F64(double()),
                false => Parameters::F32(single()),
            },
            extra: [("about".to_string(), "a seed".to_string())].into(),
            extra_tensors: Default::default(),
        }
    };
    let plain = Config { final_activation: false, ..Config::new(2, 2) };
    let curve = |activation| Config { activation, ..plain };
    let mut mixture = new(Config { input_transform: true, ..Config::new(2, 1) }, false);
    mixture
        .extra
        .insert("columns".into(), "{\"names\":[\"a\",\"b\"],\"numbers\":[1,3],\"of\":3}".into());
    let numbers = Condition::Numbers { width: 2 };
    let conditioned = Conditioned::Both;
    let mut of_numbers = new(Config { condition: numbers, conditioned, ..plain }, true);
    let reading = Reading::Numbers { shift: vec![0.5, -1.0], scale: vec![2.0, 1.0] };
    of_numbers.observed = Some(Observed { columns: Some(Columns::all(2)), reading });
    let classes = Condition::Classes { count: 3 };
    let conditioned = Conditioned::Latents;
    let mut of_classes = new(Config { condition: classes, conditioned, ..plain }, false);
    let reading = Reading::Labels(["x", "y", "z"].map(String::from).into());
    of_classes.observed = Some(Observed { columns: None, reading });
    let models = [
        ("tanh_mixture", mixture),
        ("numbers", of_numbers),
        ("classes", of_classes),
        ("bend", new(Config { base: Base::Sech, ..curve(Activation::Bend) }, true)),
        ("leaky_tanh", new(curve(Activation::LeakyTanh { a: 1.0, b: 0.5 }), false)),
        ("leaky_relu", new(curve(Activation::SmoothLeakyRelu { a: 0.3 }), true)),
        ("identity", new(Config { bias: Bias::None, ..curve(Activation::Identity) }, false)),
    ];
    let seed = |(name, model): (&str, ModelFile)| {
        (name.to_string(), safetensors_file::input(&model.to_bytes().expect("a good model")))
    };
    models.into_iter().map(seed).collect()
}
