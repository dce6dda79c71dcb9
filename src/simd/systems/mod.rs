//! The inner loops of linear systems: elimination, triangular solves, transposes.

pub(super) mod eliminate;
pub(super) mod transpose;
pub(super) mod triangle;
