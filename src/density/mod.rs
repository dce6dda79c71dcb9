//! The two one-dimensional parts of the model: the densities of the latents, and the curves
//! between the layers.

pub(crate) mod activation;
pub(crate) mod base;

pub use activation::Preimage;
pub use base::CustomBase;
