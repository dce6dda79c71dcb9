//! The command line of `relgrad plot`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::flags::{Format, Pair};

#[derive(Subcommand)]
pub enum Plot {
    /// Likelihoods over epochs, from logs of `train --log`.
    Loss {
        /// Logs; each becomes a curve or, with validation, two.
        #[arg(required = true)]
        logs: Vec<PathBuf>,
        #[command(flatten)]
        picture: Picture,
    },
    /// For two features: the data, the model's density and its samples.
    Density {
        #[command(flatten)]
        on: Pair,
        /// Seed of the samples.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// What density and samples are given, for a model with a condition: numbers as in 0.5,1.2,
        /// or a label, whose rows alone are drawn then.
        #[arg(long, value_name = "VALUES", allow_hyphen_values = true)]
        given: Option<String>,
        #[command(flatten)]
        picture: Picture,
    },
    /// Several models of two features: the data of each above its density.
    Grid {
        /// A model's file and its data's, for each column; the data's name becomes its title.
        #[arg(long, required = true, num_args = 2, value_names = ["MODEL", "DATA"])]
        pair: Vec<PathBuf>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        picture: Picture,
    },
    /// Rows as grey images: of a data file, or samples of a model.
    Images {
        /// The model to sample.
        #[arg(long, conflicts_with = "data", required_unless_present = "data")]
        model: Option<PathBuf>,
        /// The rows to show.
        #[arg(long)]
        data: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        images: Images,
        #[command(flatten)]
        picture: Picture,
    },
    /// The curves of the units that bend most, over histograms of their pre-activations.
    Activations {
        #[command(flatten)]
        on: Pair,
        /// Of one layer, from 1 [default: of all].
        #[arg(long)]
        layer: Option<usize>,
        #[command(flatten)]
        picture: Picture,
    },
    /// Histograms of latents against the density that they should have.
    Latents {
        #[command(flatten)]
        on: Pair,
        #[command(flatten)]
        picture: Picture,
    },
    /// What `ica --out` found: each component's column of the mixing matrix, its course and its
    /// histogram.
    Components {
        /// The folder that `relgrad ica --out` wrote.
        folder: PathBuf,
        /// How many components, the first ones.
        #[arg(long, default_value_t = 8)]
        count: usize,
        /// How many samples of the course.
        #[arg(long, default_value_t = 500)]
        samples: usize,
        #[command(flatten)]
        picture: Picture,
    },
}

/// Where a picture goes.
#[derive(Args)]
pub struct Picture {
    /// The picture, .png.
    #[arg(long)]
    pub out: PathBuf,
    /// Print one JSON object: the picture's size and the numbers that it shows.
    #[arg(long)]
    pub json: bool,
}

/// Which images, and how many.
// No group: it would have the name of the command's own.
#[derive(Args)]
#[group(skip)]
pub struct Images {
    /// Pixels of an image's row [default: the root of the features, if that is whole].
    #[arg(long)]
    pub width: Option<usize>,
    /// How many images.
    #[arg(long, default_value_t = 64)]
    pub count: usize,
    /// Seed of the samples.
    #[arg(long, default_value_t = 1, conflicts_with = "data")]
    pub seed: u64,
    /// What samples are given, for a model with a condition: numbers as in 0.5,1.2, or a label.
    #[arg(long, value_name = "VALUES", allow_hyphen_values = true, conflicts_with = "data")]
    pub given: Option<String>,
}
