//! Where the passphrase of sealed secrets comes from.

use std::{
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A passphrase. Wiped when dropped; cannot be printed, copied or compared.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes over `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Neither variable is set and nobody can be asked.
    #[error(
        "no passphrase: set {prefix}_PASSPHRASE_FILE to a file that holds it, or {prefix}_PASSPHRASE"
    )]
    NotGiven {
        /// The prefix of this program's variables.
        prefix: String,
    },
    /// The passphrase is empty.
    #[error("the passphrase from {origin} is empty; choose one that is not")]
    Empty {
        /// Where it was read.
        origin: String,
    },
    /// The file cannot be read.
    #[error("cannot read the passphrase file {path}: {source}; check that it exists and is yours")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The terminal failed.
    #[error("cannot ask for the passphrase: {0}; set the environment variable instead")]
    Terminal(#[source] io::Error),
    /// The two entries of a new passphrase differ.
    #[error("the two passphrases differ; start again")]
    Mismatch,
}

/// The passphrase of existing secrets: from the file that `PREFIX_PASSPHRASE_FILE` names
/// (without the newline at its end), else from `PREFIX_PASSPHRASE`, else, where
/// `fallback_prompt` is set and standard input is a terminal, from the user, without echo.
///
/// # Errors
///
/// [`PassphraseError`].
pub fn passphrase(
    prefix: &str,
    env: impl Iterator<Item = (String, String)>,
    fallback_prompt: bool,
) -> Result<Passphrase, PassphraseError> {
    match from_environment(prefix, env)? {
        Some(found) => Ok(found),
        None if fallback_prompt && io::stdin().is_terminal() => prompt("Passphrase: "),
        None => Err(PassphraseError::NotGiven { prefix: prefix.to_owned() }),
    }
}

/// The passphrase of secrets that are about to be made: as [`passphrase`], but a user at a
/// terminal types it twice.
///
/// # Errors
///
/// [`PassphraseError`], [`PassphraseError::Mismatch`] where the two entries differ.
pub fn new_passphrase(
    prefix: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Passphrase, PassphraseError> {
    match from_environment(prefix, env)? {
        Some(found) => Ok(found),
        None if io::stdin().is_terminal() => {
            let first = prompt("New passphrase: ")?;
            let second = prompt("The same again: ")?;
            // Both come from one user, who learns nothing from how long this takes.
            if first.as_bytes() == second.as_bytes() {
                Ok(first)
            } else {
                Err(PassphraseError::Mismatch)
            }
        }
        None => Err(PassphraseError::NotGiven { prefix: prefix.to_owned() }),
    }
}

fn from_environment(
    prefix: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Option<Passphrase>, PassphraseError> {
    let plain_name = format!("{prefix}_PASSPHRASE");
    let file_name = format!("{prefix}_PASSPHRASE_FILE");
    let mut plain = None;
    let mut file = None;
    for (name, value) in env {
        if name == plain_name {
            plain = Some(Passphrase::new(value));
        } else if name == file_name {
            file = Some(PathBuf::from(value));
        }
    }
    match (file, plain) {
        (Some(path), _) => {
            let text = fs::read_to_string(&path).map(Zeroizing::new);
            let text =
                text.map_err(|source| PassphraseError::File { path: path.clone(), source })?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            let line = line.strip_suffix('\r').unwrap_or(line);
            not_empty(Passphrase::new(line.to_owned()), &path.display().to_string()).map(Some)
        }
        (None, Some(plain)) => not_empty(plain, &plain_name).map(Some),
        (None, None) => Ok(None),
    }
}

fn prompt(question: &str) -> Result<Passphrase, PassphraseError> {
    let typed = rpassword::prompt_password(question).map_err(PassphraseError::Terminal)?;
    not_empty(Passphrase::new(typed), "the terminal")
}

fn not_empty(passphrase: Passphrase, origin: &str) -> Result<Passphrase, PassphraseError> {
    if passphrase.0.is_empty() {
        return Err(PassphraseError::Empty { origin: origin.to_owned() });
    }
    Ok(passphrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> + use<> {
        let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_file_comes_first_and_loses_one_newline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pass");
        for (content, expected) in
            [("a b", "a b"), ("a b\n", "a b"), (" a\r\n", " a"), ("a\n\n", "a\n")]
        {
            fs::write(&path, content).unwrap();
            let file = path.to_str().unwrap();
            let env = env(&[("S_PASSPHRASE", "plain"), ("S_PASSPHRASE_FILE", file)]);
            let found = passphrase("S", env, false).ok().unwrap();
            assert_eq!(found.as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn the_variable_is_taken_as_it_is() {
        let found = passphrase("S", env(&[("S_PASSPHRASE", " x ")]), false).ok().unwrap();
        assert_eq!(found.as_bytes(), b" x ");
    }

    #[test]
    fn nothing_and_emptiness_are_errors_that_say_what_to_set() {
        let nothing = passphrase("S", env(&[("T_PASSPHRASE", "x")]), false).err().unwrap();
        assert!(nothing.to_string().contains("S_PASSPHRASE_FILE"), "{nothing}");
        let empty = passphrase("S", env(&[("S_PASSPHRASE", "")]), false).err().unwrap();
        assert!(matches!(empty, PassphraseError::Empty { .. }));
        let missing = passphrase("S", env(&[("S_PASSPHRASE_FILE", "/nonexistent/p")]), false);
        assert!(matches!(missing.err().unwrap(), PassphraseError::File { .. }));
    }
}
