//! Child processes: start, health, signals, end. Their output goes to a file, and they do not outlive this process.

mod http_probe;
mod spawner;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::{Error, Result};
use spawner::Child;

/// How many lines of a process's output an error shows.
const LAST_LINES: usize = 20;

/// What to run.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The name in errors and of the log file.
    pub name: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment variables in addition to those of this process.
    pub env: Vec<(String, String)>,
}

impl ProcessSpec {
    /// Any executable.
    #[must_use]
    pub fn new(name: &str, program: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// A binary of the system, `lws-controller` or `lws-webhook`: the one in the directory that `LWS_PROGRAMS` names, or else the one
    /// built for the profile this process was built for.
    pub fn of_workspace(name: &str) -> Result<Self> {
        let program = match std::env::var_os("LWS_PROGRAMS") {
            Some(directory) => existing(name, Path::new(&directory).join(name))?,
            None => workspace_binary(name)?,
        };
        Ok(Self::new(name, &program))
    }

    /// A binary of this workspace that is no part of the system: always the one built for the profile this process was built
    /// for.
    pub fn tool(name: &str) -> Result<Self> {
        Ok(Self::new(name, &workspace_binary(name)?))
    }

    /// The same with another name, for a second replica of one binary.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The same with these arguments at the end.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The same with this environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A child process that is, or was, running. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    spec: Box<ProcessSpec>,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `spec` with its output appended to `<log_dir>/<name>.log`.
    pub async fn start(spec: &ProcessSpec, log_dir: &Path) -> Result<Self> {
        let log = log_dir.join(format!("{}.log", spec.name));
        let child = Self::spawn(spec, &log).await?;
        Ok(Self { spec: Box::new(spec.clone()), log, child })
    }

    /// Starts it again in the same way. If it still runs, it is killed first.
    pub async fn start_again(&mut self) -> Result<()> {
        self.start_again_with(&[]).await
    }

    /// Does the same with more arguments, which the next start forgets.
    pub async fn start_again_with(&mut self, args: &[String]) -> Result<()> {
        self.kill().await?;
        let spec = ProcessSpec::clone(&self.spec).args(args);
        self.child = Self::spawn(&spec, &self.log).await?;
        Ok(())
    }

    async fn spawn(spec: &ProcessSpec, log: &Path) -> Result<Child> {
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::file("open", log))?;
        let errors = output.try_clone().map_err(Error::file("open", log))?;
        let mut command = std::process::Command::new(workspace_binary("tether")?);
        command.arg(std::process::id().to_string()).arg(&spec.program).args(&spec.args);
        command.envs(spec.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        spawner::spawn(command).await.map_err(|source| Error::Process {
            operation: "start",
            name: spec.name.clone(),
            source,
        })
    }

    /// The name it was started with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The file with its output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, or `None` while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child.exit_status()
    }

    /// Waits until it has ended.
    pub async fn exited(&self) -> ExitStatus {
        self.child.exited().await
    }

    /// Waits until an HTTP GET of `url` (`http://host:port/path`) answers 200.
    ///
    /// Fails after `deadline`, and at once when the process ends.
    pub async fn wait_until_ready(&self, url: &str, deadline: Duration) -> Result<()> {
        let target = http_probe::Target::parse(url)?;
        let description = format!("{} answers {url}", self.name());
        let ready =
            crate::wait::eventually(deadline, &description, async || match target.get().await? {
                200 => Ok(Some(())),
                status => Err(std::io::Error::other(format!("HTTP status {status}"))),
            });
        self.while_running(ready).await
    }

    /// The output of `work`, or an error as soon as the process ends before it.
    pub(crate) async fn while_running<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            outcome = work => outcome,
            status = self.exited() => Err(self.ended(status)),
        }
    }

    fn ended(&self, status: ExitStatus) -> Error {
        let last_lines = self.last_lines().unwrap_or_else(|error| error.to_string());
        Error::Exited { name: self.name().to_owned(), status, log: self.log.clone(), last_lines }
    }

    /// The last 20 lines of its output.
    pub fn last_lines(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log).map_err(Error::file("read", &self.log))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
        Ok(tail.join("\n"))
    }

    /// Asks it to end (SIGTERM), kills it after `deadline`, and waits until it has ended.
    pub async fn stop(&self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        match timeout(deadline, self.exited()).await {
            Ok(status) => Ok(status),
            Err(_) => self.kill().await,
        }
    }

    /// Kills it (SIGKILL) and waits until it has ended.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        Ok(self.exited().await)
    }

    /// Sends it a signal; one that has ended is left alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.child
            .signal(signal)
            .map_err(|source| Error::Signal { name: self.name().to_owned(), source })
    }
}

/// The path of a binary of this workspace: in `target/<profile>/`, where this executable or its `deps/` is.
pub fn workspace_binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(Error::file("find", Path::new("this executable")))?;
    let mut directory = own.parent().unwrap_or(Path::new("."));
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory = directory.parent().unwrap_or(directory);
    }
    existing(name, directory.join(name))
}

/// The path of a binary, if it is there.
fn existing(name: &str, path: PathBuf) -> Result<PathBuf> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::BinaryMissing { name: name.to_owned(), path })
    }
}
