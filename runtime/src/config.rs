//! Configuration: a TOML file, overlaid by environment variables.
//!
//! `PREFIX_KEY` sets `key`, `PREFIX_SECTION__KEY` sets `key` in the table `[section]`. A
//! value is read as TOML where it is TOML of the type that is wanted (`8080`, `true`,
//! `["a", "b"]`, `{ a = 1 }`), else as a string. Keys that nobody knows are errors wherever
//! they come from: a misspelt limit that is silently ignored is worse than no start.

mod error;
mod human;
mod overlay;
#[cfg(test)]
mod tests;

use std::{fs, path::Path};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, Deserializer};

pub use self::{
    error::ConfigError,
    human::{HumanDuration, HumanSize, ParseHumanError},
};
use self::{
    error::Place,
    overlay::{Reading, Variable},
};

/// What follows the prefix in variables that are not configuration keys: [`load`] skips
/// them. The passphrase belongs to [`crate::passphrase`], the log filter to [`crate::log`],
/// the path of the configuration itself to the command line.
pub const RESERVED: [&str; 4] = ["PASSPHRASE", "PASSPHRASE_FILE", "CONFIG", "LOG"];

/// The environment of this process, without variables that are not Unicode.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads the TOML file at `path`, overlays the variables of `env` that start with
/// `env_prefix` and an underscore, and deserializes the result.
///
/// `T` should have `#[serde(deny_unknown_fields)]` on it and on all its tables. Keys are
/// lower case with single underscores.
///
/// # Errors
///
/// [`ConfigError`], which names the line of the file or the variable that is at fault.
pub fn load<T: DeserializeOwned>(
    path: &Path,
    env_prefix: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
    let place = Place { path, text: &text, env_prefix };
    let file = DeTable::parse(&text).map_err(|error| place.syntax(&error))?;
    let mut variables = overlay::variables(env_prefix, env)?;

    // The complaint about a variable that is being tried again as a string.
    let mut pending: Option<(usize, ConfigError)> = None;
    loop {
        let mut merged = file.clone();
        overlay::apply(merged.get_mut(), &variables, text.len())?;
        let error = match T::deserialize(Deserializer::from(merged)) {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        let Some(index) = overlay::culprit(&error, text.len(), &variables) else {
            return Err(place.meaning(&error, None));
        };
        let variable = &mut variables[index];
        let complaint = place.meaning(&error, Some(variable));
        // A value such as `1234` where a string was wanted is read again as a string; where
        // that does not help either, the first complaint is the one that is understood.
        match (variable.reading, pending) {
            (Reading::Toml, _) => variable.reading = Reading::Text,
            (Reading::Text, Some((same, first))) if same == index => return Err(first),
            (Reading::Text, _) => return Err(complaint),
        }
        pending = Some((index, complaint));
    }
}
