//! Standard output: JSON, or text for people.

use std::{
    fmt::Display,
    io::{self, Write},
};

use scrip_protocol::text::is_unseen;
use serde::Serialize;

use super::error::CliError;

/// Where results go, and in which form.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints `value` as JSON, or what `text` makes of it.
    pub(super) fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            let json = serde_json::to_string_pretty(value)
                .map_err(|error| CliError::Output(error.into()))?;
            self.write(json.as_bytes())?;
            return self.write(b"\n");
        }
        let text = printable(&text(value));
        self.write(text.as_bytes())?;
        if text.is_empty() || text.ends_with('\n') { Ok(()) } else { self.write(b"\n") }
    }

    /// Writes bytes and waits until they are out of the program's hands. That nobody reads them is no error of this
    /// program ([`CliError::Closed`]).
    pub(super) fn write(self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::Closed,
            _ => CliError::Output(error),
        })
    }
}

/// A line on standard error.
pub(super) fn note(line: &str) {
    // Where nobody reads it, there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// Without control characters and what turns the order of letters around: names and messages come from others, and could steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !is_unseen(*c) || matches!(c, '\n' | '\t')).collect()
}

/// A number and what is counted, which becomes more than one with an `s`.
pub(super) fn counted(count: impl TryInto<u64> + Display + Copy, what: &str) -> String {
    let is_one = count.try_into().is_ok_and(|count| count == 1);
    format!("{count} {what}{}", if is_one { "" } else { "s" })
}

/// Columns that are as wide as their widest cell.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(header.get(column).map_or(0, |title| title.chars().count()))
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let titles: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let mut out = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}d"), "a[2Jb\ncd");
        assert_eq!(printable("a\u{202e}b\u{200e}c\u{2066}d\u{feff}"), "abcd");
    }

    #[test]
    fn one_is_not_many() {
        let said = [0_u64, 1, 2].map(|count| counted(count, "relay"));
        assert_eq!(said, ["0 relays", "1 relay", "2 relays"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".into(), "10".into()], vec!["long".into(), "2".into()]];
        assert_eq!(table(&["name", "n"], &rows), "name  n\na     10\nlong  2\n");
    }
}
