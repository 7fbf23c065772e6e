//! Lays environment variables over a parsed TOML file.
//!
//! The parser reports errors as byte ranges of the file. Values from the environment get
//! ranges beyond its end, one for each variable, so that an error leads back to it.

use std::{borrow::Cow, ops::Range};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{ConfigError, RESERVED};

/// How the text of a variable is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As a TOML value.
    Toml,
    /// As a string, whatever it looks like.
    Text,
}

/// A variable that sets a configuration key.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    /// The key, with the tables that it lies in before it.
    path: Vec<String>,
    value: String,
    pub(super) reading: Reading,
}

/// The variables of `env` that set keys, sorted, so that a whole table comes before its keys.
pub(super) fn variables(
    prefix: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Vec<Variable>, ConfigError> {
    let mut found = Vec::new();
    for (name, value) in env {
        let Some(key) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')) else {
            continue;
        };
        if RESERVED.contains(&key) {
            continue;
        }
        let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
        if path.iter().any(String::is_empty) {
            return Err(ConfigError::Variable {
                variable: name,
                message: "names no key".to_owned(),
                remedy: "unset it, or name it PREFIX_KEY or PREFIX_TABLE__KEY",
            });
        }
        let reading = if DeValue::parse(&value).is_ok() { Reading::Toml } else { Reading::Text };
        found.push(Variable { name, path, value, reading });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Sets in `root` what the variables say. `file_len` is the length of the file in bytes.
pub(super) fn apply<'i>(
    root: &mut DeTable<'i>,
    variables: &'i [Variable],
    file_len: usize,
) -> Result<(), ConfigError> {
    for (index, variable) in variables.iter().enumerate() {
        let span = span_of(index, file_len);
        let value = variable.value(span.clone());
        let Some((key, tables)) = variable.path.split_last() else { continue };
        let mut table = &mut *root;
        for name in tables {
            let child = table
                .entry(Spanned::new(span.clone(), Cow::Borrowed(name.as_str())))
                .or_insert_with(|| Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
            table = match child.get_mut() {
                DeValue::Table(inner) => inner,
                _ => return Err(variable.not_a_table(name)),
            };
        }
        // Removed first, as an insertion would keep the old key and its place in the file.
        table.remove(key.as_str());
        table.insert(Spanned::new(span, Cow::Borrowed(key.as_str())), value);
    }
    Ok(())
}

/// The index of the variable that `error` is about, if it is about one.
pub(super) fn culprit(
    error: &toml::de::Error,
    file_len: usize,
    variables: &[Variable],
) -> Option<usize> {
    let index = error.span()?.start.checked_sub(span_of(0, file_len).start)?;
    (index < variables.len()).then_some(index)
}

/// The range that stands for a variable: past the file and past its end mark.
fn span_of(index: usize, file_len: usize) -> Range<usize> {
    let start = file_len + 1 + index;
    start..start + 1
}

impl Variable {
    fn value(&self, span: Range<usize>) -> Spanned<DeValue<'_>> {
        match (self.reading, DeValue::parse(&self.value)) {
            (Reading::Toml, Ok(value)) => moved(value, &span),
            _ => Spanned::new(span, DeValue::String(Cow::Borrowed(&self.value))),
        }
    }

    fn not_a_table(&self, key: &str) -> ConfigError {
        ConfigError::Variable {
            variable: self.name.clone(),
            message: format!("`{key}` is set to something that is not a table"),
            remedy: "unset it, or make that key a table",
        }
    }
}

/// The same value with all its ranges set to `span`.
fn moved<'i>(value: Spanned<DeValue<'i>>, span: &Range<usize>) -> Spanned<DeValue<'i>> {
    let value = match value.into_inner() {
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item| moved(item, span));
            DeValue::Array(items.collect::<DeArray<'_>>())
        }
        DeValue::Table(entries) => {
            let entries = entries.into_iter().map(|(key, entry)| {
                (Spanned::new(span.clone(), key.into_inner()), moved(entry, span))
            });
            DeValue::Table(entries.collect())
        }
        scalar => scalar,
    };
    Spanned::new(span.clone(), value)
}
