//! A layer more: a trained model goes on as a deeper one.

use std::format;
use std::path::Path;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::error::{FileError, FileResult};
use super::model_file::{IN_MEMORY, ModelFile, Parameters};
use crate::density::activation::tanh_mixture;
use crate::{Bias, Layout, Real};

impl ModelFile {
    /// The model with one layer more, of a density near the old one. The last layer's outputs are
    /// multiplied by `bend`, pass the activation where it is nearly straight, and the new layer
    /// undoes both to first order: `W = I / (bend s'(0))`, `b = -s(0) / (bend s'(0))`. Learned curves
    /// are made nearly straight instead: their steps' weights are multiplied by `bend`. Where they
    /// follow the last layer too, the old last curves stay, and the nearly straight ones follow the
    /// new layer. The smaller `bend`, the closer the two models and the slower the new layer learns
    /// to bend; 0.3 serves.
    ///
    /// Deep networks that learn from nothing may diverge at rates at which two layers learn
    /// well; a layer at a time avoids that.
    ///
    /// # Errors
    /// A bend out of range; a model with a fixed final activation, or without biases where `s(0)`
    /// is not 0; one that [`write`](Self::write) would refuse.
    pub fn deepen(&self, bend: f64) -> FileResult<ModelFile> {
        let path = Path::new(IN_MEMORY);
        self.check(path)?;
        if !(1e-6..=1e3).contains(&bend) {
            let allowed = "must be in [1e-6, 1e3]";
            return Err(FileError::field(path, "bend", bend.to_string(), allowed));
        }
        let config = self.config();
        if self.final_activation && !config.has_curves() {
            let allowed =
                "must be false, or the curves learned: the new layer follows an affine one";
            return Err(FileError::field(path, "final_activation", "true", allowed));
        }
        let (offset, mut slope, _) = self.activation.evaluate(0.0f64);
        let mut curves = vec![0.0f64; config.learned().map_or(0, |learned| learned.params())];
        let (scale, steps) = if curves.is_empty() { (bend, 1.0) } else { (1.0, bend) };
        // A new bend is a line.
        if config.steps() > 0 {
            tanh_mixture::start(&mut curves, 1, config.steps());
            let line = curves[0].exp();
            slope = line + steps * (slope - line);
            curves[1..=config.steps()].iter_mut().for_each(|w| *w += steps.ln());
        }
        if self.bias == Bias::None && offset != 0.0 {
            let allowed = format!("must be another: biases take up s(0) = {offset}");
            return Err(FileError::field(path, "bias", "none", allowed));
        }
        let gain = 1.0 / (scale * slope);
        let layer = (scale, gain, -offset * gain);
        let parameters = match &self.parameters {
            Parameters::F32(v) => Parameters::F32(self.one_more(v, layer, &curves)),
            Parameters::F64(v) => Parameters::F64(self.one_more(v, layer, &curves)),
        };
        let deeper = ModelFile { layers: self.layers + 1, parameters, ..self.clone() };
        deeper.check(path)?;
        Ok(deeper)
    }

    /// `numbers` with the last layer times `scale`, another of `gain I` and biases `shift`, and,
    /// where curves are learned, one more layer of `curve`.
    fn one_more<T: Real>(
        &self,
        numbers: &[T],
        (scale, gain, shift): (f64, f64, f64),
        curve: &[f64],
    ) -> Vec<T> {
        let (d, layout) = (self.dim, Layout::new(&self.config()));
        let biases = if self.bias == Bias::None { 0 } else { d };
        let (kept, rest) = numbers.split_at(layout.weight(self.layers - 1).start);
        let (last, rest) = rest.split_at(d * d + biases);
        let (curves, rest) = rest.split_at(layout.curves_len());
        let (conditions, input) = rest.split_at(layout.conditions_len());
        // What a condition adds to the last layer's bias.
        let of_last = layout.condition(self.layers - 1).len();
        let (kept_conditions, last_condition) = conditions.split_at(conditions.len() - of_last);
        let mut deeper = Vec::with_capacity(numbers.len() + last.len() + curve.len() * d);
        deeper.extend_from_slice(kept);
        deeper.extend(last.iter().map(|v| T::from_f64(v.to_f64() * scale)));
        let unit = |i| if i % (d + 1) == 0 { gain } else { 0.0 };
        deeper.extend((0..d * d).map(|i| T::from_f64(unit(i))));
        deeper.extend((0..biases).map(|_| T::from_f64(shift)));
        deeper.extend_from_slice(curves);
        deeper.extend(curve.iter().flat_map(|v| core::iter::repeat_n(T::from_f64(*v), d)));
        deeper.extend_from_slice(kept_conditions);
        deeper.extend(last_condition.iter().map(|v| T::from_f64(v.to_f64() * scale)));
        deeper.extend(last_condition.iter().map(|_| T::from_f64(0.0)));
        deeper.extend_from_slice(input);
        deeper
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Condition, Config, Model};
    use std::string::String;

    fn trained_like(
        activation: Activation,
        final_activation: bool,
        bias: Bias,
    ) -> (ModelFile, Model<f64>) {
        let config = Config {
            activation,
            final_activation,
            bias,
            input_transform: true,
            ..Config::new(3, 2)
        };
        let start = Model::<f64>::new(config, 1).unwrap();
        let params: Vec<f64> = start.params().iter().map(|p| p + 0.05).collect();
        let model = Model::from_params(config, params).unwrap();
        (ModelFile::of(&model), model)
    }

    #[test]
    fn the_density_stays_to_first_order() {
        let x: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 61) / 20.0 - 1.5).collect();
        let curves = [
            (Activation::SmoothLeakyRelu { a: 0.3 }, false),
            (Activation::LeakyTanh { a: 2.0, b: 0.5 }, false),
            (Activation::Identity, false),
            (Activation::TanhMixture { steps: 4 }, false),
            (Activation::TanhMixture { steps: 4 }, true),
        ];
        for (activation, last) in curves {
            let (file, mut model) = trained_like(activation, last, Bias::Separate);
            let before = model.mean_log_likelihood(&x).unwrap();
            let moved = |bend| {
                let deeper = file.deepen(bend).unwrap();
                assert_eq!(deeper.layers, 3);
                let Parameters::F64(params) = &deeper.parameters else { unreachable!() };
                let mut deeper = Model::from_params(deeper.config(), params.clone()).unwrap();
                (deeper.mean_log_likelihood(&x).unwrap() - before).abs()
            };
            assert!(moved(1e-4) < 1e-3, "{activation:?}: {}", moved(1e-4));
            let bends = activation != Activation::Identity;
            assert_eq!(moved(1.0) > 1e-3, bends, "{activation:?}: {}", moved(1.0));
        }
    }

    #[test]
    fn a_condition_moves_the_deeper_model_as_it_did() {
        let x: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 61) / 20.0 - 1.5).collect();
        let class: Vec<f64> = (0..20).map(|i| f64::from(i % 2)).collect();
        let config = Config { condition: Condition::Classes { count: 2 }, ..Config::new(3, 2) };
        let start = Model::<f64>::new(config, 1).unwrap();
        let params: Vec<f64> =
            start.params().iter().enumerate().map(|(i, p)| p + 0.02 * (i % 5) as f64).collect();
        let mut model = Model::from_params(config, params).unwrap();
        let deeper = ModelFile::of(&model).deepen(1e-4).unwrap();
        let Parameters::F64(params) = &deeper.parameters else { unreachable!() };
        let mut deeper = Model::from_params(deeper.config(), params.clone()).unwrap();
        let before = model.log_likelihood((&x, &class)).unwrap();
        let after = deeper.log_likelihood((&x, &class)).unwrap();
        assert!(before.iter().zip(after).all(|(b, a)| (a - b).abs() < 1e-2));
    }

    #[test]
    fn refusals() {
        let refused =
            |file: &ModelFile, bend| -> String { file.deepen(bend).unwrap_err().to_string() };
        let relu = Activation::SmoothLeakyRelu { a: 0.3 };
        let (file, _) = trained_like(relu, false, Bias::Separate);
        assert_eq!(refused(&file, f64::NAN), "model: bend: NaN; must be in [1e-6, 1e3]");
        assert!(refused(&file, 0.0).starts_with("model: bend: 0;"));
        let last = ModelFile { final_activation: true, ..file };
        assert!(refused(&last, 0.3).starts_with("model: final_activation: true;"));
        let (without, _) = trained_like(relu, false, Bias::None);
        assert!(refused(&without, 0.3).starts_with("model: bias: none;"));
        let odd = ModelFile { activation: Activation::LeakyTanh { a: 1.0, b: 0.1 }, ..without };
        assert!(odd.deepen(0.3).is_ok());
    }
}
