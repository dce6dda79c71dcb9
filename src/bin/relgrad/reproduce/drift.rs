//! A stream whose process drifts: a model that learns from each row with an alarm that follows it, beside a
//! Gaussian that is fitted again and again.

use std::collections::VecDeque;
use std::time::Instant;

use plotters::prelude::*;
use relgrad::hosted::{Data, GaussianBaseline};
use relgrad::measure::Random;
use relgrad::{Alarm, Config, Model, Optimizer, Start};
use serde::Serialize;
use serde_json::json;

use super::{Finding, Reproduce, file, say, write_csv};
use crate::failure::Failure;
use crate::plot::chart::{Chart, Scale, Series};
use crate::plot::{COLOURS, picture};

const DIM: usize = 4;
/// The promised share of false alarms.
const RATE: f64 = 0.01;
/// Rows in which the rotation turns once.
const CYCLE: f64 = 100_000.0;
/// Rows that methods see before they are judged.
const FIRST: usize = 4000;
/// Rows of a step: the rows since the last one.
const BATCH: usize = 10;
/// The Gaussian is fitted to so many last rows, and again after so many.
const WINDOW: usize = 2000;
const REFIT: usize = 200;
/// A fault lasts so long, and one begins after every so many rows.
const FAULT: usize = 400;
const BETWEEN: usize = 5000;
/// A fault is found when this many of the last rows raised an alarm.
const FOUND: (usize, usize) = (5, 50);
/// Rows of one point of the picture.
const COUNTED: usize = 2500;

/// What a row is.
#[derive(Clone, Copy, PartialEq)]
enum Row {
    Usual,
    /// Far from all others.
    Far,
    /// Where no row ever is, amid the others.
    Amid,
    /// The first sensor repeats itself, for so many rows by now.
    Stuck(usize),
}

/// Four sources, the second of which follows the square of the first, mixed by a rotation that turns,
/// while offsets and scales move.
struct Process {
    random: Random,
    row: usize,
    stuck: Option<(usize, f64)>,
}

impl Process {
    /// -1 or 1.
    fn sign(&mut self) -> f64 {
        if self.random.below(2) == 0 { -1.0 } else { 1.0 }
    }

    fn next(&mut self) -> (Row, [f64; DIM]) {
        let time = self.row as f64 / CYCLE;
        let is_judged = self.row >= FIRST;
        let chance = self.random.uniform();
        let mut what = match chance {
            c if is_judged && c < 0.002 => Row::Far,
            c if is_judged && c < 0.004 => Row::Amid,
            _ => Row::Usual,
        };
        let first = self.random.normal();
        let mut s =
            [first, first * first - 1.0 + 0.3 * self.random.normal(), 0.0, self.random.normal()];
        s[2] = -0.7 * self.sign() * self.random.uniform().ln();
        match what {
            Row::Far => s[2] += 12.0 * self.sign(),
            Row::Amid => s[..2].copy_from_slice(&[1.5 * first.signum(), -1.25]),
            _ => {}
        }
        let angle = std::f64::consts::TAU * time;
        let (sin, cos) = angle.sin_cos();
        let scale = (0.5 * (3.0 * angle).sin()).exp();
        let mut x = [
            cos * s[0] - sin * s[2],
            cos * s[1] - sin * s[3],
            sin * s[0] + cos * s[2],
            scale * (sin * s[1] + cos * s[3]),
        ];
        x[1] += 5.0 * time + 2.0 * (5.0 * angle).sin();
        self.stuck = match self.stuck {
            Some((n, value)) if n < FAULT => Some((n + 1, value)),
            Some(_) => None,
            None if is_judged && self.row.is_multiple_of(BETWEEN) => Some((1, x[0])),
            None => None,
        };
        if let Some((n, value)) = self.stuck {
            (what, x[0]) = (Row::Stuck(n), value);
        }
        self.row += 1;
        (what, x)
    }
}

/// A method: whether a row raises an alarm; the row has been learned from afterwards.
trait Detector {
    const NAME: &'static str;
    fn see(&mut self, x: &[f64; DIM]) -> Result<bool, Failure>;
}

/// One model for ever, in single precision: natural steps, log-determinants exact after each.
struct Learning {
    model: Option<Model<f32>>,
    alarm: Alarm,
    rows: Vec<f32>,
}

impl Learning {
    /// The rate of steps: the model forgets within some thousand rows.
    const STEP: f64 = 0.01;

    fn new() -> Result<Self, Failure> {
        Ok(Learning { model: None, alarm: Alarm::new(RATE, 20.0 / RATE)?, rows: Vec::new() })
    }

    /// From the first rows: passes over them.
    fn begin(&mut self) -> Result<(), Failure> {
        let config = Config {
            optimizer: Optimizer::Natural { decay: 0.99, damping: 0.1, clip: 1.0, momentum: 0.0 },
            max_batch: 20,
            ..Config::new(DIM, 8)
        };
        let mut model = Model::from_data(config, &self.rows, Start::Aligned, 1)?;
        for _ in 0..60 {
            for batch in self.rows.chunks(20 * DIM) {
                model.step(batch, 5.0 * Self::STEP)?;
            }
        }
        self.rows.clear();
        self.model = Some(model);
        Ok(())
    }
}

impl Detector for Learning {
    const NAME: &'static str = "relgrad, learning from each row";

    fn see(&mut self, x: &[f64; DIM]) -> Result<bool, Failure> {
        let x = x.map(|v| v as f32);
        self.rows.extend(x);
        let Some(model) = &mut self.model else {
            if self.rows.len() == WINDOW * DIM {
                self.begin()?;
            }
            return Ok(false);
        };
        let log_p = model.log_likelihood(&x)?;
        let raised = self.alarm.see(log_p[0]);
        if self.rows.len() == BATCH * DIM {
            model.step(&self.rows, Self::STEP)?;
            self.rows.clear();
        }
        Ok(raised)
    }
}

/// A Gaussian of the last rows, with their quantile as its threshold.
#[derive(Default)]
struct Refitted {
    last: VecDeque<f64>,
    fitted: Option<(GaussianBaseline, f64)>,
    age: usize,
}

impl Detector for Refitted {
    const NAME: &'static str = "Gaussian, fitted to the last 2,000 rows every 200";

    fn see(&mut self, x: &[f64; DIM]) -> Result<bool, Failure> {
        let one = Data::new(DIM, x.to_vec())?;
        let raised = self.fitted.as_ref().is_some_and(|(g, t)| g.mean_log_likelihood(&one) < *t);
        self.last.extend(x);
        self.age += 1;
        if self.last.len() > WINDOW * DIM {
            self.last.drain(..DIM);
        }
        if self.last.len() == WINDOW * DIM && self.age >= REFIT {
            let rows = Data::new(DIM, self.last.iter().copied().collect())?;
            let gaussian = GaussianBaseline::fit(&rows, 1e-6)?;
            let score = |row: &[f64]| -> Result<f64, Failure> {
                Ok(gaussian.mean_log_likelihood(&Data::new(DIM, row.to_vec())?))
            };
            let scores = rows.values().chunks_exact(DIM).map(score);
            let mut scores = scores.collect::<Result<Vec<f64>, _>>()?;
            scores.sort_by(f64::total_cmp);
            (self.fitted, self.age) =
                (Some((gaussian, scores[(RATE * WINDOW as f64) as usize])), 0);
        }
        Ok(raised)
    }
}

/// What a method did in a stretch of rows.
#[derive(Clone, Copy, Default, Serialize)]
struct Stretch {
    method: &'static str,
    last_row: usize,
    usual: usize,
    false_alarms: usize,
    far: usize,
    far_found: usize,
    amid: usize,
    amid_found: usize,
}

/// All of it, and how many rows each fault was there for before it was found.
struct Course {
    stretches: Vec<Stretch>,
    delays: Vec<Option<usize>>,
    microseconds: f64,
}

fn follow<D: Detector>(mut detector: D, rows: usize, seed: u64) -> Result<Course, Failure> {
    let random = Random::new(seed, 0);
    let mut process = Process { random, row: 0, stuck: None };
    let mut course = Course { stretches: Vec::new(), delays: Vec::new(), microseconds: 0.0 };
    let mut now = Stretch { method: D::NAME, ..Default::default() };
    let mut last = VecDeque::from(vec![false; FOUND.1]);
    let mut after_fault = usize::MAX;
    let began = Instant::now();
    for row in 0..rows {
        let (what, x) = process.next();
        let raised = detector.see(&x)?;
        if row < FIRST {
            continue;
        }
        last.pop_front();
        last.push_back(raised);
        let count = |all: &mut usize, found: &mut usize| {
            *all += 1;
            *found += usize::from(raised);
        };
        after_fault = after_fault.saturating_add(1);
        match what {
            // What follows a fault is judged when it has left the memory of both.
            Row::Usual if after_fault < WINDOW => {}
            Row::Usual => count(&mut now.usual, &mut now.false_alarms),
            Row::Far => count(&mut now.far, &mut now.far_found),
            Row::Amid => count(&mut now.amid, &mut now.amid_found),
            Row::Stuck(n) => {
                after_fault = 0;
                if n == 1 {
                    course.delays.push(None);
                    last.iter_mut().for_each(|raised| *raised = false);
                }
                let is_found = last.iter().filter(|raised| **raised).count() >= FOUND.0;
                if let Some(delay @ None) = course.delays.last_mut().filter(|_| is_found) {
                    *delay = Some(n);
                }
            }
        }
        if (row + 1).is_multiple_of(COUNTED) {
            course.stretches.push(Stretch { last_row: row + 1, ..now });
            now = Stretch { method: D::NAME, ..Default::default() };
        }
    }
    course.microseconds = began.elapsed().as_secs_f64() * 1e6 / rows as f64;
    Ok(course)
}

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let rows = if args.quick { 40_000 } else { 200_000 };
    say(args, "drift: learning");
    let learning = follow(Learning::new()?, rows, args.seed)?;
    say(args, "drift: refitting");
    let refitted = follow(Refitted::default(), rows, args.seed)?;
    let courses = [learning, refitted];
    let all: Vec<&Stretch> = courses.iter().flat_map(|c| &c.stretches).collect();
    write_csv(&file(args, "drift", "csv"), &all)?;
    draw(args, &courses)?;
    Ok(finding(&courses))
}

fn finding(courses: &[Course; 2]) -> Finding {
    let mut lines = Vec::new();
    let mut numbers = Vec::new();
    for course in courses {
        let sum = |of: &dyn Fn(&Stretch) -> usize| course.stretches.iter().map(of).sum::<usize>();
        let share = |found: usize, all: usize| found as f64 / all.max(1) as f64;
        let alarms = share(sum(&|s| s.false_alarms), sum(&|s| s.usual));
        let of_stretch = course.stretches.iter().filter(|s| s.usual > 0);
        let worst = of_stretch.map(|s| share(s.false_alarms, s.usual)).fold(0.0, f64::max);
        let far = share(sum(&|s| s.far_found), sum(&|s| s.far));
        let amid = share(sum(&|s| s.amid_found), sum(&|s| s.amid));
        let mut found: Vec<usize> = course.delays.iter().flatten().copied().collect();
        found.sort_unstable();
        let delay = found.get(found.len() / 2);
        let name = course.stretches.first().map_or("", |s| s.method);
        lines.push(format!(
            "{name}: false alarms {:.2} % (in the worst {COUNTED} rows {:.2} %), of the anomalies far \
             out {:.0} % found, amid the others {:.0} %, of {} faults {}, after {} rows in the \
             median; {:.0} us a row",
            100.0 * alarms,
            100.0 * worst,
            100.0 * far,
            100.0 * amid,
            course.delays.len(),
            found.len(),
            delay.map_or("no".to_owned(), usize::to_string),
            course.microseconds,
        ));
        numbers.push(json!({
            "method": name, "false_alarms": alarms, "worst_false_alarms": worst, "far_found": far,
            "amid_found": amid, "faults": course.delays.len(), "faults_found": found.len(),
            "median_delay": delay, "microseconds_a_row": course.microseconds,
        }));
    }
    Finding {
        paper: "no streams".to_owned(),
        here: format!("promised false alarms {:.0} %; {}", 100.0 * RATE, lines.join("; ")),
        numbers: json!(numbers),
    }
}

fn draw(args: &Reproduce, courses: &[Course; 2]) -> Result<(), Failure> {
    let of = |course: &Course, all: fn(&Stretch) -> usize, found: fn(&Stretch) -> usize| {
        let points = course.stretches.iter().filter(|s| all(s) > 0);
        let point =
            |s: &Stretch| (s.last_row as f64 / 1000.0, 100.0 * found(s) as f64 / all(s) as f64);
        vec![points.map(point).collect::<Vec<_>>()]
    };
    let mut series: Vec<Series> = Vec::new();
    for (course, colour) in courses.iter().zip([COLOURS[0], COLOURS[1]]) {
        let name = course.stretches.first().map_or("", |s| s.method);
        series.push(Series {
            name: name.to_owned(),
            colour: colour.mix(1.0),
            lines: of(course, |s| s.usual, |s| s.false_alarms),
            marked: true,
        });
    }
    let points = || series.iter().flat_map(|s| s.lines.iter().flatten());
    let chart = Chart {
        title: "False alarms of a drifting stream, 1 % promised",
        x: (
            "thousand rows",
            Scale::linear(points().map(|p| p.0).chain([0.0]), |v| format!("{v:.0}")),
        ),
        y: (
            "% of the usual rows",
            Scale::linear(points().map(|p| p.1).chain([0.0, 3.0]), |v| format!("{v:.1}")),
        ),
        legend: SeriesLabelPosition::UpperLeft,
    };
    picture(&file(args, "drift", "png"), (760, 540), |area| chart.draw(area, &series))
}
