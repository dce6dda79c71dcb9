//! Figure 2: two-dimensional densities, by the paper's recipe and by this crate's.

use clap::ValueEnum;
use plotters::style::FontTransform;
use relgrad::hosted::{GaussianBaseline, Toy};
use relgrad::{Bias, Config, Decay, Model, Optimizer, Schedule, Start, Trainer};
use serde::Serialize;
use serde_json::json;

use super::runs::{Fitted, fit, on_threads};
use super::{Finding, Reproduce, file, say, the_papers, threads, write_csv};
use crate::data::mean_and_error;
use crate::failure::Failure;
use crate::flags::name_of;
use crate::plot::density::{Frame, heat, points_of, scatter, window};
use crate::plot::{picture, text};

/// A way to train these densities; both have the same network and the same batches.
#[derive(Clone, Copy, PartialEq)]
enum Recipe {
    /// Orthogonal start, biases of the paper's appendix F, Adam at a constant rate.
    Paper,
    /// A start from the data, exact biases, Adam with warm-up and cosine.
    Exact,
}

impl Recipe {
    fn name(self) -> &'static str {
        match self {
            Recipe::Paper => "paper",
            Recipe::Exact => "exact",
        }
    }

    fn rate(self) -> f64 {
        match self {
            Recipe::Paper => 0.001,
            Recipe::Exact => 0.02,
        }
    }
}

/// One trained density.
#[derive(Serialize)]
struct Row {
    set: String,
    recipe: &'static str,
    layers: usize,
    steps: u64,
    best_epoch: u64,
    validation: f64,
    test: f64,
    test_standard_error: f64,
    /// The full-covariance Gaussian of the training data on the same test data.
    gaussian: f64,
    /// Share of units that bend on the data.
    bending: f64,
}

/// Sizes of the whole experiment.
struct Size {
    layers: usize,
    rows: usize,
    epochs: u64,
    batch: usize,
    warmup: u64,
}

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let size = match args.quick {
        true => Size { layers: 6, rows: 1000, epochs: 40, batch: 20, warmup: 50 },
        false => Size { layers: 100, rows: 25_000, epochs: 100, batch: 100, warmup: 1000 },
    };
    let names: &[Toy] = match args.quick {
        true => &[Toy::Sine, Toy::Rings],
        false => Toy::value_variants(),
    };
    let cases: Vec<(Toy, Recipe)> =
        names.iter().flat_map(|n| [Recipe::Paper, Recipe::Exact].map(|r| (*n, r))).collect();
    let layers = size.layers;
    say(args, &format!("fig2: {} densities of {layers} layers", cases.len()));
    let trained = on_threads(threads(args), &cases, |(name, recipe)| {
        train(*name, *recipe, &size, args.seed).map_err(|e| e.to_string())
    });
    let mut trained = trained.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<&Row> = trained.iter().map(|(row, _)| row).collect();
    write_csv(&file(args, "fig2", "csv"), &rows)?;
    let finding = finding(&rows);
    draw(args, names, &mut trained)?;
    Ok(finding)
}

fn train(name: Toy, recipe: Recipe, size: &Size, seed: u64) -> Result<(Row, Model<f32>), Failure> {
    let data = name.sample::<f32>(size.rows, seed)?;
    let test = name.sample::<f32>(10_000, seed ^ (1 << 32))?;
    let gaussian = GaussianBaseline::fit(&data, 0.0)?.mean_log_likelihood(&test);
    let (data, validation) = data.split_fraction(0.1)?;
    let bias = if recipe == Recipe::Paper { Bias::Projected } else { Bias::Separate };
    let config = Config {
        bias,
        optimizer: Optimizer::ADAM,
        max_batch: size.batch,
        ..the_papers(2, size.layers)
    };
    let total = Trainer::steps_of(data.values(), &config, size.epochs);
    let (model, schedule) = match recipe {
        Recipe::Paper => (Model::new(config, seed)?, Schedule::constant(recipe.rate())),
        Recipe::Exact => (
            Model::from_data(config, data.values(), Start::Whitened, seed)?,
            Schedule { rate: recipe.rate(), warmup: size.warmup, decay: Decay::Cosine { total } },
        ),
    };
    let trainer = Trainer::new(model, schedule, seed)?;
    let Fitted { mut model, best_epoch, validation: best } =
        fit(trainer, size.epochs, &data, &validation)?;
    let (test_mean, test_standard_error) = mean_and_error(&model.log_likelihood(test.values())?);
    let row = Row {
        set: name_of(&name),
        recipe: recipe.name(),
        layers: size.layers,
        steps: total,
        best_epoch,
        validation: best,
        test: test_mean,
        test_standard_error,
        gaussian,
        bending: model.bending_share(data.values())?,
    };
    Ok((row, model))
}

fn finding(rows: &[&Row]) -> Finding {
    let of = |recipe: Recipe| rows.iter().filter(move |r| r.recipe == recipe.name());
    let above = |recipe| of(recipe).filter(|r| r.test > r.gaussian).count();
    let list = |recipe: Recipe| {
        of(recipe).map(|r| format!("{} {:.3}", r.set, r.test)).collect::<Vec<_>>().join(", ")
    };
    let sets = of(Recipe::Exact).count();
    let (paper, exact) = (above(Recipe::Paper), above(Recipe::Exact));
    let better = of(Recipe::Exact).zip(of(Recipe::Paper)).filter(|(e, p)| e.test > p.test).count();
    Finding {
        paper: "deep networks trained with relative gradients follow two-dimensional densities \
                closely"
            .into(),
        here: format!(
            "test nats, paper's recipe: {}; exact biases and a start from the data: {}; above \
             the Gaussian on {paper} and {exact} of {sets} sets, and the second ahead on {better}",
            list(Recipe::Paper),
            list(Recipe::Exact),
        ),
        numbers: json!({"sets": sets, "paper_above_gaussian": paper,
            "exact_above_gaussian": exact, "exact_ahead": better, "rows": rows}),
    }
}

/// Pixels of a panel, of the row names beside them and of the set names above.
const PANEL: u32 = 176;
const SIDE: u32 = 30;
const TOP: u32 = 26;
/// Points of a scatter plot.
const POINTS: usize = 1500;

fn draw(args: &Reproduce, names: &[Toy], trained: &mut [(Row, Model<f32>)]) -> Result<(), Failure> {
    let path = file(args, "fig2", "png");
    let (across, down) = (names.len() as u32, 3);
    picture(&path, (SIDE + across * PANEL, TOP + down * PANEL), |area| {
        let (head, rest) = area.split_vertically(TOP);
        let (side, grid) = rest.split_horizontally(SIDE);
        let panels = grid.split_evenly((down as usize, across as usize));
        let style = text(18);
        let turned = style.transform(FontTransform::Rotate270);
        for (i, name) in names.iter().enumerate() {
            let title = name_of(name);
            let (width, _) = area.estimate_text_size(&title, &style)?;
            let x = SIDE + i as u32 * PANEL + PANEL.saturating_sub(width) / 2;
            head.draw_text(&title, &style, (x as i32, 6))?;
            let samples = points_of(name.sample::<f32>(POINTS, args.seed)?.values());
            let frame =
                Frame { title: "", ticks: false, window: window(&samples), origin: [0.0; 2] };
            scatter(&panels[i], &frame, &samples)?;
            for (row, (_, model)) in trained[2 * i..2 * i + 2].iter_mut().enumerate() {
                heat(&panels[(row + 1) * names.len() + i], &frame, model, None)?;
            }
        }
        for (row, name) in ["data", "paper's recipe", "exact biases"].into_iter().enumerate() {
            let (width, _) = area.estimate_text_size(name, &style)?;
            let y = row as u32 * PANEL + (PANEL + width) / 2;
            side.draw_text(name, &turned, (6, y as i32))?;
        }
        Ok(())
    })
}
