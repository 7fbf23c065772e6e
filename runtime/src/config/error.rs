//! What can be wrong with a configuration, and where.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Variable;

/// Why a configuration was not accepted. All are the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is missing or may not be read.
    #[error("cannot read the configuration {path}: {source}; create it, or name another one")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something in the file is wrong.
    #[error("{path}:{line}:{column}: {message}; {remedy}")]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An environment variable is wrong.
    #[error("environment variable {variable}: {message}; {remedy}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A key is set neither in the file nor in the environment.
    #[error(
        "{path}: {message}; add it to {table}, \
         or set it in the environment as {env_prefix}_KEY or {env_prefix}_TABLE__KEY"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// Which key is missing.
        message: String,
        /// Where it belongs.
        table: String,
        /// The prefix of this program's variables.
        env_prefix: String,
    },
}

/// What an error of the parser is explained with.
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) env_prefix: &'a str,
}

impl Place<'_> {
    /// An error of a file that is not TOML.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        self.in_file(error, "mend the TOML there")
    }

    /// An error of a file, or of the variable `culprit`, that is TOML but means nothing.
    pub(super) fn meaning(
        &self,
        error: &toml::de::Error,
        culprit: Option<&Variable>,
    ) -> ConfigError {
        let message = error.message();
        let unknown = message.starts_with("unknown field");
        match culprit {
            Some(variable) => ConfigError::Variable {
                variable: variable.name.clone(),
                message: message.to_owned(),
                remedy: if unknown {
                    "unset it or correct its name (two underscores separate a table from its key)"
                } else {
                    "correct its value"
                },
            },
            None if message.starts_with("missing field") => ConfigError::Missing {
                path: self.path.into(),
                message: message.to_owned(),
                table: self.table_of(error),
                env_prefix: self.env_prefix.to_owned(),
            },
            None if unknown => self.in_file(error, "remove the key or correct its name"),
            None => self.in_file(error, "correct the value"),
        }
    }

    fn in_file(&self, error: &toml::de::Error, remedy: &'static str) -> ConfigError {
        let (line, column) = self.position(error);
        let message = error.message().to_owned();
        ConfigError::File { path: self.path.into(), line, column, message, remedy }
    }

    /// Describes the table that an error lies in. Only the line is known for sure.
    fn table_of(&self, error: &toml::de::Error) -> String {
        match self.position(error) {
            (1, _) => "the file".to_owned(),
            (line, _) => format!("the table at line {line}"),
        }
    }

    /// Line and column, both from 1.
    fn position(&self, error: &toml::de::Error) -> (usize, usize) {
        let offset = error.span().map_or(0, |span| span.start);
        let before = self.text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        (line, column)
    }
}
