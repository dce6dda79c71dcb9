//! The gradients whose cost is compared with one another, each ready to be computed over and
//! over. `cargo bench` uses them too.

mod jacobian;

use std::sync::Arc;

use relgrad::measure::Random;
use relgrad::{Activation, Batch, Config, Gradient, Model, Optimizer, Pool, Result};

use jacobian::Jacobian;

/// Layers of the network, and the slope of its smooth leaky ReLU.
pub const LAYERS: usize = 2;
const A: f64 = 0.3;

/// How a gradient of the log-likelihood is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Relative,
    /// With an inverse of each weight.
    Ordinary,
    /// Through the Jacobian of each sample.
    Jacobian,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Relative => "relative",
            Method::Ordinary => "ordinary",
            Method::Jacobian => "jacobian",
        }
    }
}

/// A network, a batch, and room for the gradient.
pub struct Ready {
    way: Way,
    x: Vec<f32>,
    rows: usize,
    out: Vec<f32>,
}

enum Way {
    Layers(Model<f32>),
    Jacobian(Jacobian, Vec<f32>),
}

fn config(dim: usize, rows: usize, gradient: Gradient) -> Config {
    let activation = Activation::SmoothLeakyRelu { a: A };
    let (optimizer, max_batch) = (Optimizer::SGD, rows);
    Config {
        activation,
        final_activation: false,
        gradient,
        optimizer,
        max_batch,
        ..Config::new(dim, LAYERS)
    }
}

/// A few steps away from the identity, where weights are dense.
fn network(config: Config, x: &[f32]) -> Result<Model<f32>> {
    let mut model = Model::blank(config)?;
    let (mut session, params) = model.session();
    session.start_identity(params)?;
    // A relative gradient grows as the squared norm of a row.
    let rate = 1.0 / config.dim as f64;
    for _ in 0..5 {
        model.step(x, rate)?;
    }
    Ok(model)
}

impl Ready {
    pub fn new(method: Method, dim: usize, rows: usize) -> Result<Self> {
        let mut random = Random::new(1, 0);
        let x: Vec<f32> = (0..rows * dim).map(|_| random.normal() as f32).collect();
        let layers = |gradient| network(config(dim, rows, gradient), &x);
        let way = match method {
            Method::Relative => Way::Layers(layers(Gradient::Relative)?),
            Method::Ordinary => Way::Layers(layers(Gradient::Ordinary)?),
            Method::Jacobian => {
                let model = layers(Gradient::Relative)?;
                let (layout, params) = (model.layout(), model.params().to_vec());
                // Before the Jacobian's own memory is taken.
                drop(model);
                Way::Jacobian(Jacobian::new(A as f32, layout, dim, LAYERS), params)
            }
        };
        let len = match &way {
            Way::Layers(model) => model.params().len(),
            Way::Jacobian(_, params) => params.len(),
        };
        Ok(Ready { way, x, rows, out: vec![0.0; len] })
    }

    /// On the threads of a pool, but for the one through the Jacobian.
    pub fn on(mut self, pool: Option<Arc<Pool>>) -> Self {
        if let (Way::Layers(model), Some(pool)) = (&mut self.way, pool) {
            model.set_parallel(Some(pool));
        }
        self
    }

    pub fn compute(&mut self) -> Result<&[f32]> {
        match &mut self.way {
            Way::Layers(model) => {
                let (mut session, params) = model.session();
                session.gradient(params, &Batch::new(&self.x, self.rows), &mut self.out)?;
            }
            Way::Jacobian(jacobian, params) => jacobian.gradient(params, &self.x, &mut self.out),
        }
        Ok(&self.out)
    }
}

/// The largest difference between the ordinary gradient and the one through the Jacobian,
/// relative to the largest element: both are exact, or their times mean nothing.
pub fn disagreement() -> Result<f32> {
    let (dim, rows) = (24, 10);
    let mut through = Ready::new(Method::Jacobian, dim, rows)?;
    let Way::Jacobian(_, params) = &through.way else { unreachable!("asked for") };
    let model = Model::from_params(config(dim, rows, Gradient::Ordinary), params.clone())?;
    let (way, x) = (Way::Layers(model), through.x.clone());
    let mut ordinary = Ready { way, x, rows, out: through.out.clone() };
    let (a, b) = (through.compute()?, ordinary.compute()?);
    let largest = b.iter().fold(0.0f32, |m, g| m.max(g.abs()));
    Ok(a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest)
}
