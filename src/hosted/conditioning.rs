//! How well a model's weights are conditioned.

use std::vec;
use std::vec::Vec;

use crate::linalg::lu;
use crate::status::singular;
use crate::{Model, Result, Scalar};

/// A layer's weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerReport {
    /// `log|det W|`.
    pub log_det: f64,
    /// `||W|| ||W^-1||` in the norm of largest row sums: 1 / condition is how near, relative to
    /// its size, the nearest singular matrix is.
    pub condition: f64,
    /// The largest weight.
    pub max_weight: f64,
}

impl<T: Scalar> Model<T> {
    /// The state of each layer's weight, in f64; O(D^3) a layer.
    ///
    /// # Errors
    /// A singular weight.
    pub fn conditioning(&self) -> Result<Vec<LayerReport>> {
        let (d, layers, layout) = (self.config().dim, self.config().layers, self.layout());
        let exec = self.exec();
        let mut reports = Vec::with_capacity(layers);
        for k in 0..layers {
            let weight = layout.weight(k);
            let mut matrix: Vec<f64> = self.params()[weight].iter().map(|v| v.to_f64()).collect();
            let norm = |m: &[f64]| {
                let rows = m.chunks_exact(d).map(|row| row.iter().map(|v| v.abs()).sum::<f64>());
                rows.fold(0.0, f64::max)
            };
            let size = norm(&matrix);
            let max_weight = matrix.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
            let mut panel = vec![0.0; lu::panel_len(d)];
            let mut pivots = vec![0; d];
            let determinant = lu::factor(exec, &mut matrix, d, &mut panel, &mut pivots)
                .ok_or_else(|| singular(k))?;
            let mut inverse = vec![0.0; d * d];
            lu::invert(exec, &matrix, &pivots, d, &mut panel, &mut inverse);
            let condition = size * norm(&inverse);
            reports.push(LayerReport { log_det: determinant.log_abs(), condition, max_weight });
        }
        Ok(reports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Bias, Config};

    #[test]
    fn by_hand() {
        // Row sums 3 and 7; the inverse is [[-2, 1], [1.5, -0.5]].
        let (activation, bias) = (Activation::Identity, Bias::None);
        let config = Config { activation, bias, ..Config::new(2, 1) };
        let model = Model::from_params(config, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let report = model.conditioning().unwrap()[0];
        assert!((report.condition - 21.0).abs() < 1e-12, "{report:?}");
        assert!((report.log_det - 2f64.ln()).abs() < 1e-14 && report.max_weight == 4.0);
    }
}
