//! Nonlinear ICA with an observed segment (eq. 4): how well the sources of the literature's simulations are
//! found, by the depth of the mixing.

use std::time::Instant;

use plotters::prelude::*;
use relgrad::NonlinearIca;
use relgrad::hosted::{Mixing, Segments};
use relgrad::measure::on_threads;
use relgrad::metrics::mcc;
use serde::Serialize;
use serde_json::json;

use super::timing::median;
use super::{Finding, Reproduce, file, say, threads, write_csv};
use crate::failure::Failure;
use crate::plot::chart::{Chart, Scale, Series};
use crate::plot::picture;

/// A simulation, and how it is unmixed.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    segments: Segments,
    ica: NonlinearIca,
    /// Mixtures, each of a seed of its own.
    mixtures: u64,
    /// Starts for each, of which the likeliest is taken.
    starts: usize,
}

/// The likeliest start on one mixture.
#[derive(Clone, Copy, Serialize)]
struct Run {
    setting: &'static str,
    dim: usize,
    depth: usize,
    layers: usize,
    segments: usize,
    mixture: u64,
    starts: usize,
    /// Nats a row that the model's mean log-likelihood lies below that of what the rows were drawn from.
    gap: f64,
    mcc: f64,
    seconds: f64,
}

/// Layers that find a mixing of this depth.
fn layers(depth: usize) -> usize {
    if depth == 1 { 1 } else { depth + 2 }
}

fn settings(quick: bool) -> Vec<Setting> {
    let of = |name, dim, depth, mixtures, starts| {
        let (segments, ica) = (Segments::new(dim, depth), NonlinearIca::new(layers(depth)));
        let ica = match (quick, depth) {
            (true, _) => NonlinearIca { epochs: 12, ..ica },
            (false, 4..) => NonlinearIca { epochs: 150, ..ica },
            _ => ica,
        };
        Setting { name, segments, ica, mixtures, starts }
    };
    if quick {
        return vec![of("uniform", 3, 1, 2, 1), of("uniform", 3, 2, 2, 3)];
    }
    let one_segment = {
        let one = of("one segment", 5, 2, 3, 1);
        // As many rows: u says nothing.
        Setting { segments: Segments { segments: 1, rows: 40 * 512, ..one.segments }, ..one }
    };
    let orthogonal = |depth| {
        let one = of("orthogonal", 5, depth, 5, 4);
        let deviations = [0.01, 3.0];
        let segments = Segments {
            segments: 20,
            rows: 2000,
            deviations,
            mixing: Mixing::Orthogonal,
            ..one.segments
        };
        let ica = NonlinearIca { layers: depth + 1, final_activation: true, epochs: 50, ..one.ica };
        Setting { segments, ica, ..one }
    };
    vec![
        of("uniform", 5, 1, 10, 1),
        of("uniform", 5, 2, 10, 1),
        of("uniform", 5, 3, 10, 8),
        of("uniform", 5, 4, 10, 16),
        of("uniform", 5, 5, 10, 16),
        of("uniform", 10, 2, 3, 1),
        of("uniform", 20, 2, 3, 1),
        orthogonal(1),
        orthogonal(3),
        one_segment,
    ]
}

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let mut runs: Vec<Run> = Vec::new();
    for setting in settings(args.quick) {
        let Segments { dim, depth, .. } = setting.segments;
        say(args, &format!("components: {}, D = {dim}, depth {depth}", setting.name));
        let seeds: Vec<u64> = (0..setting.mixtures).map(|i| args.seed + i).collect();
        for run in on_threads(threads(args), &seeds, |seed| one(&setting, *seed)) {
            runs.push(run?);
        }
        // What is done is kept, however long the rest takes.
        write_csv(&file(args, "components", "csv"), &runs)?;
    }
    draw(args, &runs)?;
    Ok(finding(&runs))
}

fn one(setting: &Setting, seed: u64) -> relgrad::Result<Run> {
    let Segments { dim, depth, segments, .. } = setting.segments;
    let mixture = setting.segments.sample(seed)?;
    let data = (&mixture.x, &mixture.segment);
    let began = Instant::now();
    let found =
        setting.ica.search(data, (dim, segments as u32), setting.starts, 0, 1, |_, _| {})?;
    let seconds = began.elapsed().as_secs_f64();
    let mut model = found.model;
    let gap = mixture.log_likelihood - model.mean_log_likelihood(data)?;
    let mcc = mcc(&model.forward(&mixture.x)?, dim, &mixture.sources, dim)?.mean;
    let (name, layers, starts) = (setting.name, setting.ica.layers, setting.starts);
    Ok(Run {
        setting: name,
        dim,
        depth,
        layers,
        segments,
        mixture: seed,
        starts,
        gap,
        mcc,
        seconds,
    })
}

/// The runs of each setting, one after the other.
fn by_setting(runs: &[Run]) -> impl Iterator<Item = &[Run]> {
    runs.chunk_by(|a, b| (a.setting, a.dim, a.depth) == (b.setting, b.dim, b.depth))
}

fn finding(runs: &[Run]) -> Finding {
    let mut lines = Vec::new();
    let mut numbers = Vec::new();
    for runs in by_setting(runs) {
        let Run { setting, dim, depth, starts, .. } = runs[0];
        let typical = median(runs.iter().map(|r| r.mcc));
        let least = runs.iter().map(|r| r.mcc).fold(1.0, f64::min);
        let gap = median(runs.iter().map(|r| r.gap));
        let seconds = median(runs.iter().map(|r| r.seconds));
        lines.push(format!(
            "{setting}, D = {dim}, depth {depth}: {typical:.3} (least {least:.3}, gap {gap:.2})"
        ));
        numbers.push(json!({
            "setting": setting, "dim": dim, "depth": depth, "mixtures": runs.len(),
            "starts": starts, "median_mcc": typical, "least_mcc": least, "median_gap": gap,
            "seconds": seconds,
        }));
    }
    Finding {
        paper: "eq. 4 has identifiable components; no figure (TCL, iVAE and ICE-BeeM report mean \
                correlations of 0.7 to 0.95 on such simulations)"
            .to_owned(),
        here: format!("median correlation with the sources: {}", lines.join("; ")),
        numbers: json!(numbers),
    }
}

/// Each mixture's correlation and gap: where the gap closes, the sources are found.
fn draw(args: &Reproduce, runs: &[Run]) -> Result<(), Failure> {
    let colours = [&BLUE, &RED, &GREEN, &MAGENTA, &CYAN, &BLACK];
    let series: Vec<Series> = by_setting(runs)
        .enumerate()
        .map(|(i, runs)| {
            let Run { setting, dim, depth, .. } = runs[0];
            Series {
                name: format!("{setting}, D = {dim}, depth {depth}"),
                colour: colours[i % colours.len()].mix(1.0 - 0.4 * (i / colours.len()) as f64),
                // Points, which no line joins.
                lines: runs.iter().map(|r| vec![(r.gap, r.mcc)]).collect(),
                marked: true,
            }
        })
        .collect();
    let points = || series.iter().flat_map(|s| s.lines.iter().flatten());
    let chart = Chart {
        title: "Nonlinear ICA, the most likely start for each mixture",
        // Wide enough for what is level with the truth not to look apart.
        x: (
            "nats a row below the true likelihood",
            Scale::linear(points().map(|p| p.0).chain([-0.1, 0.4]), |v| format!("{v:.2}")),
        ),
        y: (
            "mean correlation with the sources",
            Scale::linear(points().map(|p| p.1).chain([0.9, 1.0]), |v| format!("{v:.2}")),
        ),
        legend: SeriesLabelPosition::LowerLeft,
    };
    picture(&file(args, "components", "png"), (760, 540), |area| chart.draw(area, &series))
}
