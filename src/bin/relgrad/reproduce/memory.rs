//! Figure 4: the memory of training against D. Each number is the peak of a process that does
//! nothing else, less what the process took before.

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

const BATCH: usize = 10;
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

/// A way to train: what `bench` calls its gradient and optimiser, or the Jacobian.
struct Way {
    name: &'static str,
    step: Option<(Gradient, &'static str, Optimizer, &'static str)>,
    largest: usize,
}

const WAYS: [Way; 5] = [
    Way {
        name: "relative, natural",
        step: Some((Gradient::Relative, "relative", Optimizer::NATURAL, "natural")),
        largest: 4096,
    },
    Way {
        name: "relative, Adam",
        step: Some((Gradient::Relative, "relative", Optimizer::ADAM, "adam")),
        largest: 4096,
    },
    Way {
        name: "ordinary, SGD",
        step: Some((Gradient::Ordinary, "ordinary", Optimizer::SGD, "sgd")),
        largest: 2048,
    },
    Way {
        name: "ordinary, Adam",
        step: Some((Gradient::Ordinary, "ordinary", Optimizer::ADAM, "adam")),
        largest: 2048,
    },
    Way { name: "through the Jacobian", step: None, largest: 1024 },
];

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let dims: &[usize] = match args.quick {
        true => &[128, 256],
        false => &[256, 512, 1024, 2048, 4096],
    };
    let mut rows = Vec::new();
    for way in &WAYS {
        say(args, &format!("fig4: {}", way.name));
        for &dim in dims.iter().filter(|d| **d <= way.largest) {
            rows.push(measure(way, dim)?);
        }
    }
    write_csv(&file(args, "fig4", "csv"), &rows)?;
    draw(args, &rows)?;
    Ok(finding(&rows))
}

fn measure(way: &Way, dim: usize) -> Result<Row, Failure> {
    let config = Config { max_batch: BATCH, ..the_papers(dim, LAYERS) };
    let mut words = vec!["reproduce".to_owned(), format!("--jacobian-memory={dim}")];
    let mut sizes_mib = None;
    if let Some((gradient, gradient_name, optimizer, optimizer_name)) = way.step {
        let activation = Activation::SmoothLeakyRelu { a: 0.01 };
        let sizes = Sizes::of::<f32>(&Config { activation, gradient, optimizer, ..config })?;
        sizes_mib = Some((sizes.state_bytes + sizes.workspace_bytes) as f64 / MIB);
        words = format!(
            "bench --dim {dim} --layers {LAYERS} --batch {BATCH} --gradient {gradient_name} \
             --optimizer {optimizer_name} --budget 0.001 --json"
        )
        .split(' ')
        .map(str::to_owned)
        .collect();
    }
    let program = std::env::current_exe()?;
    let output = Command::new(program).args(&words).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
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

fn finding(rows: &[Row]) -> Finding {
    let last: Vec<&Row> = WAYS.iter().filter_map(|w| of(rows, w.name).pop()).collect();
    let multiples: Vec<String> =
        last.iter().map(|r| format!("{} {:.1} (D = {})", r.method, r.multiple, r.dim)).collect();
    Finding {
        paper: "the relative gradient is computed up to D above 20,000, where automatic \
                differentiation of the Jacobian ends below 2,000"
            .into(),
        here: format!("peak memory in multiples of the parameters: {}", multiples.join(", ")),
        numbers: json!({
            "multiples": last
                .iter()
                .map(|r| json!({"method": r.method, "D": r.dim, "multiple": r.multiple}))
                .collect::<Vec<_>>(),
        }),
    }
}

fn draw(args: &Reproduce, rows: &[Row]) -> Result<(), Failure> {
    let path = file(args, "fig4", "png");
    let mut series: Vec<Series> = WAYS
        .iter()
        .enumerate()
        .map(|(i, way)| Series {
            name: way.name.into(),
            colour: COLOURS[i].mix(1.0),
            lines: vec![of(rows, way.name).iter().map(|r| (r.dim as f64, r.peak_mib)).collect()],
            marked: true,
        })
        .collect();
    series.push(Series {
        name: "the parameters themselves".into(),
        colour: RGBColor(150, 150, 150).mix(1.0),
        lines: vec![of(rows, WAYS[0].name).iter().map(|r| (r.dim as f64, r.params_mib)).collect()],
        marked: false,
    });
    let heights = rows.iter().flat_map(|r| [r.peak_mib, r.params_mib]);
    let chart = Chart {
        title: "Peak memory of training, batch of 10, two layers, f32",
        x: (
            "D, features",
            Scale::log(2.0, rows.iter().map(|r| r.dim as f64), |d| format!("{d:.0}")),
        ),
        y: ("MiB beyond the process itself", Scale::log(10.0, heights, |m| format!("{m}"))),
        legend: SeriesLabelPosition::UpperLeft,
    };
    picture(&path, (760, 540), |area| chart.draw(area, &series))
}
