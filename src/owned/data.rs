//! Rows with their conditions, as models that own their memory take them.

use alloc::vec::Vec;

use crate::owned::model::Model;
use crate::scalar::Scalar;
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;

/// Rows, one after the other, and what was observed with each: `&x`, or `(&x, &condition)`. See
/// [`Batch::with_condition`].
#[derive(Clone, Copy, Debug)]
pub struct Data<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) condition: Option<&'a [T]>,
    pub(crate) joint: bool,
}

impl<'a, T> Data<'a, T> {
    /// Rows that go on with their conditions: `dim` numbers, and `width` more or the class.
    pub fn joint(rows: &'a [T]) -> Self {
        Data { x: rows, condition: None, joint: true }
    }
}

impl<'a, T, X: AsRef<[T]> + ?Sized> From<&'a X> for Data<'a, T> {
    fn from(x: &'a X) -> Self {
        Data { x: x.as_ref(), condition: None, joint: false }
    }
}

impl<'a, T, X, U> From<(&'a X, &'a U)> for Data<'a, T>
where
    X: AsRef<[T]> + ?Sized,
    U: AsRef<[T]> + ?Sized,
{
    fn from((x, condition): (&'a X, &'a U)) -> Self {
        Data { x: x.as_ref(), condition: Some(condition.as_ref()), joint: false }
    }
}

/// [`Data`] of a model.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a, T> {
    pub x: &'a [T],
    pub ld: usize,
    pub condition: Option<&'a [T]>,
    pub condition_ld: usize,
    pub rows: usize,
}

impl<'a, T: Scalar> Whole<'a, T> {
    /// All of them.
    pub fn batch(self) -> Batch<'a, T> {
        let Whole { x, ld, condition, condition_ld, rows } = self;
        let batch = Batch::new(x, rows).with_ld(ld).with_condition_ld(condition_ld);
        Batch { condition, ..batch }
    }

    /// The conditions, which a model without any does without.
    ///
    /// # Errors
    /// Conditions that are missing.
    pub fn conditions(self, model: &Model<T>) -> Result<&'a [T]> {
        match self.condition {
            None if model.config().condition_width() > 0 => {
                let allowed = "this model needs a condition with each row";
                Err(Error::new(Status::Condition, "condition", Value::None, allowed))
            }
            condition => Ok(condition.unwrap_or(&[])),
        }
    }

    /// All rows, each with its condition after it.
    ///
    /// # Errors
    /// Conditions that are missing.
    pub fn joint(self, model: &Model<T>) -> Result<Vec<T>> {
        let (d, width) = (model.config().dim, model.config().condition_width());
        let u = self.conditions(model)?;
        let mut joint = Vec::with_capacity(self.rows * (d + width));
        for row in 0..self.rows {
            joint.extend_from_slice(&self.x[row * self.ld..][..d]);
            joint.extend_from_slice(&u[(row * self.condition_ld).min(u.len())..][..width]);
        }
        Ok(joint)
    }

    /// At most `most` rows at a time.
    pub fn batches(self, most: usize) -> impl Iterator<Item = Batch<'a, T>> + use<'a, T> {
        (0..self.rows).step_by(most).map(move |from| {
            let x = &self.x[from * self.ld..];
            let condition = self.condition.map(|u| &u[from * self.condition_ld..]);
            Whole { x, condition, rows: most.min(self.rows - from), ..self }.batch()
        })
    }
}
