//! Dense factorisations: outside the step, or of small matrices within it.

pub(crate) mod cholesky;
pub(crate) mod lu;
pub(crate) mod orthogonal;
#[cfg(feature = "alloc")]
pub(crate) mod symmetric;

#[cfg(test)]
mod tests;
