//! Round trips, and what is refused.

use super::super::columns::Columns;
use super::*;
use std::vec;

fn model() -> ModelFile {
    ModelFile {
        dim: 2,
        layers: 2,
        activation: Activation::SmoothLeakyRelu { a: 0.3 },
        final_activation: true,
        base: Base::Sech,
        bias: Bias::Affine,
        condition: Condition::None,
        conditioned: Conditioned::Both,
        observed: None,
        input_transform: true,
        origin: None,
        parameters: Parameters::F32((1..=16).map(|i| i as f32 / 8.0).collect()),
        extra: [("note".to_owned(), "a \"quoted\" \u{e9}\n".to_owned())].into(),
        extra_tensors: BTreeMap::new(),
    }
}

/// A safetensors file of F32 tensors that are all ones.
fn file(tensors: &[(&str, &[usize])], metadata: &str) -> Vec<u8> {
    let tensor = |(name, shape): &(&str, &[usize])| {
        let ones = &[1.0f32; 16][..shape.iter().product()];
        Tensor::numbers(*name, shape.to_vec(), ones)
    };
    let mut bytes = Vec::new();
    let tensors = tensors.iter().map(tensor).collect();
    assert!(write_tensors(&mut bytes, metadata, tensors).unwrap());
    bytes
}

const PLAIN: &str = r#"{"relgrad.format": "1", "activation": "identity", "base": "normal",
    "bias": "none", "final_activation": "false"}"#;
const ONE: (&str, &[usize]) = ("layers.0.weight", &[2, 2]);

fn refused(bytes: &[u8]) -> String {
    ModelFile::from_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let mut model = model();
    for bias in [Bias::Separate, Bias::Affine, Bias::Projected, Bias::None] {
        for base in [Base::Normal, Base::Sech, Base::Logistic] {
            let count = if bias == Bias::None { 12 } else { 16 };
            let numbers = (1..=count).map(|i| 1.0 / f64::from(i)).collect();
            model = ModelFile { bias, base, parameters: Parameters::F64(numbers), ..model };
            model.write(&path).unwrap();
            assert_eq!(ModelFile::read(&path).unwrap(), model);
        }
    }
    // Curves of three steps after both layers.
    let curves = (1..=12 + 2 * 20 + 4).map(|i| 1.0 / f64::from(i)).collect();
    model = ModelFile {
        activation: Activation::TanhMixture { steps: 3 },
        bias: Bias::Separate,
        parameters: Parameters::F64(curves),
        ..model
    };
    model.write(&path).unwrap();
    assert_eq!(ModelFile::read(&path).unwrap(), model);
    let bytes = std::fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("layers.1.log_slope").unwrap().shape(), [2]);
    assert_eq!(tensors.tensor("layers.0.center").unwrap().shape(), [3, 2]);
    let single = self::model();
    assert_eq!(ModelFile::from_bytes(&single.to_bytes().unwrap()).unwrap(), single);
    let without =
        ModelFile { input_transform: false, parameters: Parameters::F32(vec![0.5; 12]), ..single };
    without.write(&path).unwrap();
    assert_eq!(ModelFile::read(&path).unwrap(), without);
    let nowhere = without.write(folder.path().join("no/m")).unwrap_err();
    assert!(matches!(nowhere, FileError::Io { .. }));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file left");
}

#[test]
fn bytes_are_reproducible() {
    let mut model = model();
    model.extra = (0..20).map(|i| (i.to_string(), String::new())).collect();
    let bytes = model.to_bytes().unwrap();
    for _ in 0..10 {
        assert_eq!(model.clone().to_bytes().unwrap(), bytes);
    }
    let numbers: Vec<u8> = (1..=4).flat_map(|i| (i as f32 / 8.0).to_le_bytes()).collect();
    assert!(bytes.windows(16).any(|w| w == numbers), "W_1 is stored little-endian");
}

#[test]
fn unknown_tensors_are_kept_and_half_a_transform_is_completed() {
    let bytes = file(&[ONE, ("ema", &[3]), ("input.scale", &[2])], PLAIN);
    let model = ModelFile::from_bytes(&bytes).unwrap();
    let numbers = vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
    assert_eq!(model.parameters, Parameters::F32(numbers));
    assert_eq!(model.extra_tensors["ema"].shape, [3]);
    assert_eq!(ModelFile::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
    let shift = ModelFile::from_bytes(&file(&[ONE, ("input.shift", &[2])], PLAIN)).unwrap();
    assert_eq!(shift.parameters, Parameters::F32(vec![1.0; 8]));
}

#[test]
fn an_origin_is_kept_in_f64() {
    let origin = Origin::new(vec![1.7e9 + 0.1, 0.0]).unwrap();
    let with = ModelFile { origin: Some(origin), ..model() };
    let bytes = with.to_bytes().unwrap();
    assert_eq!(ModelFile::from_bytes(&bytes).unwrap(), with);
    let deeper = ModelFile { final_activation: false, ..with.clone() }.deepen(0.3).unwrap();
    assert_eq!(deeper.origin, with.origin);
    let other = Some(Origin::new(vec![1.0]).unwrap());
    let refused = ModelFile { origin: other, ..model() }.to_bytes().unwrap_err().to_string();
    assert_eq!(refused, "model: input.origin: 1 numbers; must be 2");
    let single = self::refused(&file(&[ONE, ("input.origin", &[2])], PLAIN));
    assert_eq!(single, "model: input.origin: F32 [2]; must be F64 [2]");
}

#[test]
fn conditions_are_kept() {
    let columns = Columns { names: Some(vec!["kind".to_owned()]), numbers: vec![3], of: 3 };
    let labels = Reading::Labels(vec!["a, b".to_owned(), "\"c\"".to_owned()]);
    let numbers = Reading::Numbers { shift: vec![1.7e9 + 0.1, 0.0], scale: vec![0.5, -2.0] };
    for (reading, columns) in [
        (Some(labels.clone()), Some(columns.clone())),
        (Some(Reading::Segments(2)), None),
        (Some(numbers), None),
        (None, None),
    ] {
        let condition = reading.as_ref().map_or(Condition::Classes { count: 2 }, |r| r.condition());
        let observed = reading.map(|reading| Observed { columns, reading });
        for (conditioned, more) in
            [(Conditioned::Latents, 8), (Conditioned::Layers, 8), (Conditioned::Both, 16)]
        {
            let numbers = (1..=16 + more).map(|i| i as f32 / 8.0).collect();
            let parameters = Parameters::F32(numbers);
            let observed = observed.clone();
            let with = ModelFile { condition, conditioned, observed, parameters, ..model() };
            let bytes = with.to_bytes().unwrap();
            assert_eq!(ModelFile::from_bytes(&bytes).unwrap(), with);
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let last = if conditioned == Conditioned::Latents {
                "condition.log_scale"
            } else {
                "layers.1.condition"
            };
            let view = tensors.tensor(last).unwrap();
            assert_eq!(view.shape(), [2, 2]);
            // The transform's four numbers come last.
            assert_eq!(view.data()[..4], (2.125f32 + more as f32 / 8.0 - 1.0).to_le_bytes());
        }
    }
    let refused = |change: &dyn Fn(&mut ModelFile)| {
        let mut file = ModelFile {
            condition: Condition::Classes { count: 2 },
            observed: Some(Observed { columns: None, reading: labels.clone() }),
            parameters: Parameters::F32(vec![1.0; 32]),
            ..model()
        };
        change(&mut file);
        file.to_bytes().unwrap_err().to_string()
    };
    let other = refused(&|m| m.observed.as_mut().unwrap().reading = Reading::Segments(3));
    assert!(other.contains("condition: 3 segments of the rows in their order; must be"), "{other}");
    let twice = refused(&|m| {
        m.observed.as_mut().unwrap().reading = Reading::Labels(vec!["a".to_owned(); 2]);
    });
    assert!(twice.ends_with("2 classes: a, a; must have each label once"), "{twice}");
    let none = refused(&|m| m.condition = Condition::Classes { count: 0 });
    assert!(none.starts_with("model: condition.count: 0; must be 1 to"), "{none}");
}

/// A file may say what depends on a condition that it does not have.
#[test]
fn what_depends_on_no_condition_comes_back_the_same() {
    let more = r#""none", "conditioned": "latents""#;
    let read = ModelFile::from_bytes(&file(&[ONE], &PLAIN.replace("\"none\"", more))).unwrap();
    assert_eq!(ModelFile::from_bytes(&read.to_bytes().unwrap()).unwrap(), read);
}

#[test]
fn bad_metadata() {
    let with = |from: &str, to: &str| refused(&file(&[ONE], &PLAIN.replace(from, to)));
    let format = with("\"1\"", "\"2\"");
    assert_eq!(format, "model: relgrad.format: \"2\"; must be \"1\"");
    assert!(with("relgrad.format", "x").starts_with("model: relgrad.format: missing"));
    assert!(with("normal", "laplace").starts_with("model: base: \"laplace\"; must be \"normal\""));
    assert!(with("none", "None").starts_with("model: bias: \"None\""));
    assert!(with("false", "0").starts_with("model: final_activation: \"0\""));
    assert!(with("identity", "relu").starts_with("model: activation: \"relu\""));
    assert!(with("identity", "smooth_leaky_relu:7").starts_with("model: activation.a: 7; must"));
    assert!(with("identity", "leaky_tanh:1,NaN").starts_with("model: activation.b: NaN"));
    let with = |more: &str| with("\"none\"", &format!("\"none\", {more}"));
    assert!(with(r#""condition": "all""#).starts_with("model: condition: \"all\"; must be none"));
    assert!(with(r#""conditioned": "all""#).starts_with("model: conditioned: \"all\"; must be"));
    let missing = with(r#""condition": "classes:3", "conditioned": "latents""#);
    assert_eq!(missing, "model: condition.location: missing; must be F32 [3, 2]");
    let stray = with(r#""condition.labels": "[]""#);
    assert!(stray.starts_with("model: condition.labels: extra metadata"), "{stray}");
    let with = |from: &str, to: &str| refused(&file(&[ONE], &PLAIN.replace(from, to)));
    assert!(with("\"1\"", "1").contains("not a valid safetensors file"));
}

#[test]
fn bad_tensors() {
    let with = |tensors: &[(&str, &[usize])]| refused(&file(tensors, PLAIN));
    assert!(with(&[("x", &[1])]).starts_with("model: layers.0.weight: missing"));
    let gap = with(&[ONE, ("layers.2.weight", &[2, 2])]);
    assert_eq!(gap, "model: layers.1.weight: missing; must be F32 [2, 2]");
    let wrong = with(&[ONE, ("layers.1.weight", &[2, 1])]);
    assert_eq!(wrong, "model: layers.1.weight: F32 [2, 1]; must be F32 [2, 2]");
    assert!(with(&[("layers.0.weight", &[])]).contains("F32 []; must be F32 [1, 1]"));
    assert!(with(&[("layers.0.weight", &[0, 0])]).starts_with("model: dim: 0"));
    assert!(with(&[ONE, ("layers.0.bias", &[2])]).starts_with("model: layers.0.bias: extra"));
    let bias = refused(&file(&[ONE], &PLAIN.replace("none", "affine")));
    assert_eq!(bias, "model: layers.0.bias: missing; must be F32 [2]");
    let bytes = file(&[ONE, ("layers.1.weight", &[2, 2])], PLAIN);
    // The types stand in the header in the order of the names.
    let types = bytes.windows(3).enumerate().filter(|(_, w)| w == b"F32").map(|(i, _)| i);
    let with_type = |at: usize, t: &[u8]| refused(&[&bytes[..at], t, &bytes[at + 3..]].concat());
    let types: Vec<usize> = types.collect();
    let integer = with_type(types[0], b"I32");
    assert_eq!(integer, "model: layers.0.weight: I32; must be F32 or F64");
    let mixed = with_type(types[1], b"U32");
    assert_eq!(mixed, "model: layers.1.weight: U32 [2, 2]; must be F32 [2, 2]");
}

#[test]
fn truncated_files() {
    let bytes = model().to_bytes().unwrap();
    for end in 0..bytes.len() {
        assert!(refused(&bytes[..end]).contains("not a valid safetensors file"), "{end}");
    }
    refused(&[&bytes[..], &[0]].concat());
}

#[test]
fn models_that_no_file_can_hold() {
    let refused = |change: fn(&mut ModelFile)| {
        let mut model = model();
        change(&mut model);
        model.to_bytes().unwrap_err().to_string()
    };
    let set = |m: &mut ModelFile, i: usize, value| {
        if let Parameters::F32(numbers) = &mut m.parameters {
            numbers[i] = value;
        }
    };
    assert!(refused(|m| m.base = Base::Custom).starts_with("model: base: custom; cannot"));
    assert!(refused(|m| m.layers = 3).starts_with("model: parameters: 16 numbers; must be 22"));
    assert!(refused(|m| m.dim = 0).starts_with("model: dim: 0"));
    let key = refused(|m| _ = m.extra.insert("base".to_owned(), String::new()));
    assert!(key.starts_with("model: base: extra metadata"));
    for (i, value, error) in [
        (4, f32::NAN, "model: layers.0.bias: NaN at 0; must be finite"),
        (9, f32::INFINITY, "model: layers.1.weight: inf at 3; must be finite"),
        (15, 0.0, "model: input.scale: 0 at 1; must be finite, not 0"),
    ] {
        let mut model = model();
        set(&mut model, i, value);
        assert_eq!(model.to_bytes().unwrap_err().to_string(), error);
        // The same in a file: another finite number is written, then replaced in place.
        let (old, new) = (((i + 1) as f32 / 8.0).to_le_bytes(), value.to_le_bytes());
        let mut bytes = self::model().to_bytes().unwrap();
        let at = bytes.windows(4).rposition(|w| w == old).unwrap();
        bytes[at..at + 4].copy_from_slice(&new);
        assert_eq!(self::refused(&bytes), error);
    }
}
