//! Tells what happens, with times, and keeps it for the table at the end.

use std::io::Write;
use std::time::Instant;

use serde::Serialize;

/// One step of the story.
#[derive(Serialize)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// How long it took, in milliseconds.
    pub milliseconds: f64,
    /// What came of it.
    pub result: String,
}

/// Prints the story unless it is quiet.
pub(super) struct Narrator {
    quiet: bool,
    steps: Vec<Step>,
}

/// A step that goes on.
pub(super) struct Telling {
    what: String,
    since: Instant,
}

impl Telling {
    pub(super) fn elapsed(&self) -> std::time::Duration {
        self.since.elapsed()
    }
}

impl Narrator {
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet, steps: Vec::new() }
    }

    /// A step begins.
    pub(super) fn begin(&mut self, what: &str) -> Telling {
        self.line(&format!("\n{:>2}. {what}", self.steps.len() + 1));
        Telling { what: what.to_owned(), since: Instant::now() }
    }

    /// Something worth knowing about the step.
    pub(super) fn say(&self, line: &str) {
        self.line(&format!("    {line}"));
    }

    /// The step has come to its end.
    pub(super) fn end(&mut self, telling: Telling, result: String) {
        let elapsed = telling.since.elapsed();
        self.line(&format!("    → {result}  [{elapsed:.1?}]"));
        let milliseconds = (elapsed.as_secs_f64() * 10_000.0).round() / 10.0;
        self.steps.push(Step { what: telling.what, milliseconds, result });
    }

    /// The table of all steps.
    pub(super) fn table(&self) {
        self.line("");
        let width = self.steps.iter().map(|step| step.what.chars().count()).max().unwrap_or(0);
        for (n, step) in self.steps.iter().enumerate() {
            let Step { what, milliseconds, result } = step;
            self.line(&format!("{:>2}  {what:<width$}  {milliseconds:>9.1} ms  {result}", n + 1));
        }
    }

    pub(super) fn line(&self, line: &str) {
        if !self.quiet {
            // Whoever closed the other end does not want to hear more.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}
