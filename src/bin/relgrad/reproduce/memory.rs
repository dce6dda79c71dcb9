//! Figure 4: the memory of one gradient against D; and that of training. Each number is the peak of a
//! process that does nothing else, less what the process took before.

use std::process::Command;

use plotters::prelude::*;
use relgrad::{Activation, Config, Gradient, Optimizer, Sizes};
use serde::Serialize;
use serde_json::{Value, json};

use super::gradients::{LAYERS, Method, Ready};
use super::{Finding, Reproduce, file, say, the_papers, write_csv};
use crate::failure::Failure;
use crate::plot::chart::{Chart, Scale, Series};
use crate::plot::{COLOURS, picture};
use crate::process;

const MIB: f64 = (1 << 20) as f64;

#[derive(Serialize)]
struct Row {
    method: &'static str,
    #[serde(rename = "D")]
    dim: usize,
    params_mib: f64,
    /// State and workspace as [`Sizes`] says; none where it says nothing.
    sizes_mib: Option<f64>,
    peak_mib: f64,
    /// The peak in multiples of the parameters.
    multiple: f64,
}

/// What is done: what `bench` calls its gradient and optimiser, or one gradient through the Jacobian
/// of one sample.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    step: Option<(Gradient, &'static str, Option<Optimizer>, &'static str)>,
    largest: usize,
}

/// One gradient, as in the paper.
const GRADIENTS: [Way; 3] = [
    Way {
        name: "relative",
        step: Some((Gradient::Relative, "relative", None, "none")),
        largest: usize::MAX,
    },
    Way {
        name: "ordinary",
        step: Some((Gradient::Ordinary, "ordinary", None, "none")),
        largest: usize::MAX,
    },
    Way { name: "through the Jacobian of one sample", step: None, largest: 1024 },
];

const TRAININGS: [Way; 4] = [
    Way {
        name: "relative, natural",
        step: Some((Gradient::Relative, "relative", Some(Optimizer::NATURAL), "natural")),
        largest: 4096,
    },
    Way {
        name: "relative, Adam",
        step: Some((Gradient::Relative, "relative", Some(Optimizer::ADAM), "adam")),
        largest: 4096,
    },
    Way {
        name: "ordinary, SGD",
        step: Some((Gradient::Ordinary, "ordinary", Some(Optimizer::SGD), "sgd")),
        largest: 2048,
    },
    Way {
        name: "ordinary, Adam",
        step: Some((Gradient::Ordinary, "ordinary", Some(Optimizer::ADAM), "adam")),
        largest: 2048,
    },
];

/// The paper's D, and what it says of it in MiB: its bound for parameters and gradients, and what
/// automatic differentiation took.
const PAPER: (f64, f64, f64) = (5000.0, 400e6 / MIB, 13.0 * 1024.0);

pub fn gradient(args: &Reproduce) -> Result<Finding, Failure> {
    let dims: &[usize] = match args.quick {
        true => &[128, 256],
        false => &[256, 512, 1024, 2048, 3500, 5000],
    };
    let rows = all(args, "fig4", &GRADIENTS, dims, 100)?;
    let points = |at: f64| vec![vec![(PAPER.0, at)]];
    let paper = [("the paper's bound, 400 MB", PAPER.1), ("the paper's autodiff, 13 GiB", PAPER.2)];
    let paper = paper.into_iter().zip(&COLOURS[3..]).map(|((name, at), colour)| Series {
        name: name.into(),
        colour: colour.mix(1.0),
        lines: points(at),
        marked: true,
    });
    let title = "Peak memory of one gradient, batch of 100, two layers, f32";
    draw(args, "fig4", title, &GRADIENTS, &rows, paper.collect())?;
    let last = |way: &Way| of(&rows, way.name).pop().map_or((0, f64::NAN), |r| (r.dim, r.peak_mib));
    let [(dim, relative), (_, ordinary), (small, jacobian)] = GRADIENTS.each_ref().map(last);
    Ok(Finding {
        paper:
            "at D = 5000 about 600 MB in all for the relative gradient, of which 200 are there at \
                the start and 400 the least possible; almost 13 GiB by automatic differentiation"
                .into(),
        here: format!(
            "at D = {dim} {relative:.0} MiB beyond the process itself (ordinary {ordinary:.0}); one \
             sample's Jacobian takes {jacobian:.0} MiB at D = {small}"
        ),
        numbers: json!({"D": dim, "relative_mib": relative, "ordinary_mib": ordinary,
            "jacobian_mib": jacobian, "jacobian_D": small}),
    })
}

pub fn training(args: &Reproduce) -> Result<Finding, Failure> {
    let dims: &[usize] = match args.quick {
        true => &[128, 256],
        false => &[256, 512, 1024, 2048, 4096],
    };
    let rows = all(args, "memory", &TRAININGS, dims, 10)?;
    let title = "Peak memory of training, batch of 10, two layers, f32";
    draw(args, "memory", title, &TRAININGS, &rows, Vec::new())?;
    let last: Vec<&Row> = TRAININGS.iter().filter_map(|w| of(&rows, w.name).pop()).collect();
    let multiples: Vec<String> =
        last.iter().map(|r| format!("{} {:.1} (D = {})", r.method, r.multiple, r.dim)).collect();
    Ok(Finding {
        paper: "nothing".into(),
        here: format!("peak memory in multiples of the parameters: {}", multiples.join(", ")),
        numbers: json!({
            "multiples": last
                .iter()
                .map(|r| json!({"method": r.method, "D": r.dim, "multiple": r.multiple}))
                .collect::<Vec<_>>(),
        }),
    })
}

/// Measures each way at each D, and keeps the numbers.
fn all(
    args: &Reproduce,
    name: &str,
    ways: &[Way],
    dims: &[usize],
    batch: usize,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for way in ways {
        say(args, &format!("{name}: {}", way.name));
        for &dim in dims.iter().filter(|d| **d <= way.largest) {
            rows.push(measure(way, dim, batch)?);
        }
    }
    write_csv(&file(args, name, "csv"), &rows)?;
    Ok(rows)
}

fn measure(way: &Way, dim: usize, batch: usize) -> Result<Row, Failure> {
    let config = Config { max_batch: batch, ..the_papers(dim, LAYERS) };
    let mut words = vec!["reproduce".to_owned(), format!("--jacobian-memory={dim}")];
    let mut sizes_mib = None;
    if let Some((gradient, gradient_name, optimizer, optimizer_name)) = way.step {
        let activation = Activation::SmoothLeakyRelu { a: 0.01 };
        if let Some(optimizer) = optimizer {
            let sizes = Sizes::of::<f32>(&Config { activation, gradient, optimizer, ..config })?;
            sizes_mib = Some((sizes.state_bytes + sizes.workspace_bytes) as f64 / MIB);
        }
        words = format!(
            "bench --dim {dim} --layers {LAYERS} --batch {batch} --gradient {gradient_name} \
             --optimizer {optimizer_name} --budget 0.001 --json"
        )
        .split(' ')
        .map(str::to_owned)
        .collect();
    }
    let program = std::env::current_exe()?;
    let output = Command::new(program).args(&words).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(
            format!("relgrad {}: {} {}", words.join(" "), output.status, said.trim()).into()
        );
    }
    let object: Value = serde_json::from_slice(&output.stdout)?;
    let peak = object["rss_peak_mib"].as_f64().zip(object["rss_base_mib"].as_f64());
    let (peak, base) = peak.ok_or("this system does not say how much memory a process takes")?;
    let params_mib = (Sizes::of::<f32>(&config)?.params_len * size_of::<f32>()) as f64 / MIB;
    let peak_mib = peak - base;
    Ok(Row {
        method: way.name,
        dim,
        params_mib,
        sizes_mib,
        peak_mib,
        multiple: peak_mib / params_mib,
    })
}

/// Prints what [`measure`] reads, of one gradient through the Jacobian of one sample.
pub fn of_jacobian(dim: usize) -> Result<(), Failure> {
    let base = process::resident();
    let mut ready = Ready::new(Method::Jacobian, dim, 1)?;
    process::reset_peak();
    ready.compute()?;
    println!("{}", json!({"rss_base_mib": base, "rss_peak_mib": process::peak_resident()}));
    Ok(())
}

/// The rows of one way, the largest D last.
fn of<'r>(rows: &'r [Row], name: &str) -> Vec<&'r Row> {
    rows.iter().filter(|r| r.method == name).collect()
}

fn draw(
    args: &Reproduce,
    name: &str,
    title: &str,
    ways: &[Way],
    rows: &[Row],
    more: Vec<Series>,
) -> Result<(), Failure> {
    let curve = |of: &[&Row], at: fn(&Row) -> f64| {
        vec![of.iter().map(|r| (r.dim as f64, at(r))).collect::<Vec<_>>()]
    };
    let mut series: Vec<Series> = ways
        .iter()
        .zip(COLOURS)
        .map(|(way, colour)| Series {
            name: way.name.into(),
            colour: colour.mix(1.0),
            lines: curve(&of(rows, way.name), |r| r.peak_mib),
            marked: true,
        })
        .collect();
    series.push(Series {
        name: "the parameters themselves".into(),
        colour: RGBColor(150, 150, 150).mix(1.0),
        lines: curve(&of(rows, ways[0].name), |r| r.params_mib),
        marked: false,
    });
    series.extend(more);
    let points = || series.iter().flat_map(|s| s.lines.iter().flatten());
    let chart = Chart {
        title,
        x: ("D, features", Scale::log(2.0, points().map(|p| p.0), |d| format!("{d:.0}"))),
        y: (
            "MiB beyond the process itself",
            Scale::log(10.0, points().map(|p| p.1), |m| format!("{m}")),
        ),
        legend: SeriesLabelPosition::UpperLeft,
    };
    picture(&file(args, name, "png"), (760, 540), |area| chart.draw(area, &series))
}
