//! Printing: aligned columns for people, JSON for programs, progress on stderr.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Columns, as wide as their widest cell; the last one is not padded.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()],
        }
    }

    /// A table without headings.
    pub fn plain() -> Self {
        Self::default()
    }

    /// Adds a row. Control characters are shown as escapes: names come from other people.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// The lines.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }

    /// Prints to stdout.
    pub fn print(&self) -> io::Result<()> {
        lines(self.lines())
    }
}

/// Prints lines to stdout.
pub fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", line.as_ref())?;
    }
    out.flush()
}

/// Prints one value as indented JSON to stdout.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    lines([serde_json::to_string_pretty(value).map_err(io::Error::other)?])
}

/// Prints one line to stderr. What cannot be told is not worth failing for.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What is being done, on stderr: rewritten in place on a terminal, one line for each change elsewhere.
#[derive(Debug, Default)]
pub struct Progress {
    last: String,
}

impl Progress {
    /// Shows `text` when it is news.
    pub fn show(&mut self, text: &str) {
        let text = printable(text);
        if text == self.last {
            return;
        }
        let mut err = io::stderr().lock();
        let _ = if io::stderr().is_terminal() {
            write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{text}")
        };
        self.last = text;
    }

    /// Leaves the line for what comes next.
    pub fn end(self) {
        if !self.last.is_empty() && io::stderr().is_terminal() {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

/// Bytes for people, powers of 1024.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut rest = count;
    let mut tenths = 0;
    while rest >= 1024 && unit + 1 < UNITS.len() {
        tenths = rest % 1024 * 10 / 1024;
        rest /= 1024;
        unit += 1;
    }
    if tenths == 0 {
        format!("{rest} {}", UNITS[unit])
    } else {
        format!("{rest}.{tenths} {}", UNITS[unit])
    }
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_control_characters_are_shown() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["a\x1b[31m".to_owned(), "active".to_owned()]);
        table.row(["ä".to_owned(), "x".to_owned()]);
        assert_eq!(
            table.lines(),
            ["NAME         STATE", "a\\u{1b}[31m  active", "ä            x"]
        );
    }

    #[test]
    fn bytes_read_well() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1 << 20, "1 MB"),
            (100 << 20, "100 MB"),
            (1_610_612_736, "1.5 GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
