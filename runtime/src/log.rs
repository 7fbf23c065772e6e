//! Logging to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The operator's filter does not parse.
    #[error(
        "{variable}={value} is not a log filter: {reason}; \
         set it to a level such as `info`, or to `warn,scrip_relay=debug`"
    )]
    Filter {
        /// The variable's name.
        variable: String,
        /// What it holds.
        value: String,
        /// What the parser says.
        reason: String,
    },
    /// The program called [`init`] twice.
    #[error("logging was set up twice: this is a fault of the program, please report it")]
    AlreadySet,
}

/// Sends what is logged to standard error, filtered as `PREFIX_LOG` says (`info` by default).
///
/// # Errors
///
/// [`LogError`] where the filter does not parse or a subscriber is set already.
pub fn init(prefix: &str) -> Result<(), LogError> {
    let variable = format!("{prefix}_LOG");
    let value = std::env::var(&variable).unwrap_or_default();
    let directives = if value.trim().is_empty() { "info" } else { value.as_str() };
    let filter = EnvFilter::try_new(directives).map_err(|error| LogError::Filter {
        variable,
        value: value.clone(),
        reason: error.to_string(),
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|_| LogError::AlreadySet)
}
