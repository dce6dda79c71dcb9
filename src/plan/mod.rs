//! Every choice of a way, as a value: how a step goes through a batch ([`Route`]), in which order a
//! layer's products sum ([`Forward`]), which kernel a product takes ([`product`]), and when threads
//! pay ([`threads`]). Nothing else decides; kernels and stages receive what is decided here.
//!
//! # The ways of a step
//!
//! A step is chosen for the rows at hand, never for `max_batch`, which only sizes the memory
//! ([`Reach`]). The first row of this table that fits is taken; B is the number of rows:
//!
//! | route | for | what it does | cost of a layer |
//! |---|---|---|---|
//! | [`Lanes`](Route::Lanes) | relative gradients, layers without a condition, D <= 160, B >= 8 up to 16 features, B >= 7 D / 8 above | samples in the vectors' lanes through all layers, then as `Summed` | 3 products of 2 B D^2, one of 2 D^3 |
//! | [`Summed`](Route::Summed) | relative gradients, B >= 3 D / 4 (natural), 7 D / 8 (SGD), 3 D / 2 (Adam, momentum) | `E = sum w delta c^T` is formed, the step is `(E + I) W` | the same |
//! | [`Rows`](Route::Rows) | everything else | `p = W^T c`, then a rank-B update | 4 products of 2 B D^2 |
//!
//! Measured on Zen 4 and Zen 5, f32, in times as fast as the next row of the table: lanes 2.4
//! (Adam) and 2.7 (natural) at D = 17, B = 100; 1.25 and 1.5 at D = 32; 1.24 at D = 65; 1.45 to
//! 1.77 at D = 160, B = 256; slower below 7 D / 8 rows and beyond 160 features, where a step's
//! rows leave the first cache. Summed: natural 1.27 at D = 101, B = 100, 1.7 at D = 256, B = 1000,
//! 0.99 at D = 133, B = 100; SGD gains from 7 D / 8, Adam and momentum from 3 D / 2 rows on
//! (0.93 at D rows), since the more a step needs E for, norms and determinants, the sooner it pays.
//!
//! # Orders of summation
//!
//! The order in which a layer's outputs are summed over its inputs is part of the contract of bits:
//!
//! | what | up to 16 features | above |
//! |---|---|---|
//! | likelihoods, latents, counts, gradients, the routes `Rows` and `Summed` | [`Chain`](Forward::Chain) | [`Dots`](Forward::Dots) |
//! | the route `Lanes` | [`Chain`](Forward::Chain) | [`Chain`](Forward::Chain) |
//!
//! So likelihoods, latents and each sample's share of a gradient depend on D alone: not on the
//! batch a row sits in, nor on `max_batch`. **One dependence stays, for training only**: from 17 to
//! 160 features a step of 7 D / 8 rows or more sums in another order than a step of fewer rows.
//! A sample's factors are those of the step that they are for: a part of a batch says how many
//! rows the whole has ([`Batch::of_whole`](crate::Batch::of_whole)).
//!
//! Chains for few features: a row of up to 16 numbers is one vector, and summing it across its lanes
//! costs as much as the product; the weight is transposed for it, which costs single rows too much
//! beyond that (five times the product at 64 features). Evaluations of many rows would be faster in
//! chains up to 64 features, 1.2 to 1.3 times (Zen 4, eight layers, 24 to 64 features); one order has to
//! serve both.

pub(crate) mod product;
pub(crate) mod threads;

use crate::config::{Config, Gradient, Optimizer};

/// How a step goes through its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A row a sample; the update has rank B.
    Rows,
    /// A row a sample; what the update needs is summed over the samples into `D x D` matrices.
    Summed,
    /// A feature a row, the samples in the vectors' lanes; summed too.
    Lanes,
}

impl Route {
    /// Whether a step is made of sums over the batch.
    pub fn is_summed(self) -> bool {
        self != Route::Rows
    }
}

/// How a batch is gone through: what the stages of a step receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub route: Route,
    /// The rows at hand.
    pub rows: usize,
}

impl Plan {
    /// Of a step.
    pub fn step(config: &Config, rows: usize) -> Self {
        Plan { route: step(config, rows), rows }
    }

    /// Whether the step is made of sums over the batch.
    pub fn is_summed(&self) -> bool {
        self.route.is_summed()
    }
}

/// The order in which a layer's outputs are summed over its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// One chain of fused multiply-adds over the inputs.
    Chain,
    /// `LANES` interleaved chains, added by halving: rows of W against rows of the batch.
    Dots,
}

/// The most features whose outputs are chains wherever they are computed.
const NARROW: usize = 16;

/// The fewest rows that fill enough lanes up to [`NARROW`] features.
const FEW_LANES: usize = 8;

/// The most features of the route through lanes. Tests are built a second time with
/// `--cfg relgrad_no_lanes`, so that the other routes are taken at every size.
const LANES_DIM: usize = if cfg!(relgrad_no_lanes) { 0 } else { 160 };

/// The fewest rows, in eighths of D, for a step through lanes above [`NARROW`] features.
const LANES_EIGHTHS: usize = 7;

/// The order of everything but steps through lanes.
pub(crate) fn forward(dim: usize) -> Forward {
    if dim <= NARROW { Forward::Chain } else { Forward::Dots }
}

/// The route of a step with `rows` samples.
pub(crate) fn step(config: &Config, rows: usize) -> Route {
    let eighths = match config.optimizer {
        Optimizer::Natural { .. } => 6,
        _ if config.is_structured() => 7,
        _ => 12,
    };
    match config.gradient {
        Gradient::Relative if fills_lanes(config.dim, rows) && !config.conditions_layers() => {
            Route::Lanes
        }
        Gradient::Relative if 8 * rows >= eighths * config.dim => Route::Summed,
        _ => Route::Rows,
    }
}

/// The route of gradients that are handed out: a sample's share of them depends on D alone, so
/// lanes only where their order is that of rows.
pub(crate) fn gradient(config: &Config, rows: usize) -> Route {
    match step(config, rows) {
        Route::Lanes if forward(config.dim) == Forward::Chain => Route::Lanes,
        _ => Route::Rows,
    }
}

/// Whether vectors of samples have enough of them.
fn fills_lanes(dim: usize, rows: usize) -> bool {
    let fewest = if dim <= NARROW { FEW_LANES } else { (LANES_EIGHTHS * dim).div_ceil(8) };
    dim <= LANES_DIM && rows >= fewest
}

/// Which routes the batches of a configuration may take: what memory there must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub lanes: bool,
    pub summed: bool,
}

impl Reach {
    /// All routes ask for a least number of rows, so that the largest batch decides.
    pub fn of(config: &Config) -> Self {
        let largest = step(config, config.max_batch);
        Reach { lanes: largest == Route::Lanes, summed: largest.is_summed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dim: usize, optimizer: Optimizer) -> Config {
        Config { optimizer, max_batch: 4096, ..Config::new(dim, 2) }
    }

    const SGD: Optimizer = Optimizer::Sgd { momentum: 0.0 };

    /// Rows of the table in the module's documentation, on both sides of each edge.
    #[test]
    fn the_table_of_routes() {
        if LANES_DIM == 0 {
            return;
        }
        use Route::{Lanes, Rows, Summed};
        let cases = [
            (2, Optimizer::ADAM, 7, Summed),
            (2, Optimizer::ADAM, 8, Lanes),
            (16, Optimizer::ADAM, 7, Rows),
            (16, Optimizer::ADAM, 8, Lanes),
            (16, Optimizer::NATURAL, 7, Rows),
            (17, Optimizer::ADAM, 14, Rows),
            (17, Optimizer::ADAM, 15, Lanes),
            (17, Optimizer::NATURAL, 13, Summed),
            (64, Optimizer::ADAM, 55, Rows),
            (64, Optimizer::ADAM, 56, Lanes),
            (64, Optimizer::NATURAL, 47, Rows),
            (64, Optimizer::NATURAL, 48, Summed),
            (64, Optimizer::NATURAL, 56, Lanes),
            (160, Optimizer::NATURAL, 1, Rows),
            (160, Optimizer::ADAM, 140, Lanes),
            (161, Optimizer::ADAM, 241, Rows),
            (161, Optimizer::ADAM, 242, Summed),
            (784, Optimizer::NATURAL, 100, Rows),
            (784, Optimizer::NATURAL, 588, Summed),
            (784, SGD, 685, Rows),
            (784, SGD, 686, Summed),
        ];
        for (dim, optimizer, rows, want) in cases {
            assert_eq!(step(&config(dim, optimizer), rows), want, "{dim} {optimizer:?} {rows}");
        }
    }

    #[test]
    fn other_gradients_go_by_rows() {
        for gradient in [Gradient::Ordinary, Gradient::Transposed] {
            for dim in [2, 16, 64, 160, 500] {
                let config = Config { gradient, ..config(dim, Optimizer::ADAM) };
                assert_eq!(step(&config, 4096), Route::Rows);
            }
        }
    }

    /// `max_batch` sizes the memory; the rows at hand choose the route.
    #[test]
    fn no_route_looks_at_max_batch() {
        for optimizer in [SGD, Optimizer::ADAM, Optimizer::NATURAL] {
            for dim in [1, 2, 15, 16, 17, 64, 65, 159, 160, 161, 784] {
                for rows in [1, 2, 7, 8, 10, 55, 56, 100, 140, 241, 1000] {
                    let of = |max_batch| {
                        let config = Config { max_batch, ..config(dim, optimizer) };
                        (step(&config, rows), gradient(&config, rows))
                    };
                    assert_eq!(of(rows), of(4096));
                }
            }
        }
    }

    /// Memory is there for every route that a batch may take.
    #[test]
    fn what_is_in_reach_covers_all_smaller_batches() {
        for optimizer in [SGD, Optimizer::ADAM, Optimizer::NATURAL] {
            for dim in [1, 2, 7, 16, 17, 40, 64, 160, 161, 300] {
                for max_batch in [1, 7, 8, 14, 15, 30, 48, 56, 140, 225, 500] {
                    let config = Config { max_batch, ..config(dim, optimizer) };
                    let reach = Reach::of(&config);
                    for rows in 1..=max_batch {
                        let route = step(&config, rows);
                        assert!(!route.is_summed() || reach.summed);
                        assert!(route != Route::Lanes || reach.lanes);
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_take_the_order_of_evaluations() {
        for dim in [1, 16, 17, 64, 160, 161] {
            let route = gradient(&config(dim, Optimizer::ADAM), 4096);
            assert!(route != Route::Lanes || forward(dim) == Forward::Chain);
        }
    }
}
