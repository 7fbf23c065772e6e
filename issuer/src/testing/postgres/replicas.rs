//! Replicas of a cluster, promotions, and servers that are killed.

use std::{
    fs, io,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::Duration,
};

use tempfile::TempDir;

use super::{Cluster, succeed};

/// How often something is looked for that comes soon.
const EVERY: Duration = Duration::from_millis(10);
/// How often it is looked for before a test gives up.
const TIMES: u32 = 3_000;

impl Cluster {
    /// A streaming replica of this cluster, running. It is asynchronous until [`Cluster::wait_for_replicas`].
    ///
    /// # Errors
    /// Where it does not start.
    pub fn replica(&self) -> io::Result<Self> {
        let directory = TempDir::with_prefix("scrip-pg-")?;
        let databases = AtomicU32::new(self.databases.load(Ordering::Relaxed));
        let replica = Self { bin: self.bin.clone(), user: self.user, directory, databases };
        if let Some(user) = self.user {
            succeed(Command::new("chown").arg(user).arg(replica.directory.path()))?;
        }
        succeed(
            self.command("pg_basebackup")
                .args(["--username=scrip", "--write-recovery-conf", "--no-sync"])
                .args(["--checkpoint=fast", "--wal-method=stream", "--host"])
                .arg(self.directory.path())
                .arg("--pgdata")
                .arg(replica.data()),
        )?;
        replica.serve()?;
        Ok(replica)
    }

    /// From now on a commit waits until a replica has it.
    ///
    /// # Errors
    /// Where no replica becomes a synchronous one.
    pub fn wait_for_replicas(&self) -> io::Result<()> {
        self.configure("synchronous_standby_names = '*'")?;
        let sql = "SELECT count(*) > 0 FROM pg_stat_replication
            WHERE state = 'streaming' AND sync_state = 'sync'";
        self.wait_until(sql)
    }

    /// From now on a commit waits for nobody.
    ///
    /// # Errors
    /// Where the server does not take it over.
    pub fn wait_for_nobody(&self) -> io::Result<()> {
        self.configure("synchronous_standby_names = ''")
    }

    /// Waits until a replica has all that was committed until now.
    ///
    /// # Errors
    /// Where it takes too long.
    pub fn replicated(&self) -> io::Result<()> {
        let now = self.sql("SELECT pg_current_wal_flush_lsn()")?;
        self.wait_until(&format!(
            "SELECT count(*) > 0 FROM pg_stat_replication WHERE flush_lsn >= '{now}'"
        ))
    }

    /// Cuts a replica off from its primary: what is committed from now on it does not have.
    ///
    /// # Errors
    /// Where it goes on receiving.
    pub fn cut_off(&self) -> io::Result<()> {
        self.sql("ALTER SYSTEM SET primary_conninfo = ''")?;
        self.sql("SELECT pg_reload_conf()")?;
        self.wait_until("SELECT count(*) = 0 FROM pg_stat_wal_receiver")
    }

    /// Makes a replica a primary.
    ///
    /// # Errors
    /// Where it is none, or takes too long.
    pub fn promote(&self) -> io::Result<()> {
        succeed(self.command("pg_ctl").args(["promote", "--wait", "--pgdata"]).arg(self.data()))?;
        // It has the primary's settings, and no replica yet.
        self.wait_for_nobody()
    }

    /// Ends every process of the server with SIGKILL.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&self) -> io::Result<()> {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file)?;
        let server = text.lines().next().unwrap_or_default().trim().to_owned();
        let children = succeed(Command::new("pgrep").args(["-P", &server]))?.stdout;
        let children = String::from_utf8_lossy(&children).into_owned();
        // The server first: it would start its processes again.
        succeed(Command::new("kill").args(["-9", &server]))?;
        for child in children.split_whitespace() {
            // One may be gone already.
            let _ = succeed(Command::new("kill").args(["-9", child]));
        }
        for _ in 0..TIMES {
            if has_ended(&server) && children.split_whitespace().all(has_ended) {
                // What is left of it may have its number for a while, by which a new server would take its locks for held.
                fs::remove_file(self.directory.path().join(".s.PGSQL.5432.lock"))?;
                return fs::remove_file(file);
            }
            sleep(EVERY);
        }
        Err(io::Error::other("the server does not end"))
    }

    /// Starts a server that was killed.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_again(&self) -> io::Result<()> {
        self.serve()
    }

    /// The socket of the server.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(".s.PGSQL.5432")
    }

    /// What a statement gives, in the database `postgres`.
    ///
    /// # Errors
    /// What the server says.
    pub fn sql(&self, sql: &str) -> io::Result<String> {
        let shown = succeed(self.psql().args(["-d", "postgres", "-c", sql]))?;
        Ok(String::from_utf8_lossy(shown.stdout.trim_ascii()).into_owned())
    }

    fn wait_until(&self, sql: &str) -> io::Result<()> {
        for _ in 0..TIMES {
            if self.sql(sql)? == "t" {
                return Ok(());
            }
            sleep(EVERY);
        }
        Err(io::Error::other(format!("this does not become true: {sql}")))
    }
}

/// Whether a process is gone, or is what is left of one that nobody has waited for.
fn has_ended(id: &str) -> bool {
    let shown = Command::new("ps").args(["-o", "stat=", "-p", id]).output();
    shown.is_ok_and(|shown| matches!(shown.stdout.trim_ascii().first(), None | Some(b'Z')))
}
