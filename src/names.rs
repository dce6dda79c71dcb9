//! The names that model files and command lines use for configuration values.

use core::fmt;
use core::str::FromStr;

use crate::config::{Activation, Base, Bias, Condition, Conditioned};
use crate::status::{Error, Status, Value};

/// Base densities that have a name; [`Base::Custom`] has none.
pub(crate) const BASES: [(&str, Base); 3] =
    [("normal", Base::Normal), ("sech", Base::Sech), ("logistic", Base::Logistic)];

/// Bias rules.
pub(crate) const BIASES: [(&str, Bias); 4] = [
    ("separate", Bias::Separate),
    ("affine", Bias::Affine),
    ("projected", Bias::Projected),
    ("none", Bias::None),
];

/// What depends on a condition.
pub(crate) const CONDITIONED: [(&str, Conditioned); 3] = [
    ("latents", Conditioned::Latents),
    ("layers", Conditioned::Layers),
    ("both", Conditioned::Both),
];

fn unknown(argument: &'static str, allowed: &'static str) -> Error {
    Error::new(Status::Enumeration, argument, Value::None, allowed)
}

fn find<V: Copy>(names: &[(&str, V)], text: &str) -> Option<V> {
    names.iter().find(|(name, _)| *name == text).map(|(_, v)| *v)
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activation::SmoothLeakyRelu { a } => write!(f, "smooth_leaky_relu:{a}"),
            Activation::LeakyTanh { a, b } => write!(f, "leaky_tanh:{a},{b}"),
            Activation::Identity => f.write_str("identity"),
            Activation::TanhMixture { steps } => write!(f, "tanh_mixture:{steps}"),
            Activation::Bend => f.write_str("bend"),
        }
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// `tanh_mixture:k`, `bend`, `smooth_leaky_relu:a`, `leaky_tanh:a,b` or `identity`; ranges are checked
    /// elsewhere.
    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed =
            "must be tanh_mixture:k, bend, smooth_leaky_relu:a, leaky_tanh:a,b or identity";
        let fail = || unknown("activation", allowed);
        let number = |s: &str| s.parse::<f64>().map_err(|_| fail());
        match text.split_once(':') {
            None if text == "identity" => Ok(Activation::Identity),
            None if text == "bend" => Ok(Activation::Bend),
            Some(("smooth_leaky_relu", a)) => Ok(Activation::SmoothLeakyRelu { a: number(a)? }),
            Some(("tanh_mixture", k)) => {
                Ok(Activation::TanhMixture { steps: k.parse().map_err(|_| fail())? })
            }
            Some(("leaky_tanh", numbers)) => {
                let (a, b) = numbers.split_once(',').ok_or_else(fail)?;
                Ok(Activation::LeakyTanh { a: number(a)?, b: number(b)? })
            }
            _ => Err(fail()),
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = BASES.iter().find(|(_, v)| v == self).map_or("custom", |(name, _)| *name);
        f.write_str(name)
    }
}

impl FromStr for Base {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        find(&BASES, text).ok_or_else(|| unknown("base", "must be normal, sech or logistic"))
    }
}

impl fmt::Display for Bias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BIASES.iter().find(|(_, v)| v == self).map_or("", |(name, _)| *name))
    }
}

impl FromStr for Bias {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed = "must be separate, affine, projected or none";
        find(&BIASES, text).ok_or_else(|| unknown("bias", allowed))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::None => f.write_str("none"),
            Condition::Numbers { width } => write!(f, "numbers:{width}"),
            Condition::Classes { count } => write!(f, "classes:{count}"),
        }
    }
}

impl FromStr for Condition {
    type Err = Error;

    /// `none`, `numbers:width` or `classes:count`; ranges are checked elsewhere.
    fn from_str(text: &str) -> Result<Self, Error> {
        let fail = || unknown("condition", "must be none, numbers:width or classes:count");
        match text.split_once(':') {
            None if text == "none" => Ok(Condition::None),
            Some(("numbers", n)) => {
                Ok(Condition::Numbers { width: n.parse().map_err(|_| fail())? })
            }
            Some(("classes", n)) => {
                Ok(Condition::Classes { count: n.parse().map_err(|_| fail())? })
            }
            _ => Err(fail()),
        }
    }
}

impl fmt::Display for Conditioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CONDITIONED.iter().find(|(_, v)| v == self).map_or("", |(name, _)| *name))
    }
}

impl FromStr for Conditioned {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed = "must be latents, layers or both";
        find(&CONDITIONED, text).ok_or_else(|| unknown("conditioned", allowed))
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_round_trip() {
        for text in
            ["smooth_leaky_relu:0.3", "leaky_tanh:1,0.1", "identity", "tanh_mixture:4", "bend"]
        {
            assert_eq!(text.parse::<Activation>().unwrap().to_string(), text);
        }
        for a in [0.1 + 0.2, 1e-6, 1.0 / 3.0] {
            let activation = Activation::LeakyTanh { a, b: 1.0 - a };
            assert_eq!(activation.to_string().parse(), Ok(activation));
        }
        for (name, base) in BASES {
            assert_eq!((name.parse(), base.to_string().as_str()), (Ok(base), name));
        }
        for (name, bias) in BIASES {
            assert_eq!((name.parse(), bias.to_string().as_str()), (Ok(bias), name));
        }
        for text in ["none", "numbers:3", "classes:4"] {
            assert_eq!(text.parse::<Condition>().unwrap().to_string(), text);
        }
        for (name, value) in CONDITIONED {
            assert_eq!((name.parse(), value.to_string().as_str()), (Ok(value), name));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in ["", "relu", "smooth_leaky_relu", "smooth_leaky_relu:x", "leaky_tanh:1"] {
            let error = text.parse::<Activation>().unwrap_err();
            assert_eq!((error.status, error.argument), (Status::Enumeration, "activation"));
        }
        for text in ["", "numbers", "numbers:-1", "classes:x", "none:1"] {
            assert_eq!(text.parse::<Condition>().unwrap_err().argument, "condition");
        }
        assert!("all".parse::<Conditioned>().is_err());
        assert!("custom".parse::<Base>().is_err() && "both".parse::<Bias>().is_err());
    }
}
