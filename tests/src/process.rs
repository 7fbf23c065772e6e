//! Programs of the network as processes of their own, to be killed at a chosen step.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use scrip_protocol::time::UnixSeconds;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Failure;
use crate::node::PASSPHRASE;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the binary `scrip-crash-node` is, and where its marks go.
pub struct Launcher {
    binary: PathBuf,
    marks: PathBuf,
    app_store: Option<PathBuf>,
    stopped_at: Option<UnixSeconds>,
    standard_error: Option<File>,
}

/// A running program.
pub struct Process {
    child: Child,
    mark: PathBuf,
}

impl Launcher {
    /// Starts `binary`; `marks` is a folder for its marks.
    pub fn new(binary: impl Into<PathBuf>, marks: &Path) -> Self {
        Self {
            binary: binary.into(),
            marks: marks.to_owned(),
            app_store: None,
            stopped_at: None,
            standard_error: None,
        }
    }

    /// Standard error of what is started is this file, which need not take anything.
    #[must_use]
    pub fn with_standard_error(mut self, file: File) -> Self {
        self.standard_error = Some(file);
        self
    }

    /// The clock of what is started always says `moment`.
    #[must_use]
    pub fn at(mut self, moment: UnixSeconds) -> Self {
        self.stopped_at = Some(moment);
        self
    }

    /// Issuers trust the App Store whose root certificate is in the file `root`.
    #[must_use]
    pub fn with_app_store(mut self, root: PathBuf) -> Self {
        self.app_store = Some(root);
        self
    }

    /// Starts a program: `issuer`, `relay`, `wallet` or `witness` with its arguments. At the step `crash_at` it stops for good.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start<S: AsRef<std::ffi::OsStr>>(
        &self,
        role: &str,
        arguments: impl IntoIterator<Item = S>,
        crash_at: Option<&str>,
    ) -> Result<Process, Failure> {
        let mut command = self.command(role);
        command.args(arguments);
        let mark = self.mark(role, crash_at);
        command.env("SCRIP_CRASH_MARK", &mark);
        if let Some(step) = crash_at {
            command.env("SCRIP_CRASH_AT", step);
        }
        self.spawn(command, mark)
    }

    /// The same, but at the step `panic_at` the task that takes it panics.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start_faulty<S: AsRef<std::ffi::OsStr>>(
        &self,
        role: &str,
        arguments: impl IntoIterator<Item = S>,
        panic_at: &str,
    ) -> Result<Process, Failure> {
        let mut command = self.command(role);
        command.args(arguments).env("SCRIP_CRASH_AT", panic_at).env("SCRIP_CRASH_PANIC", "1");
        self.spawn(command, self.mark(role, None))
    }

    fn mark(&self, role: &str, crash_at: Option<&str>) -> PathBuf {
        self.marks.join(format!("{role}-{}.mark", crash_at.unwrap_or("none")))
    }

    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg(role)
            .env("SCRIP_PASSPHRASE", PASSPHRASE)
            .env("SCRIP_ISSUER_PASSPHRASE", PASSPHRASE)
            .env("SCRIP_RELAY_PASSPHRASE", PASSPHRASE)
            .env("SCRIP_WITNESS_PASSPHRASE", PASSPHRASE)
            // A relay redeems at once what it has, and does not wait for company.
            .env("SCRIP_RELAY_REDEMPTION__EVERY", "1s")
            .env("SCRIP_RELAY_REDEMPTION__LEAST_ITEMS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(root) = &self.app_store {
            command.env("SCRIP_CRASH_APP_STORE", root);
        }
        if let Some(moment) = self.stopped_at {
            command.env("SCRIP_CRASH_CLOCK", moment.0.to_string());
        }
        command
    }

    fn spawn(&self, mut command: Command, mark: PathBuf) -> Result<Process, Failure> {
        if let Some(file) = &self.standard_error {
            command.stderr(file.try_clone()?);
        }
        Ok(Process { child: command.spawn()?, mark })
    }
}

impl Process {
    /// Waits until a server says that it listens.
    ///
    /// # Errors
    /// Where it ends first, or takes too long.
    pub async fn listening(&mut self) -> Result<(), Failure> {
        let stdout = self.child.stdout.take().ok_or("the process was waited for already")?;
        let mut lines = BufReader::new(stdout).lines();
        let waiting = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("listening on") {
                    return Ok(());
                }
            }
            Err(Failure::from("the process ended before it listened"))
        };
        tokio::time::timeout(PATIENCE, waiting).await?
    }

    /// Waits until the program stands still at its step, and kills it with SIGKILL there.
    ///
    /// # Errors
    /// Where it ends or takes too long without having come to the step.
    pub async fn killed_at_its_step(mut self) -> Result<(), Failure> {
        let waiting = async {
            while !self.mark.exists() {
                if let Some(status) = self.child.try_wait()? {
                    return Err(Failure::from(format!(
                        "it ended ({status}) and never came to its step"
                    )));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, waiting).await??;
        std::fs::remove_file(&self.mark)?;
        self.child.kill().await?;
        Ok(())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Where it takes too long.
    pub async fn finish(mut self) -> Result<ExitStatus, Failure> {
        Ok(tokio::time::timeout(PATIENCE, self.child.wait()).await??)
    }
}
