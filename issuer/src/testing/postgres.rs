//! A PostgreSQL cluster that lives as long as a test, made from the server binaries of this machine.

use std::{
    env,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

mod replicas;

/// Set to 1, a machine without server binaries fails the tests that need them.
pub const REQUIRE: &str = "SCRIP_REQUIRE_POSTGRES";
/// Where Debian and others keep the binaries, by version.
const ROOTS: [&str; 4] =
    ["/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt", "/usr/pgsql"];
/// Users to run as where the tests run as root, which PostgreSQL refuses to.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A running cluster. Dropping it stops the server and removes its files.
pub struct Cluster {
    bin: PathBuf,
    user: Option<&'static str>,
    directory: TempDir,
    databases: AtomicU32,
}

impl Cluster {
    /// Starts a cluster, or says loudly that there are no server binaries and returns `None`.
    ///
    /// # Panics
    /// Where the binaries do not work, or `SCRIP_REQUIRE_POSTGRES=1` and there are none.
    #[allow(clippy::panic, reason = "test support: a failure must fail the test")]
    pub fn start(what: &str) -> Option<Self> {
        let Some(bin) = binaries() else {
            if env::var_os(REQUIRE).is_some_and(|value| value == "1") {
                panic!("PostgreSQL server binaries not found, and {REQUIRE}=1: install them");
            }
            eprintln!("PostgreSQL server binaries not found: {what} NOT TESTED");
            return None;
        };
        match Self::start_with(bin) {
            Ok(cluster) => Some(cluster),
            Err(error) => panic!("PostgreSQL did not start: {error}"),
        }
    }

    fn start_with(bin: PathBuf) -> io::Result<Self> {
        let user = if is_root()? { Some(usable_user()?) } else { None };
        let directory = TempDir::with_prefix("scrip-pg-")?;
        let cluster = Self { bin, user, directory, databases: AtomicU32::new(0) };
        if let Some(user) = user {
            succeed(Command::new("chown").arg(user).arg(cluster.directory.path()))?;
        }
        let data = cluster.data();
        succeed(cluster.command("initdb").arg("--pgdata").arg(&data).args([
            "--username=scrip",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]))?;
        cluster.serve()?;
        Ok(cluster)
    }

    /// Starts the server on the data that there is.
    fn serve(&self) -> io::Result<()> {
        // A socket in the cluster's own directory: no port that another test could take.
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c max_connections=200",
            self.directory.path().display()
        );
        let log = self.directory.path().join("log");
        let started = succeed(
            self.command("pg_ctl")
                .arg("start")
                .arg("--wait")
                .arg("--pgdata")
                .arg(self.data())
                .arg("--log")
                .arg(&log)
                .arg("--options")
                .arg(options),
        );
        started.map(drop).map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("{error}\n{said}"))
        })
    }

    /// Makes a new database and returns its URL.
    ///
    /// # Errors
    /// Where `createdb` fails.
    pub fn database(&self) -> io::Result<String> {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let socket = self.directory.path();
        succeed(
            self.command("createdb").args(["--username=scrip", "--host"]).arg(socket).arg(&name),
        )?;
        let socket = socket.to_string_lossy().replace('/', "%2F");
        Ok(format!("postgres://scrip@localhost/{name}?host={socket}"))
    }

    /// Adds a line to the server's configuration and lets it read it.
    ///
    /// # Errors
    /// Where that fails.
    pub fn configure(&self, line: &str) -> io::Result<()> {
        let data = self.data();
        let mut file = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"))?;
        io::Write::write_all(&mut file, format!("\n{line}\n").as_bytes())?;
        drop(file);
        succeed(self.command("pg_ctl").args(["reload", "--pgdata"]).arg(&data))?;
        // The server reads it when it gets to it; a new session has what it read.
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let sql = format!("SHOW {}", name.trim());
        for _ in 0..500 {
            let shown = succeed(self.psql().args(["-d", "postgres", "-c", &sql]))?;
            if shown.stdout.trim_ascii() == value.trim().trim_matches('\'').as_bytes() {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Err(io::Error::other(format!("the server does not take over `{line}`")))
    }

    fn psql(&self) -> Command {
        let mut psql = self.command("psql");
        psql.args(["--username=scrip", "-At", "--host"]).arg(self.directory.path());
        psql
    }

    /// A directory for the ledger of the databases of this cluster.
    pub fn ledger(&self) -> String {
        let number = self.databases.load(Ordering::Relaxed);
        let directory = self.directory.path().join(format!("ledger{number}"));
        directory.to_string_lossy().into_owned()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A server binary, run as a user that PostgreSQL accepts.
    fn command(&self, binary: &str) -> Command {
        let program = self.bin.join(binary);
        let mut command = match self.user {
            Some(user) => as_user(user, program.as_os_str()),
            None => Command::new(program),
        };
        command.current_dir(self.directory.path());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data();
        if !data.join("postmaster.pid").exists() {
            return; // it was killed
        }
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "--wait", "--mode=immediate", "--pgdata"]).arg(data);
        if let Err(error) = succeed(&mut stop) {
            eprintln!("PostgreSQL did not stop: {error}");
        }
    }
}

/// The newest directory with both `initdb` and `pg_ctl`.
fn binaries() -> Option<PathBuf> {
    let complete = |bin: &Path| bin.join("initdb").is_file() && bin.join("pg_ctl").is_file();
    let mut found: Vec<(u32, PathBuf)> = ROOTS
        .iter()
        .filter_map(|root| fs::read_dir(root).ok())
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| (version(&entry.file_name()), entry.path().join("bin")))
        .filter(|(_, bin)| complete(bin))
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, bin)| bin);
    let in_path = || env::split_paths(&env::var_os("PATH")?).find(|bin| complete(bin));
    newest.or_else(in_path)
}

/// The number in a directory's name: `15`, `postgresql@16`.
fn version(name: &OsStr) -> u32 {
    let name = name.to_string_lossy();
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn is_root() -> io::Result<bool> {
    let output = succeed(Command::new("id").arg("-u"))?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn usable_user() -> io::Result<&'static str> {
    let works = |user: &&&str| succeed(&mut as_user(user, "true")).is_ok();
    let found = USERS.iter().find(works).copied();
    found
        .ok_or_else(|| io::Error::other("as root, and neither `postgres` nor `nobody` can be used"))
}

fn as_user(user: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("runuser");
    command.arg("-u").arg(user).arg("--").arg(program);
    command
}

/// Runs a command to its end; its error carries what it printed.
fn succeed(command: &mut Command) -> io::Result<Output> {
    // No pipes: a server that the command leaves behind would hold them open.
    let stderr = tempfile::tempfile()?;
    let stdout = tempfile::tempfile()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .status()?;
    let output = Output { status, stdout: read_back(stdout)?, stderr: read_back(stderr)? };
    if output.status.success() {
        return Ok(output);
    }
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{command:?}: {status}: {printed}")))
}

fn read_back(mut file: fs::File) -> io::Result<Vec<u8>> {
    use io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
