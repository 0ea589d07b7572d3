//! The injector as a process group: started, and stopped for certain.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::cli::Usage;

/// How often a group that was told to end is looked at.
const LOOK: Duration = Duration::from_millis(50);

pub struct Injector {
    child: Child,
    group: Pid,
}

impl Injector {
    /// A command line that cannot be started is a usage error.
    pub fn start(command: &[OsString], variables: &[(&str, String)]) -> Result<Injector> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| Usage("no command after --".into()))?;
        let mut starting = Command::new(program);
        starting.args(arguments).process_group(0).kill_on_drop(true);
        starting.envs(variables.iter().map(|(name, value)| (name, value)));
        let child = starting.spawn().map_err(|error| {
            Usage(format!("cannot start {}: {error}", program.to_string_lossy()))
        })?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Injector { child, group: id.context("the command has no process id")? })
    }

    pub async fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.context("cannot wait for the command")
    }

    /// SIGTERM to the group, and SIGKILL to what is left of it after `grace`.
    /// True when it had to be killed.
    pub async fn stop(&mut self, grace: Duration) -> Result<bool> {
        self.send(Signal::TERM)?;
        let deadline = Instant::now() + grace;
        let mut killed = false;
        loop {
            // Reaped, or its id stays in the group for ever.
            self.child.try_wait().context("cannot wait for the command")?;
            if test_kill_process_group(self.group) == Err(Errno::SRCH) {
                return Ok(killed);
            }
            if Instant::now() >= deadline {
                killed = true;
                self.send(Signal::KILL)?;
            }
            sleep(LOOK).await;
        }
    }

    fn send(&self, signal: Signal) -> Result<()> {
        match kill_process_group(self.group, signal) {
            // Nobody is left: that is what was wanted.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).context("cannot signal the command's process group"),
        }
    }
}
