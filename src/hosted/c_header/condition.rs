//! What a condition changes in a header.

use std::format;
use std::string::String;

use super::code::Code;
use crate::Condition;

impl Code<'_> {
    /// The parameter behind which a function takes the condition; empty where it takes none.
    fn parameter(&self) -> &'static str {
        match self.file.condition {
            Condition::None => "",
            Condition::Numbers { .. } => ", const double *u",
            Condition::Classes { .. } => ", size_t u",
        }
    }

    /// `forward` and `inverse` depend on it if layers do: how they declare it and pass it on.
    pub fn of_layers(&self) -> [&'static str; 2] {
        if self.file.config().conditions_layers() { [self.parameter(), ", u"] } else { ["", ""] }
    }

    /// What is said of it in the comment at the head.
    pub fn about_condition(&self, real: &str) -> String {
        let Some(observed) = self.file.observed() else { return String::new() };
        let what = match self.file.condition {
            Condition::Classes { count } => {
                format!(
                    "u is the number of a class, 0 to {}, in the order of `relgrad inspect`",
                    count - 1
                )
            }
            _ => format!("u holds {} numbers in their own units", observed.reading.width()),
        };
        let latents = match self.file.config().conditions_latents() {
            false => String::new(),
            true => format!(
                "\n *   void NAME_latents(const {real} *draws{}, {real} *z)\n *       draws of the base \
                 density with the location and the scale that u gives latents",
                self.parameter()
            ),
        };
        format!("{latents}\n *\n * {what}.")
    }

    /// The functions that add a condition's part to rows.
    pub fn condition(&self) -> String {
        let (width, each) = match self.file.condition {
            Condition::None => return String::new(),
            Condition::Numbers { width } => (width, NUMBERS),
            Condition::Classes { count } => (count, CLASS),
        };
        let add = ADD.replace("PARAMETER", self.parameter()).replace("EACH", each);
        let latents = match self.file.config().conditions_latents() {
            true => LATENTS.replace("PARAMETER", self.parameter()),
            false => String::new(),
        };
        format!("\n#define NAME_CONDITION {width}u\n{add}{latents}")
    }

    /// What a layer of `pass` or `inverse` does with it.
    pub fn add(&self, sign: &str) -> String {
        match self.file.config().conditions_layers() {
            true => format!("        NAME_add(NAME_condition[k], {sign}, u, y);\n"),
            false => String::new(),
        }
    }

    /// How the likelihood declares it, and what it does with latents before it looks at them.
    pub fn of_likelihood(&self) -> [&'static str; 2] {
        let latents = self.file.config().conditions_latents();
        [self.parameter(), if latents { STANDARDIZE } else { "" }]
    }
}

const ADD: &str = "
/* Adds sign * (table u) to y. */
static inline void NAME_add(const NAME_real *table, NAME_real signPARAMETER, NAME_real *y)
{
EACH}
";

const NUMBERS: &str = "    for (size_t j = 0; j < NAME_CONDITION; j++) {
        const double standard = (u[j] - NAME_standard[0][j]) * NAME_standard[1][j];
        const NAME_real v = sign * (NAME_real)standard;
        for (size_t i = 0; i < NAME_DIM; i++) y[i] += table[j * NAME_DIM + i] * v;
    }
";

const CLASS: &str = "    for (size_t i = 0; i < NAME_DIM; i++)
        y[i] = u < NAME_CONDITION ? y[i] + sign * table[u * NAME_DIM + i] : (NAME_real)NAN;
";

const STANDARDIZE: &str = "    NAME_real location[NAME_DIM] = {0}, log_scale[NAME_DIM] = {0};
    NAME_add(NAME_location[0], 1, u, location);
    NAME_add(NAME_log_scale[0], 1, u, log_scale);
    for (size_t i = 0; i < NAME_DIM; i++) {
        latents[i] = (latents[i] - location[i]) * exp@(-log_scale[i]);
        log_p -= (double)log_scale[i];
    }
";

const LATENTS: &str = "
static inline void NAME_latents(const NAME_real *drawsPARAMETER, NAME_real *z)
{
    NAME_real location[NAME_DIM] = {0}, log_scale[NAME_DIM] = {0};
    NAME_add(NAME_location[0], 1, u, location);
    NAME_add(NAME_log_scale[0], 1, u, log_scale);
    for (size_t i = 0; i < NAME_DIM; i++) z[i] = draws[i] * exp@(log_scale[i]) + location[i];
}
";
