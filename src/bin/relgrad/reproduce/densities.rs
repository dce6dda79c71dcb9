//! Figures 2 and 5: the paper's two-dimensional densities, by Adam and by SGD, its recipe beside this
//! crate's.

use plotters::style::FontTransform;
use relgrad::hosted::{GaussianBaseline, Plan};
use relgrad::measure::on_threads;
use relgrad::{Activation, Bias, Config, Model, Optimizer, Start, Trainer};
use serde::Serialize;
use serde_json::json;

use super::planes::Plane;
use super::runs::{Fitted, fit, schedule};
use super::{Finding, Reproduce, file, say, the_papers, threads, write_csv};
use crate::data::mean_and_error;
use crate::failure::Failure;
use crate::plot::density::{Frame, heat, points_of, scatter};
use crate::plot::{picture, text};

/// How a density is trained.
#[derive(Clone, Copy)]
struct Recipe {
    name: &'static str,
    layers: usize,
    activation: Activation,
    bias: Bias,
    /// Orthogonal weights if there is none.
    start: Option<Start>,
    optimizer: Optimizer,
    /// The rate, if it is not the set's own.
    rate: Option<f64>,
    /// Passes over the data, if not the set's own.
    epochs: Option<u64>,
    /// Whether the rate warms up and follows a cosine.
    cosine: bool,
    /// The share of the steps over which parameters are averaged.
    average: Option<f64>,
}

/// Appendix H.3: 100 layers, Adam; the bias rule of appendix F.
const PAPER: Recipe = Recipe {
    name: "paper",
    layers: 100,
    activation: Activation::SmoothLeakyRelu { a: 0.3 },
    bias: Bias::Projected,
    start: None,
    optimizer: Optimizer::ADAM,
    rate: None,
    epochs: None,
    cosine: false,
    average: None,
};

/// The same, from the same start, but for the exact rule of biases.
const EXACT: Recipe = Recipe { name: "exact biases", bias: Bias::Separate, ..PAPER };

/// What this crate does of itself: fewer layers, of curves that learn.
const OWN: Recipe = Recipe {
    name: "relgrad",
    layers: 32,
    activation: Activation::TanhMixture { steps: 8 },
    bias: Bias::Separate,
    start: Some(Start::Aligned),
    optimizer: Optimizer::ADAM,
    rate: Some(0.003),
    epochs: Some(200),
    cosine: true,
    average: Some(0.1),
};

/// Table 2: rate and passes.
fn table_2(plane: Plane) -> (f64, u64) {
    match plane {
        Plane::Mixture => (0.001, 2000),
        Plane::Moons => (0.001, 1300),
        Plane::Sine => (0.005, 4000),
    }
}

/// Rows to train on, and rows that choose the best epoch: the paper's numbers. Likelihoods are of
/// other rows.
const TRAIN: usize = 5000;
const CHOOSE: usize = 500;
const TEST: usize = 20_000;
const BATCH: usize = 100;
const WARMUP: u64 = 1000;

/// One trained density.
#[derive(Serialize)]
struct Row {
    set: &'static str,
    recipe: &'static str,
    layers: usize,
    rate: f64,
    epochs: u64,
    best_epoch: u64,
    test: f64,
    /// Two standard errors, as in the paper.
    test_error: f64,
    /// The full-covariance Gaussian of the training data on the same test data.
    gaussian: f64,
    /// What the data are drawn from, on the same test data.
    truth: f64,
    seconds: f64,
}

pub fn adam(args: &Reproduce) -> Result<Finding, Failure> {
    run(args, "fig2", &[PAPER, EXACT, OWN])
}

/// Rate and passes of SGD are not in the paper.
pub fn sgd(args: &Reproduce) -> Result<Finding, Failure> {
    let of = |recipe: Recipe| Recipe {
        optimizer: Optimizer::SGD,
        rate: Some(0.001),
        epochs: Some(1000),
        ..recipe
    };
    run(args, "fig5", &[of(PAPER), of(EXACT), OWN])
}

fn run(args: &Reproduce, name: &str, recipes: &[Recipe]) -> Result<Finding, Failure> {
    let cases: Vec<(Plane, Recipe)> =
        Plane::ALL.iter().flat_map(|p| recipes.iter().map(|r| (*p, *r))).collect();
    say(args, &format!("{name}: {} densities", cases.len()));
    let trained = on_threads(threads(args), &cases, |(plane, recipe)| {
        train(*plane, recipe, args).map_err(|e| e.to_string())
    });
    let mut trained = trained.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<&Row> = trained.iter().map(|(row, _)| row).collect();
    write_csv(&file(args, name, "csv"), &rows)?;
    let finding = finding(&rows, recipes);
    draw(args, name, recipes, &mut trained)?;
    Ok(finding)
}

fn train(plane: Plane, recipe: &Recipe, args: &Reproduce) -> Result<(Row, Model<f32>), Failure> {
    let began = std::time::Instant::now();
    let seed = args.seed;
    let data = plane.sample(TRAIN, seed)?;
    let choose = plane.sample(CHOOSE, seed ^ (1 << 32))?;
    let test = plane.sample(TEST, seed ^ (2 << 32))?;
    let (rate, epochs) = table_2(plane);
    let (rate, epochs) = (recipe.rate.unwrap_or(rate), recipe.epochs.unwrap_or(epochs));
    let (layers, epochs) = match args.quick {
        true => (recipe.layers.min(8), epochs.min(8)),
        false => (recipe.layers, epochs),
    };
    let config = Config {
        activation: recipe.activation,
        final_activation: matches!(recipe.activation, Activation::TanhMixture { .. }),
        bias: recipe.bias,
        optimizer: recipe.optimizer,
        max_batch: BATCH,
        ..the_papers(2, layers)
    };
    let total = Trainer::steps_of(data.values(), &config, epochs);
    let schedule = schedule(rate, WARMUP, recipe.cosine.then_some(total));
    let model = match recipe.start {
        None => Model::new(config, seed)?,
        Some(start) => Model::from_data(config, data.values(), start, seed)?,
    };
    let trainer = Trainer::new(model, schedule, seed)?;
    let plan = Plan { average: recipe.average, ..Plan::new(epochs) };
    let Fitted { mut model, best_epoch, .. } = fit(trainer, plan, &data, &choose)?;
    let (mean, error) = mean_and_error(&model.log_likelihood(test.values())?);
    let row = Row {
        set: plane.name(),
        recipe: recipe.name,
        layers,
        rate,
        epochs,
        best_epoch,
        test: mean,
        test_error: 2.0 * error,
        gaussian: GaussianBaseline::fit(&data, 0.0)?.mean_log_likelihood(&test),
        truth: plane.mean_log_density(&test),
        seconds: began.elapsed().as_secs_f64(),
    };
    Ok((row, model))
}

fn finding(rows: &[&Row], recipes: &[Recipe]) -> Finding {
    let of = |recipe: &Recipe| {
        let rows = rows.iter().filter(|r| r.recipe == recipe.name);
        rows.map(|r| format!("{} {:.3}", r.set, r.test)).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<String> = recipes.iter().map(|r| format!("{}: {}", r.name, of(r))).collect();
    let first = rows.iter().filter(|r| r.recipe == recipes[0].name);
    let truths: Vec<String> = first.map(|r| format!("{} {:.3}", r.set, r.truth)).collect();
    Finding {
        paper: "the densities are modelled convincingly; no numbers".into(),
        here: format!("test nats; {}; the true densities: {}", all.join("; "), truths.join(", ")),
        numbers: json!({"rows": rows}),
    }
}

/// Pixels of a panel, of the row names beside them and of the set names above.
const PANEL: u32 = 220;
const SIDE: u32 = 30;
const TOP: u32 = 26;

/// The samples, and below them the density by each recipe.
fn draw(
    args: &Reproduce,
    name: &str,
    recipes: &[Recipe],
    trained: &mut [(Row, Model<f32>)],
) -> Result<(), Failure> {
    let (across, down) = (Plane::ALL.len(), recipes.len() + 1);
    let size = (SIDE + across as u32 * PANEL, TOP + down as u32 * PANEL);
    picture(&file(args, name, "png"), size, |area| {
        let (head, rest) = area.split_vertically(TOP);
        let (side, grid) = rest.split_horizontally(SIDE);
        let panels = grid.split_evenly((down, across));
        let style = text(18);
        let turned = style.transform(FontTransform::Rotate270);
        for (i, plane) in Plane::ALL.into_iter().enumerate() {
            let (width, _) = area.estimate_text_size(plane.name(), &style)?;
            let x = SIDE + i as u32 * PANEL + PANEL.saturating_sub(width) / 2;
            head.draw_text(plane.name(), &style, (x as i32, 6))?;
            let frame = Frame { title: "", ticks: false, window: plane.window(), origin: [0.0; 2] };
            scatter(&panels[i], &frame, &points_of(plane.sample(TRAIN, args.seed)?.values()))?;
            let models = &mut trained[i * recipes.len()..][..recipes.len()];
            for (row, (_, model)) in models.iter_mut().enumerate() {
                heat(&panels[(row + 1) * across + i], &frame, model, None)?;
            }
        }
        let names = ["samples"].into_iter().chain(recipes.iter().map(|r| r.name));
        for (row, name) in names.enumerate() {
            let (width, _) = area.estimate_text_size(name, &style)?;
            let y = TOP + row as u32 * PANEL + (PANEL + width) / 2;
            side.draw_text(name, &turned, (6, y as i32 - TOP as i32))?;
        }
        Ok(())
    })
}
