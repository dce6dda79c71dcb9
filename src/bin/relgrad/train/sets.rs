//! The data of a run.

use std::path::Path;
use std::rc::Rc;

use relgrad::Scalar;
use relgrad::hosted::{
    Centring, Chosen, Columns, Features, Joint, ModelFile, Observed, Origin, Part, Prepared,
    Preprocess, Reading, Rows, segment_of,
};

use super::args::{Init, Train, Validation};
use crate::conditions::{conditions, given_cells, joint};
use crate::data::{centred, prepared};
use crate::failure::Failure;
use crate::flags::Given;

/// Rows of a model with a condition go on with it.
pub struct Sets<T> {
    pub data: Box<dyn Rows<T>>,
    pub val: Option<Box<dyn Rows<T>>>,
    pub test: Option<Box<dyn Rows<T>>>,
    /// Features.
    pub dim: usize,
    /// The columns of the training data that are features.
    pub columns: Option<Columns>,
    /// What is taken off them in f64.
    pub origin: Option<Origin>,
    /// Where conditions come from, if there are any.
    pub observed: Option<Observed>,
    /// Which rows of the training data are held out.
    pub split: Split,
}

/// Which rows of the training data are held out for validation.
pub enum Split {
    None,
    /// All from this one on.
    From(usize),
    /// Of each segment the last; the others come first here.
    OfSegments([Vec<usize>; 2]),
}

impl Split {
    fn of(args: &Train, rows: usize, segments: Option<u32>) -> Result<Self, Failure> {
        let Some(Validation::Fraction(share)) = args.val else { return Ok(Split::None) };
        let refused = || {
            let data = args.data.display();
            format!(
                "--val {share}: must be in (0, 1) and leave rows of the {rows} of {data} on both \
                 sides"
            )
        };
        let held_out = |rows: usize| (rows as f64 * share).round() as usize;
        // NaN too.
        if !(share > 0.0 && share < 1.0) || [0, rows].contains(&held_out(rows)) {
            return Err(refused().into());
        }
        let Some(count) = segments else { return Ok(Split::From(rows - held_out(rows))) };
        let all: Vec<usize> = (0..rows).collect();
        let mut parts = [Vec::new(), Vec::new()];
        for segment in
            all.chunk_by(|a, b| segment_of(*a, rows, count) == segment_of(*b, rows, count))
        {
            let (train, val) = segment.split_at(segment.len() - held_out(segment.len()));
            if train.is_empty() {
                return Err(format!("{}; segments have {} rows", refused(), segment.len()).into());
            }
            parts[0].extend_from_slice(train);
            parts[1].extend_from_slice(val);
        }
        if parts[1].is_empty() {
            return Err(format!("{}: none of {count} segments has one to spare", refused()).into());
        }
        Ok(Split::OfSegments(parts))
    }

    /// So many first rows of the data are trained on, where conditions may be looked at.
    fn first(&self, rows: usize) -> usize {
        if let Split::From(first) = self { *first } else { rows }
    }

    /// The row of the file that a row of training is, both from 0.
    pub fn train(&self, row: usize) -> usize {
        if let Split::OfSegments([train, _]) = self { train[row] } else { row }
    }

    /// The same for validation.
    pub fn val(&self, row: usize) -> usize {
        match self {
            Split::None => row,
            Split::From(first) => first + row,
            Split::OfSegments([_, val]) => val[row],
        }
    }
}

/// Seeds of noise for data that are not trained on.
const HELD_OUT: [u64; 2] = [1, 2];

impl<T: Scalar + 'static> Sets<T> {
    pub fn open(args: &Train) -> Result<Self, Failure> {
        args.preprocess.check()?;
        let of_model = match args.init() {
            Init::File(path) => Some(ModelFile::read(&path)?),
            _ => None,
        };
        let (format, centring) = match &of_model {
            Some(file) => {
                let format = args.format.of_model(&file.columns()?, file.observed().as_ref());
                (format, Centring::At(file.origin.as_ref()))
            }
            // What is prepared is near 0, or refused.
            None if args.preprocess != Preprocess::None => {
                (args.format.clone(), Centring::At(None))
            }
            None => (args.format.clone(), Centring::Found),
        };
        let (file, origin) = centred::<T>(&args.data, &format, centring)?;
        let file: Rc<dyn Rows<T>> = file.into();
        let (dim, rows) = (file.dim(), file.rows());
        let columns = file.about().map(|about| about.columns.clone());
        let segments = match of_model.as_ref().and_then(ModelFile::observed) {
            Some(Observed { reading: Reading::Segments(count), .. }) => Some(count),
            _ => args.segments,
        };
        let split = Split::of(args, rows, segments.filter(|_| args.format.condition.is_none()))?;
        let observed = observed(args, of_model.as_ref(), &*file, split.first(rows))?;

        let format = args.format.held_out(file.about(), observed.as_ref());
        let held_out = |path: &Path, given: Option<&Path>, seed: u64| {
            let preparation = (origin.as_ref(), args.preprocess);
            let (seed, format) = (args.seed ^ (seed << 32), format.given_in(given));
            let features = (dim, "the training data");
            let set = prepared::<T>(path, &format, preparation, seed, features)?;
            joint(set, observed.as_ref(), path, format.condition.as_ref())
        };
        let val = match &args.val {
            Some(Validation::File(path)) => {
                Some(held_out(path, args.val_condition.as_deref(), HELD_OUT[0])?)
            }
            _ => None,
        };
        let given = args.test_condition.as_deref();
        let test =
            args.test.as_deref().map(|path| held_out(path, given, HELD_OUT[1])).transpose()?;

        let given = args.format.condition.as_ref();
        let conditions: Option<Rc<[T]>> = match &observed {
            Some(observed) => Some(conditions(&*file, observed, &args.data, given)?.into()),
            None => None,
        };
        let width = observed.as_ref().map_or(0, |o| o.reading.width());
        // Prepared as a whole: a row's noise is the same wherever a cut is.
        let whole = |redraw| -> Box<dyn Rows<T>> {
            let set = Prepared::new(file.clone(), args.preprocess, args.seed, redraw);
            match &conditions {
                None => Box::new(set),
                Some(conditions) => Box::new(Joint::new(set, conditions.clone(), width)),
            }
        };
        let (data, val): (Box<dyn Rows<T>>, _) = match &split {
            Split::None => (whole(args.redraw), val),
            Split::From(first) => {
                let val = Part::new(whole(false), *first, rows - first);
                (Box::new(Part::new(whole(args.redraw), 0, *first)), Some(Box::new(val) as _))
            }
            Split::OfSegments([train, val]) => {
                let val = Chosen::new(whole(false), val.clone());
                (Box::new(Chosen::new(whole(args.redraw), train.clone())), Some(Box::new(val) as _))
            }
        };
        Ok(Sets { data, val, test, dim, columns, origin, observed, split })
    }
}

impl<T> Sets<T> {
    /// The features of one of the sets.
    pub fn features<'r>(&self, set: &'r dyn Rows<T>) -> Features<&'r dyn Rows<T>> {
        Features::new(set, self.dim)
    }
}

/// Where the conditions of a run come from: what a model to start from takes, or what the flags
/// say, of which the first `rows` rows are trained on.
fn observed<T: Scalar>(
    args: &Train,
    of_model: Option<&ModelFile>,
    data: &dyn Rows<T>,
    rows: usize,
) -> Result<Option<Observed>, Failure> {
    let given = args.format.condition.as_ref();
    let columns = || data.about().and_then(|about| about.observed.clone());
    if let Some(model) = of_model {
        let observed = model.observed();
        let is_other =
            |o: &Observed| args.segments.is_some_and(|n| o.reading != Reading::Segments(n));
        return match observed {
            None if given.is_some() || args.segments.is_some() => {
                Err("--condition, --segments: no effect: the model of --init has no condition"
                    .into())
            }
            Some(o) if is_other(&o) => {
                let segments = args.segments.unwrap_or_default();
                let what = o.reading.describe();
                Err(format!("--segments {segments}: the model of --init takes {what}").into())
            }
            Some(o) if args.classes && !matches!(o.reading, Reading::Labels(_)) => {
                let what = o.reading.describe();
                Err(format!("--classes: the model of --init takes {what}").into())
            }
            Some(o) => Ok(Some(Observed { columns: columns().or(o.columns), ..o })),
            None => Ok(None),
        };
    }
    if let Some(count) = args.segments {
        if count == 0 || count as usize > data.rows() {
            let rows = data.rows();
            return Err(format!("--segments {count}: must be 1 to the {rows} rows").into());
        }
        return Ok(Some(Observed { columns: None, reading: Reading::Segments(count) }));
    }
    if given.is_none() {
        return Ok(None);
    }
    let (path, cells) = given_cells(data, &args.data, given, None)?;
    let reading = match args.classes {
        true => Reading::labels(&path, &cells, rows)?,
        false => Reading::numbers(&path, &cells, rows)?,
    };
    let columns = columns().filter(|_| given.and_then(Given::file).is_none());
    Ok(Some(Observed { columns, reading }))
}
