//! Logging to standard error, which may be a full disk, or a pipe that nobody reads any more.
//!
//! A thread of its own writes the lines. What it cannot write is lost and counted, and nothing
//! else comes of it: no task waits for a log, and none ends because of one.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use tracing_subscriber::EnvFilter;

/// Lines that may wait for the thread; more are lost.
const WAITING: usize = 4_096;
/// How long the end of the program waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// The system gave no thread to write the log.
    #[error("cannot start to log: {0}; raise the limit of processes")]
    Thread(#[source] io::Error),
    /// The program called [`init`] twice.
    #[error("logging was set up twice: this is a fault of the program, please report it")]
    AlreadySet,
}

/// Logging that was set up. Dropping it waits a moment for the last lines.
#[must_use = "the last lines are waited for where this is dropped"]
pub struct Logging(Lines);

impl Drop for Logging {
    fn drop(&mut self) {
        let (written, waiting) = sync_channel(1);
        if self.0.sender.try_send(Entry::Flush(written)).is_ok() {
            let _ = waiting.recv_timeout(PATIENCE); // a log that takes nothing keeps nobody
        }
    }
}

/// Sends what is logged to standard error, filtered as `PREFIX_LOG` says (`info` by default).
/// Panics are logged as well.
///
/// # Errors
///
/// [`LogError`] where the filter does not parse, there is no thread, or a subscriber is set
/// already.
pub fn init(prefix: &str) -> Result<Logging, LogError> {
    let variable = format!("{prefix}_LOG");
    let value = std::env::var(&variable).unwrap_or_default();
    let directives = if value.trim().is_empty() { "info" } else { value.as_str() };
    let filter = EnvFilter::try_new(directives).map_err(|error| LogError::Filter {
        variable,
        value: value.clone(),
        reason: error.to_string(),
    })?;
    let lines = Lines::start(standard_error()).map_err(LogError::Thread)?;
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer.clone())
        .with_ansi(io::stderr().is_terminal())
        // What could not be logged would be told to standard error, with a panic where that fails.
        .log_internal_errors(false)
        .try_init()
        .map_err(|_| LogError::AlreadySet)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, reason, "a fault of this program, please report it");
    }));
    Ok(Logging(lines))
}

/// Standard error without the standard library's lock on it: who holds that lock while a pipe
/// is full would keep everybody else from saying anything.
#[cfg(unix)]
fn standard_error() -> Box<dyn Write + Send> {
    use std::os::fd::AsFd;
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(std::fs::File::from(descriptor)),
        Err(_) => Box::new(io::sink()), // it is closed
    }
}

#[cfg(not(unix))]
fn standard_error() -> Box<dyn Write + Send> {
    Box::new(io::stderr())
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before this is to be written, or lost.
    Flush(SyncSender<()>),
}

/// The way to the thread that writes.
#[derive(Clone)]
struct Lines {
    sender: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_all(&receiver, output, &counted))?;
        Ok(Self { sender, lost })
    }
}

/// Each call has a whole line, as the subscriber formats one before it writes it.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Entry::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(entries: &Receiver<Entry>, mut output: impl Write, lost: &AtomicU64) {
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                let before = lost.load(Ordering::Relaxed);
                let notice = match before {
                    0 => Ok(()),
                    count => writeln!(output, "({count} lines of the log could not be written)"),
                };
                if notice.is_ok() {
                    lost.fetch_sub(before, Ordering::Relaxed);
                }
                if output.write_all(&line).and_then(|()| output.flush()).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Flush(written) => drop(written.try_send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, atomic::AtomicBool};

    use super::*;

    /// A disk that may be full.
    #[derive(Clone, Default)]
    struct Disk {
        full: Arc<AtomicBool>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.full.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn flush(lines: &Lines) {
        drop(Logging(lines.clone()));
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_the_rest_is_written() {
        let disk = Disk::default();
        let mut lines = Lines::start(disk.clone()).unwrap();
        lines.write_all(b"one\n").unwrap();
        flush(&lines);
        disk.full.store(true, Ordering::SeqCst);
        lines.write_all(b"two\n").unwrap();
        lines.write_all(b"three\n").unwrap();
        flush(&lines);
        disk.full.store(false, Ordering::SeqCst);
        lines.write_all(b"four\n").unwrap();
        lines.write_all(b"five\n").unwrap();
        flush(&lines);
        let written = String::from_utf8(disk.written.lock().unwrap().clone()).unwrap();
        assert_eq!(written, "one\n(2 lines of the log could not be written)\nfour\nfive\n");
    }

    /// A pipe that is full and that nobody reads.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv(); // until the test ends
            Ok(0)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_nobody_reads() {
        let (_held, stuck) = sync_channel(0);
        let mut lines = Lines::start(Stuck(stuck)).unwrap();
        for _ in 0..2 * WAITING {
            lines.write_all(b"line\n").unwrap();
        }
        assert!(lines.lost.load(Ordering::Relaxed) >= u64::try_from(WAITING).unwrap() - 1);
        flush(&lines);
    }
}
