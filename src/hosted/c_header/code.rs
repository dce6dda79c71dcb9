//! The text of a header around its tables. `NAME` stands for its name, `@` behind a function of
//! `<math.h>` for the letter of the precision.

use std::format;
use std::string::{String, ToString};

use super::{Precision, Tables};
use crate::hosted::{ModelFile, Preprocess};
use crate::{Activation, Base, Bias};

pub(super) struct Code<'a> {
    pub file: &'a ModelFile,
    pub precision: Precision,
    pub preprocess: Preprocess,
}

impl Code<'_> {
    pub fn header(&self, tables: Tables) -> String {
        let real = match self.precision {
            Precision::F32 => "float",
            Precision::F64 => "double",
        };
        let functions = [
            self.prepare(),
            self.restore(),
            self.activation(),
            LINEAR.to_string(),
            self.condition(),
            self.pass(),
            self.forward(),
            self.log_likelihood(),
            self.inverse(),
        ];
        let suffix = if self.precision == Precision::F32 { "f" } else { "" };
        let functions = functions.concat().replace('@', suffix);
        format!(
            "{about}\n#ifndef NAME_H\n#define NAME_H\n\n#include <math.h>\n#include <stddef.h>\n\n\
             #define NAME_DIM {dim}u\n#define NAME_LAYERS {layers}u\n\
             /* The sum of log|det W| and log|scale|, in nats. */\n\
             #define NAME_LOG_DET ({log_det:e})\n\n\
             typedef {real} NAME_real;\n\
             /* Data, which may be too far from 0 for the network's own numbers. */\n\
             typedef {data} NAME_data;\n\n{tables}{functions}\n#endif\n",
            about = self.about(real),
            dim = self.file.dim,
            layers = self.file.layers,
            data = self.data(),
            log_det = tables.log_det,
            tables = tables.text,
        )
    }

    /// The type of data: with an origin, double.
    fn data(&self) -> &'static str {
        match (&self.file.origin, self.precision) {
            (None, Precision::F32) => "float",
            _ => "double",
        }
    }

    /// The comment at the head.
    fn about(&self, real: &str) -> String {
        let file = self.file;
        let (d, layers) = (file.dim, file.layers);
        let last = if file.final_activation { "each layer" } else { "each layer but the last" };
        let own = match self.preprocess {
            Preprocess::None => "log p(x)",
            _ => "log p of x as preprocessed, which is what `relgrad eval` means",
        };
        let middle = match self.preprocess.levels() {
            Some(_) => "\n * Whole numbers are taken in the middle of their level, without noise.",
            None => "",
        };
        let transform = if file.input_transform { ", then shift and scale" } else { "" };
        let origin = if file.origin.is_some() { "less an origin, " } else { "" };
        let [of_layers, _] = self.of_layers();
        let [of_density, _] = self.of_likelihood();
        let condition = self.about_condition(real);
        let (density, held) = match file.config().conditions_latents() {
            true => ("the density that u gives them", 4),
            false => ("the base density", 2),
        };
        let (data, same) = match self.data() == real {
            true => (real, "; both may be the same array"),
            false => ("double", ", as doubles: the origin is taken off before they are rounded"),
        };
        format!(
            "/* NAME: an invertible network as relgrad trained it.\n *\n\
             \x20* layers         {layers} of {d} features\n\
             \x20* activation     {activation}, after {last}\n\
             \x20* base density   {base}\n\
             \x20* preprocessing  {origin}{preprocess}{transform}\n\
             \x20* numbers        {real}\n *\n\
             \x20*   double NAME_log_likelihood(const {data} *x{of_density})\n\
             \x20*       {own}, in nats\n\
             \x20*   void NAME_forward(const {data} *x{of_layers}, {real} *z)\n\
             \x20*       the latents of x, independent under {density}\n\
             \x20*   void NAME_inverse(const {real} *z{of_layers}, {data} *x)\n\
             \x20*       x from its latents; from draws of {density}, samples{condition}\n *\n\
             \x20* x and z are {d} numbers each, x in the data's own units{same}.{middle}\n\
             \x20* For C99 and C++. Nothing is allocated; the stack holds {held} rows at most. Data that\n\
             \x20* preprocessing does not take, and numbers that overflow, end in results that are\n\
             \x20* not finite.\n */",
            activation = file.activation,
            base = file.base,
            preprocess = self.preprocess,
        )
    }

    fn prepare(&self) -> String {
        let mut steps = String::new();
        if let Some(levels) = self.preprocess.levels() {
            steps += &format!("        v = (v + 0.5) / {levels:e};\n");
        }
        if let Preprocess::Logit { lambda, .. } = self.preprocess {
            let spread = 1.0 - 2.0 * lambda;
            steps += &format!("        v = {lambda:e} + {spread:e} * v;\n");
            steps += "        v = log(v) - log1p(-v);\n";
        }
        let origin = if self.file.origin.is_some() { " - NAME_origin[0][i]" } else { "" };
        let value = match steps.is_empty() {
            true if origin.is_empty() => "x[i]".to_string(),
            true => format!("(NAME_real)(x[i]{origin})"),
            false => {
                steps.insert_str(0, &format!("        double v = (double)x[i]{origin};\n"));
                "(NAME_real)v".to_string()
            }
        };
        let value = match self.file.input_transform {
            true => format!("({value} - NAME_transform[0][i]) * NAME_transform[1][i]"),
            false => value,
        };
        format!(
            "\n/* Data as the network takes them. */\n\
             static inline void NAME_prepare(const NAME_data *x, NAME_real *z)\n{{\n\
             \x20   for (size_t i = 0; i < NAME_DIM; i++) {{\n\
             {steps}        z[i] = {value};\n    }}\n}}\n"
        )
    }

    /// The way back of [`prepare`](Self::prepare).
    fn restore(&self) -> String {
        let mut steps = String::new();
        if let Preprocess::Logit { lambda, .. } = self.preprocess {
            let spread = 1.0 - 2.0 * lambda;
            steps += &format!("        v = (1 / (1 + exp(-v)) - {lambda:e}) / {spread:e};\n");
            steps += "        v = v < 0 ? 0 : v > 1 ? 1 : v;\n";
        }
        if let Some(levels) = self.preprocess.levels() {
            let top = levels - 1.0;
            steps += &format!("        v = floor(v * {levels:e});\n");
            steps += &format!("        v = v < 0 ? 0 : v > {top:e} ? {top:e} : v;\n");
        }
        let value = match self.file.input_transform {
            true => "z[i] / NAME_transform[1][i] + NAME_transform[0][i]",
            false => "z[i]",
        };
        let origin = if self.file.origin.is_some() { " + NAME_origin[0][i]" } else { "" };
        let body = match steps.is_empty() {
            true => format!("        x[i] = {value}{origin};\n"),
            false => format!(
                "        double v = (double)({value});\n{steps}        \
                 x[i] = (NAME_data)(v{origin});\n"
            ),
        };
        format!(
            "\n/* Back to the data's own units. */\n\
             static inline void NAME_restore(const NAME_real *z, NAME_data *x)\n{{\n\
             \x20   for (size_t i = 0; i < NAME_DIM; i++) {{\n{body}    }}\n}}\n"
        )
    }

    /// What a call of the activation of layer k and unit i says before y.
    fn curve(&self) -> &'static str {
        match self.file.activation {
            Activation::TanhMixture { .. } => "NAME_curve[k] + i * (1 + 3 * NAME_STEPS), ",
            Activation::Bend => "NAME_curve[k] + 2 * i, ",
            _ => "",
        }
    }

    fn activation(&self) -> String {
        let literal = |v: f64| self.precision.literal(v);
        let (body, at_zero) = match self.file.activation {
            _ if !self.activates() => return String::new(),
            Activation::SmoothLeakyRelu { a } => (
                SMOOTH_LEAKY_RELU.replace("A_VALUE", &literal(a)),
                (1.0 - a) * core::f64::consts::LN_2,
            ),
            Activation::LeakyTanh { a, b } => {
                (LEAKY_TANH.replace("A_VALUE", &literal(a)).replace("B_VALUE", &literal(b)), 0.0)
            }
            Activation::Identity => return String::new(),
            Activation::Bend => return BEND.into(),
            Activation::TanhMixture { steps } => {
                let steps = format!("\n#define NAME_STEPS {steps}u\n");
                let tolerance = literal(16.0 * self.precision.epsilon());
                return steps + &TANH_MIXTURE.replace("TOLERANCE", &tolerance);
            }
        };
        let newton = NEWTON
            .replace("AT_ZERO", &literal(at_zero))
            .replace("TOLERANCE", &literal(16.0 * self.precision.epsilon()));
        body + &newton
    }

    /// Whether there is any nonlinearity.
    fn activates(&self) -> bool {
        let file = self.file;
        file.activation != Activation::Identity && (file.layers > 1 || file.final_activation)
    }

    /// The condition under which layer k has a nonlinearity, before the statement it is for.
    fn if_activated(&self) -> &'static str {
        if self.file.final_activation { "" } else { "if (k + 1 < NAME_LAYERS) " }
    }

    fn pass(&self) -> String {
        let bias = if self.file.bias == Bias::None { "" } else { " + NAME_bias[k][i]" };
        let activation = match self.activates() {
            true => format!(
                "            {}{{\n                NAME_real slope;\n\
                 \x20               z[i] = NAME_activation({curve}z[i], &slope);\n\
                 \x20               log_slopes += (double)log@(slope);\n            }}\n",
                self.if_activated(),
                curve = self.curve(),
            ),
            false => String::new(),
        };
        let ([parameter, _], add) = (self.of_layers(), self.add("1"));
        format!(
            "\n/* The latents of x; returns the sum of log s'. */\n\
             static inline double NAME_pass(const NAME_data *x{parameter}, NAME_real *z)\n{{\n\
             \x20   NAME_real y[NAME_DIM];\n    double log_slopes = 0;\n    NAME_prepare(x, z);\n\
             \x20   for (size_t k = 0; k < NAME_LAYERS; k++) {{\n\
             \x20       NAME_linear(NAME_weight[k], z, y);\n{add}\
             \x20       for (size_t i = 0; i < NAME_DIM; i++) {{\n\
             \x20           z[i] = y[i]{bias};\n{activation}        }}\n    }}\n\
             \x20   return log_slopes;\n}}\n"
        )
    }

    fn forward(&self) -> String {
        let [parameter, u] = self.of_layers();
        format!(
            "\nstatic inline void NAME_forward(const NAME_data *x{parameter}, NAME_real *z)\n{{\n\
             \x20   (void)NAME_pass(x{u}, z);\n}}\n"
        )
    }

    fn log_likelihood(&self) -> String {
        let log_density = match self.file.base {
            // The constant is log(2 pi) / 2.
            Base::Normal => "-0.5 * z * z - 0.91893853320467274",
            // 1/2 sech(v) = 1 / (e^v + e^-v) with v = pi z / 2
            Base::Sech => "-1.5707963267948966 * z - log1p(exp(-3.1415926535897931 * z))",
            Base::Logistic => "-z - 2 * log1p(exp(-z))",
            Base::Custom => "",
        };
        let ([parameter, standardize], [_, u]) = (self.of_likelihood(), self.of_layers());
        format!(
            "\nstatic inline double NAME_log_likelihood(const NAME_data *x{parameter})\n{{\n\
             \x20   NAME_real latents[NAME_DIM];\n\
             \x20   double log_p = NAME_LOG_DET + NAME_pass(x{u}, latents);\n{standardize}\
             \x20   for (size_t i = 0; i < NAME_DIM; i++) {{\n\
             \x20       const double z = fabs((double)latents[i]);\n\
             \x20       log_p += {log_density};\n    }}\n    return log_p;\n}}\n"
        )
    }

    fn inverse(&self) -> String {
        let activation = match self.activates() {
            true => {
                let (condition, curve) = (self.if_activated(), self.curve());
                format!("            {condition}v = NAME_preimage({curve}v);\n")
            }
            false => String::new(),
        };
        let bias = if self.file.bias == Bias::None { "" } else { " - NAME_bias[k][i]" };
        let ([parameter, _], add) = (self.of_layers(), self.add("-1"));
        format!(
            "\nstatic inline void NAME_inverse(const NAME_real *z{parameter}, NAME_data *x)\n{{\n\
             \x20   NAME_real y[NAME_DIM], w[NAME_DIM];\n\
             \x20   for (size_t i = 0; i < NAME_DIM; i++) w[i] = z[i];\n\
             \x20   for (size_t k = NAME_LAYERS; k-- > 0;) {{\n\
             \x20       for (size_t i = 0; i < NAME_DIM; i++) {{\n\
             \x20           NAME_real v = w[i];\n{activation}            y[i] = v{bias};\n        }}\n{add}\
             \x20       NAME_linear(NAME_inverse_weight[k], y, w);\n    }}\n\
             \x20   NAME_restore(w, x);\n}}\n"
        )
    }
}

/// As in `activation/smooth_leaky_relu.rs`.
const SMOOTH_LEAKY_RELU: &str = "
/* s(y) = a y + (1 - a) log(1 + e^y), and its slope. */
static inline NAME_real NAME_activation(NAME_real y, NAME_real *slope)
{
    const NAME_real a = A_VALUE;
    const NAME_real t = exp@(-fabs@(y));
    *slope = (y < 0 ? a + t : 1 + a * t) / (1 + t);
    return (y < 0 ? a * y : y) + (1 - a) * log1p@(t);
}
";

/// As in `activation/leaky_tanh.rs`.
const LEAKY_TANH: &str = "
/* s(y) = tanh(a y) + b y, and its slope. */
static inline NAME_real NAME_activation(NAME_real y, NAME_real *slope)
{
    const NAME_real a = A_VALUE, b = B_VALUE;
    const NAME_real e = exp@(-2 * a * fabs@(y));
    *slope = 4 * a * e / ((1 + e) * (1 + e)) + b;
    return tanh@(a * y) + b * y;
}
";

/// As in `activation/tanh_mixture.rs` and `activation/newton.rs`.
const TANH_MIXTURE: &str = "
/* s(y) = beta y + sum w tanh(a (y - m)), and its slope: of a unit whose numbers are beta, then w, a
 * and m of each step. */
static inline NAME_real NAME_activation(const NAME_real *curve, NAME_real y, NAME_real *slope)
{
    NAME_real s = curve[0] * y;
    *slope = curve[0];
    for (size_t j = 0; j < NAME_STEPS; j++) {
        const NAME_real w = curve[1 + 3 * j], a = curve[2 + 3 * j];
        const NAME_real x = a * (y - curve[3 + 3 * j]);
        const NAME_real e = exp@(-2 * fabs@(x));
        s += w * tanh@(x);
        *slope += w * a * (4 * e / ((1 + e) * (1 + e)));
    }
    return s;
}

/* y of s(y) = t by Newton's method, between bounds that |s(y) - beta y| <= sum w gives. They are
 * halved where a step is not half of the move before: steps may run to and fro. */
static inline NAME_real NAME_preimage(const NAME_real *curve, NAME_real t)
{
    NAME_real sum = 0, y, low, high, move, last = 0;
    for (size_t j = 0; j < NAME_STEPS; j++) sum += curve[1 + 3 * j];
    y = t / curve[0];
    low = y - (NAME_real)1e-5 * fabs@(y) - (NAME_real)1.00001 * sum / curve[0];
    high = y + (y - low);
    move = high - low;
    for (int i = 0; i < 200; i++) {
        NAME_real slope;
        const NAME_real excess = NAME_activation(curve, y, &slope) - t;
        const NAME_real step = excess / slope, size = fabs@(t) + sum + slope * fabs@(y);
        const int settled = fabs@(excess) <= TOLERANCE * size;
        NAME_real next = y - step;
        if (excess < 0) low = y;
        else high = y;
        if (i > 0 && settled && fabs@(step) >= last) break;
        if (next < low || next > high || (!settled && fabs@(step) >= move / 2))
            next = (low + high) / 2;
        move = fabs@(next - y);
        last = fabs@(step);
        y = next;
    }
    return y;
}
";

const BEND: &str = "
/* s(y) = y + a (h - r) with h = sqrt(y^2 + r^2), and its slope: of a unit whose numbers are a and r. */
static inline NAME_real NAME_activation(const NAME_real *curve, NAME_real y, NAME_real *slope)
{
    const NAME_real a = curve[0], r = curve[1], h = hypot@(y, r);
    *slope = 1 + a * (y / h);
    return y + a * (y / (h + r) * y);
}

/* y of s(y) = t in closed form, written so that nothing cancels. */
static inline NAME_real NAME_preimage(const NAME_real *curve, NAME_real t)
{
    const NAME_real a = curve[0], r = curve[1], shifted = t + a * r, left = (1 - a) * (1 + a);
    const NAME_real p = hypot@(shifted, sqrt@(left) * r);
    return a * shifted > 0 ? t * ((t + 2 * a * r) / (shifted + a * p)) : (shifted - a * p) / left;
}
";

/// As in `activation/newton.rs`, where the bracket is for rounding near the ends of a
/// precision's range.
const NEWTON: &str = "
/* y of s(y) = t by Newton's method from 0: s is convex or concave on either side of it, so the
 * iterates come nearer from one side until rounding alone moves them. */
static inline NAME_real NAME_preimage(NAME_real t)
{
    const NAME_real size = fabs@(t) > AT_ZERO ? fabs@(t) : AT_ZERO;
    NAME_real y = 0, last = 0;
    for (int i = 0; i < 100; i++) {
        NAME_real slope;
        const NAME_real excess = NAME_activation(y, &slope) - t;
        const NAME_real step = excess / slope;
        if (i > 0 && fabs@(excess) <= TOLERANCE * size && fabs@(step) >= last) break;
        y -= step;
        last = fabs@(step);
    }
    return y;
}
";

const LINEAR: &str = "
/* y = W x. W lies column after column: compilers vectorise the inner loop. */
static inline void NAME_linear(const NAME_real *w, const NAME_real *x, NAME_real *y)
{
    for (size_t i = 0; i < NAME_DIM; i++) y[i] = 0;
    for (size_t j = 0; j < NAME_DIM; j++) {
        const NAME_real v = x[j];
        for (size_t i = 0; i < NAME_DIM; i++) y[i] += w[j * NAME_DIM + i] * v;
    }
}
";
