//! A progress bar, where standard error is a terminal; warnings everywhere.

use std::{
    io::{self, IsTerminal},
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::note;
use crate::{Event, Watch};

const TEMPLATE: &str = "{msg} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";

/// Shows events on standard error.
pub(super) fn watch() -> Watch {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    Watch::listen(move |event| {
        // A panic while the bar was locked has at worst left it half drawn.
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { what, total } => *bar = started(what, total),
            Event::Done(done) => {
                if let Some(bar) = bar.as_ref() {
                    bar.set_position(done);
                }
            }
            Event::Finished => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
            }
            Event::RelaySkipped { relay, reason } => {
                say(bar.as_ref(), &format!("warning: {} is left out: {reason}", relay.authority));
            }
            Event::Warning(warning) => say(bar.as_ref(), &format!("warning: {warning}")),
        }
    })
}

fn started(what: &'static str, total: u64) -> Option<ProgressBar> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(TEMPLATE);
    Some(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(what))
}

fn say(bar: Option<&ProgressBar>, line: &str) {
    match bar {
        Some(bar) => bar.suspend(|| note(line)),
        None => note(line),
    }
}
