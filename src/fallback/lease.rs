//! Whose files are whose: an instance that has files holds the lock of `fallback-<uuid>.lock`, and says
//! in it where it lives and, every [`BEAT`], that it does.
//!
//! `{"host":…,"boot":…,"pid":…,"beat":…}`; `beat` counts. Whoever takes over from an instance writes
//! `{"heir":…}` into the file before it removes it: should the instance live after all, it has the file
//! open and reads there what became of its files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use uuid::Uuid;

use super::directory::{Directory, Presence, presence};
use super::names;
use crate::options::Modes;

/// Between two signs of life.
pub const BEAT: Duration = Duration::from_secs(2);
/// More than a statement has.
const LONGEST: usize = 1024;
/// Statements are filled up with blanks to this length, so that one in another's place need not be cut.
const USUAL: usize = 160;

/// What a lock file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statement {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Of this start of the machine's kernel; empty where the system does not tell.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub boot: String,
    pub pid: u32,
    pub beat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heir: Option<String>,
}

impl Statement {
    fn own() -> &'static Self {
        static OWN: OnceLock<Statement> = OnceLock::new();
        OWN.get_or_init(|| Statement {
            host: host(),
            boot: boot(),
            pid: std::process::id(),
            beat: 0,
            heir: None,
        })
    }

    /// Whether a lock that this one's process holds is seen here, and is let go by its death. Where
    /// the kernel can be told by its boot, its host's name does not matter: containers have others.
    pub fn is_of_this_kernel(&self) -> bool {
        let here = Statement::own();
        if here.boot.is_empty() {
            return self.boot.is_empty() && !self.host.is_empty() && self.host == here.host;
        }
        self.boot == here.boot
    }

    /// `None` for what is no statement.
    pub fn read(mut file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; LONGEST];
        file.seek(SeekFrom::Start(0))?;
        let mut length = 0;
        while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read(rest) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let text = bytes.get(..length).unwrap_or_default();
        Ok(serde_json::from_slice(text).ok())
    }

    pub fn write(&self, mut file: &File) -> io::Result<()> {
        let Ok(mut line) = serde_json::to_vec(self) else {
            unreachable!("numbers and strings are always JSON")
        };
        line.resize(line.len().max(USUAL), b' ');
        line.push(b'\n');
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&line)?;
        let length = line.len() as u64;
        if file.metadata()?.len() > length {
            file.set_len(length)?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

fn boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    boot.unwrap_or_default().trim().to_owned()
}

/// This instance's own.
#[derive(Debug)]
pub struct Lease {
    name: String,
    path: PathBuf,
    file: File,
    statement: Statement,
}

impl Lease {
    /// Its file appears with the lock already held.
    pub fn create(directory: &Directory, instance: Uuid, modes: Modes) -> io::Result<Self> {
        let name = names::lock(instance);
        let making = names::unfinished(&name);
        // Left there by a directory that was full, or read-only, in between.
        directory.remove_if_there(&making)?;
        let file = directory.create_to_modify(&making, modes.file)?;
        let path = directory.path_of(&name);
        if let Err(error) = file.try_lock() {
            warn!(path = %path.display(), %error, "the file system has no locks: files of other processes are taken over when these have given no sign of life for 30 s");
        }
        let statement = Statement::own().clone();
        statement
            .write(&file)
            .and_then(|()| directory.rename(&making, directory, &name))
            .inspect_err(|_| {
                // Whoever finds it later removes it.
                let _ = directory.remove(&making);
            })?;
        Ok(Lease {
            name,
            path,
            file,
            statement,
        })
    }

    /// Whether the lock is where others look for it.
    pub fn presence(&self) -> io::Result<Presence> {
        presence(&self.file, &self.path)
    }

    /// Whether another instance has taken these files over, as far as this file tells.
    pub fn is_taken(&self) -> bool {
        let statement = Statement::read(&self.file);
        matches!(statement, Ok(Some(Statement { heir: Some(_), .. })))
    }

    /// Gives a sign of life.
    pub fn beat(&mut self) -> io::Result<()> {
        if self.is_taken() {
            return Ok(());
        }
        self.statement.beat += 1;
        self.statement.write(&self.file)
    }

    /// Nothing is left to own.
    pub fn retire(self) {
        let Some(parent) = self.path.parent() else {
            return;
        };
        let removed = match self.presence() {
            Ok(Presence::Here) => Directory::open(parent).and_then(|d| d.remove(&self.name)),
            _ => Ok(()),
        };
        if let Err(error) = removed {
            debug!(path = %self.path.display(), %error, "a lock file could not be removed");
        }
    }
}
