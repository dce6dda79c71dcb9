//! `relgrad encode`, `decode`, `sample` and `toy`: rows in, rows out.

use std::path::Path;

use relgrad::Scalar;
use relgrad::hosted::{ModelFile, Toy};

use crate::Failure;
use crate::args::{self, Convert, Sample};
use crate::data::{all, check_dim, prepared, raw, write};
use crate::model::{self, Opened};

pub fn encode(args: &Convert) -> Result<(), Failure> {
    model::open(&args.on.model, Encode(args))
}

pub fn decode(args: &Convert) -> Result<(), Failure> {
    model::open(&args.on.model, Decode(args))
}

pub fn sample(args: &Sample) -> Result<(), Failure> {
    model::open(&args.model, args)
}

pub fn toy(args: &args::Toy) -> Result<(), Failure> {
    let toy: Toy = args.name.into();
    let data = toy.sample::<f32>(args.rows, args.seed)?;
    write(&args.out, data.dim(), data.values())?;
    done(args.json, args.rows, data.dim(), &args.out);
    Ok(())
}

fn done(json: bool, rows: usize, dim: usize, out: &Path) {
    if json {
        println!("{}", serde_json::json!({"rows": rows, "dim": dim, "out": out}));
    } else {
        println!("{rows} rows of {dim} in {}", out.display());
    }
}

struct Encode<'a>(&'a Convert);

impl model::Use for Encode<'_> {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        let (args, on) = (self.0, &self.0.on);
        let features = Some((file.dim, "the model"));
        let preprocess = if args.prepared { Default::default() } else { opened.preprocess };
        let data = prepared::<T>(&on.data, &on.format, preprocess, on.seed, features)?;
        let latents = opened.model.forward(all(&data)?.values())?;
        write(&args.out, file.dim, &latents)?;
        done(on.json, latents.len() / file.dim, file.dim, &args.out);
        Ok(())
    }
}

struct Decode<'a>(&'a Convert);

impl model::Use for Decode<'_> {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        let (args, on) = (self.0, &self.0.on);
        let latents = all(&*raw::<T>(&on.data, &on.format)?)?;
        check_dim(file.dim, latents.dim(), &on.data, "the model")?;
        let (mut x, _) = opened.model.inverse(latents.values())?;
        if !args.prepared {
            opened.preprocess.undo(&mut x);
        }
        write(&args.out, file.dim, &x)?;
        done(on.json, latents.rows(), file.dim, &args.out);
        Ok(())
    }
}

impl model::Use for &Sample {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        if self.rows == 0 {
            return Err("--rows 0: must be at least 1".into());
        }
        let mut x = opened.model.sample(self.rows, self.seed)?;
        if !self.prepared {
            opened.preprocess.undo(&mut x);
        }
        write(&self.out, file.dim, &x)?;
        done(self.json, self.rows, file.dim, &self.out);
        Ok(())
    }
}
