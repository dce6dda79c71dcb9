//! Models as C: one header that needs nothing but `<math.h>`.

mod code;
mod condition;

use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use self::code::Code;
use super::error::{FileError, FileResult};
use super::model_file::{ModelFile, Parameters};
use super::observed::Reading;
use super::replace_file::replace_file;
use crate::linalg::lu;
use crate::simd::Level;
use crate::status::singular;
use crate::threads::parallel::Exec;
use crate::{Base, Bias, Layout};

/// The precision that numbers are stored and computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single, `float` in C.
    #[default]
    F32,
    /// Double.
    F64,
}

impl Parameters {
    /// The precision of these numbers.
    pub fn precision(&self) -> Precision {
        match self {
            Parameters::F32(_) => Precision::F32,
            Parameters::F64(_) => Precision::F64,
        }
    }
}

impl Precision {
    fn epsilon(self) -> f64 {
        match self {
            Precision::F32 => f32::EPSILON.into(),
            Precision::F64 => f64::EPSILON,
        }
    }

    fn round(self, v: f64) -> f64 {
        match self {
            Precision::F32 => f64::from(v as f32),
            Precision::F64 => v,
        }
    }

    /// The shortest decimal that C reads as this number. Hexadecimal ones, as exact, are no
    /// part of C++ before 2017.
    fn literal(self, v: f64) -> String {
        match self {
            Precision::F32 => format!("{:e}f", v as f32),
            Precision::F64 => format!("{v:e}"),
        }
    }
}

fn refusal(field: &str, value: String, allowed: &str) -> FileError {
    FileError::field(Path::new("header"), field, value, allowed)
}

impl ModelFile {
    /// The model as a header for C99 and C++: static arrays of its parameters and the functions
    /// `name_forward`, `name_log_likelihood` and `name_inverse` on rows of data as they are, the
    /// model's origin and preprocessing included: with an origin, data are doubles, in `float`
    /// models too. With a condition, they take it where they depend on it, and `name_latents` gives
    /// draws of the base density the latents' location and scale. The inverses of the weights are computed here, in f64, and
    /// stored beside the weights: O(L D^3) now, and O(L D^2) a row for whoever calls them.
    ///
    /// # Errors
    /// A name that cannot begin names in C, a base density without a formula, a singular
    /// weight, numbers that do not fit the precision.
    pub fn to_c_header(&self, name: &str, precision: Precision) -> FileResult<String> {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.contains("__");
        if !is_name {
            let allowed = "must be an ASCII letter, then letters, digits and single underscores";
            return Err(refusal("name", format!("{name:?}"), allowed));
        }
        if self.base == Base::Custom {
            let allowed = "cannot be exported: a header has normal, sech and logistic only";
            return Err(refusal("base", self.base.to_string(), allowed));
        }
        self.config().check()?;
        let code = Code { file: self, precision, preprocess: self.preprocess()? };
        Ok(code.header(self.tables(precision)?).replace("NAME", name))
    }

    /// Writes [`to_c_header`](Self::to_c_header), whole or not at all.
    ///
    /// # Errors
    /// As there, or if the folder cannot be written to.
    pub fn write_c_header(
        &self,
        path: impl AsRef<Path>,
        name: &str,
        precision: Precision,
    ) -> FileResult<()> {
        let (path, header) = (path.as_ref(), self.to_c_header(name, precision)?);
        replace_file(path, header.as_bytes())
    }

    /// All that the functions look up.
    fn tables(&self, precision: Precision) -> FileResult<Tables> {
        let (d, layout) = (self.dim, Layout::new(&self.config()));
        let exec = Exec::serial(Level::Auto.resolve());
        let params: Vec<f64> = self.parameters.to_vec();
        let params: Vec<f64> = params.into_iter().map(|v| precision.round(v)).collect();
        let mut tables = Tables { precision, text: String::new(), log_det: 0.0 };
        let weights = (0..self.layers).map(|k| columns(&params[layout.weight(k)], d));
        tables.add("weight", &weights.collect::<Vec<_>>())?;
        let mut inverses = Vec::new();
        let mut panel = vec![0.0; lu::panel_len(d)];
        for k in 0..self.layers {
            let (mut factors, mut pivots) = (params[layout.weight(k)].to_vec(), vec![0; d]);
            let determinant = lu::factor(exec, &mut factors, d, &mut panel, &mut pivots);
            tables.log_det += determinant.ok_or_else(|| singular(k))?.log_abs();
            let mut inverse = vec![0.0; d * d];
            lu::invert(exec, &factors, &pivots, d, &mut panel, &mut inverse);
            inverses.push(columns(&inverse, d));
        }
        tables.add("inverse_weight", &inverses)?;
        if self.bias != Bias::None {
            let biases = (0..self.layers).map(|k| params[layout.bias(k)].to_vec());
            tables.add("bias", &biases.collect::<Vec<_>>())?;
        }
        if layout.curves() > 0 {
            let curves = (0..layout.curves()).map(|k| by_units(&params[layout.curve(k)], d));
            tables.add("curve", &curves.collect::<Vec<_>>())?;
        }
        let of_latents = [("location", layout.location()), ("log_scale", layout.log_scale())];
        for (name, range) in of_latents.into_iter().filter(|(_, range)| !range.is_empty()) {
            tables.add(name, &[params[range].to_vec()])?;
        }
        if self.config().conditions_layers() {
            let added = (0..self.layers).map(|k| params[layout.condition(k)].to_vec());
            tables.add("condition", &added.collect::<Vec<_>>())?;
        }
        if let Some(Reading::Numbers { shift, scale }) = self.observed().map(|o| o.reading) {
            tables.add_doubles("standard", &[shift, scale])?;
        }
        if self.input_transform {
            let scale = &params[layout.scale()];
            if scale.contains(&0.0) {
                let allowed = "must not round to 0 in this precision";
                return Err(refusal("input.scale", "0".to_string(), allowed));
            }
            tables.log_det += scale.iter().map(|v| v.abs().ln()).sum::<f64>();
            tables.add("transform", &[params[layout.shift()].to_vec(), scale.to_vec()])?;
        }
        if let Some(origin) = &self.origin {
            tables.add_doubles("origin", &[origin.offsets().to_vec()])?;
        }
        Ok(tables)
    }
}

/// A row-major matrix, column after column.
fn columns(matrix: &[f64], d: usize) -> Vec<f64> {
    (0..d * d).map(|at| matrix[at % d * d + at / d]).collect()
}

/// A layer's curves, unit after unit: its slope, then weight, steepness and center of each step; of
/// bends alpha and r.
fn by_units(curves: &[f64], d: usize) -> Vec<f64> {
    if curves.len() == 2 * d {
        let (theta, log_sharpness) = curves.split_at(d);
        let units = theta.iter().zip(log_sharpness);
        return units.flat_map(|(theta, c)| [theta.tanh(), (-c).exp()]).collect();
    }
    let steps = curves.len() / d / 3;
    let unit = |i: usize| {
        let row = move |r: usize| curves[r * d + i];
        let step = move |j| [row(j).exp(), row(steps + j).exp(), row(2 * steps + j)];
        core::iter::once(row(0).exp()).chain((1..=steps).flat_map(step))
    };
    (0..d).flat_map(unit).collect()
}

/// Arrays in C, and what they say of the determinant.
#[derive(Default)]
struct Tables {
    precision: Precision,
    text: String,
    log_det: f64,
}

impl Tables {
    /// Lines are at most so long.
    const WIDTH: usize = 96;

    /// An array of doubles, whatever the precision.
    fn add_doubles(&mut self, name: &str, rows: &[Vec<f64>]) -> FileResult<()> {
        let mut doubles = Tables { precision: Precision::F64, ..Tables::default() };
        doubles.add(name, rows)?;
        self.text += &doubles.text.replace("NAME_real", "double");
        Ok(())
    }

    /// An array of rows of numbers.
    fn add(&mut self, name: &str, rows: &[Vec<f64>]) -> FileResult<()> {
        let (count, length) = (rows.len(), rows[0].len());
        self.text += &format!("static const NAME_real NAME_{name}[{count}][{length}] = {{\n");
        for (k, row) in rows.iter().enumerate() {
            let mut line = String::from("    {");
            for (i, v) in row.iter().enumerate() {
                if !self.precision.round(*v).is_finite() {
                    let allowed = "must be finite in the header's precision";
                    return Err(refusal(&format!("{name} {k}"), v.to_string(), allowed));
                }
                let number = self.precision.literal(*v);
                if line.len() + number.len() + 3 > Self::WIDTH {
                    self.text += line.trim_end();
                    self.text.push('\n');
                    line = String::from("     ");
                }
                line += &number;
                line += if i + 1 < length { ", " } else { "}" };
            }
            self.text += &line;
            self.text += if k + 1 < count { ",\n" } else { "\n" };
        }
        self.text += "};\n";
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Model};

    #[test]
    fn a_density_of_the_callers_own_cannot_be_exported() {
        let model = Model::<f32>::new(Config { base: Base::Custom, ..Config::new(2, 1) }, 1);
        let file = ModelFile::of(&model.unwrap());
        let error = file.to_c_header("m", Precision::F32).unwrap_err().to_string();
        assert!(error.starts_with("header: base: custom; cannot be exported"), "{error}");
    }
}
