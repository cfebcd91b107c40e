//! The library of `disk_shim.c`, built where it is used, and a sledge under it.

use std::path::{Path, PathBuf};
use std::process::Command as StdCommand;

use tempfile::TempDir;
use tokio::process::Command;

use super::recording::Recording;
use crate::sledge_process::Home;
use crate::tool;

/// The library, and where its log goes.
pub(crate) struct DiskShim {
    folder: TempDir,
}

/// What the library does besides writing down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// Syncs are answered, and not done.
    NoSync,
    /// The n-th operation, from 1, fails with this errno (0: takes half of what it is given), and with `on` all after it.
    Failing {
        nth: usize,
        errno: i32,
        on: bool,
    },
}

impl DiskShim {
    /// The library; `None`, said aloud, where there is no C compiler.
    pub(crate) fn build() -> Option<Self> {
        if !tool::is_there("cc", &["--version"]) {
            return None;
        }
        let shim = Self { folder: tempfile::tempdir().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/journal_proof/disk_shim.c");
        let mut cc = StdCommand::new("cc");
        cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
        let built = cc.arg(shim.library()).arg(source).arg("-ldl").output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Some(shim)
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("disk_shim.so")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Puts the library under this command of `home`'s; what happens is written down under `name`.
    pub(crate) fn under(&self, mut command: Command, home: &Home, name: &str, trouble: Trouble) -> Command {
        command
            .env("LD_PRELOAD", self.library())
            .env("SHIM_ROOT", root_of(home))
            .env("SHIM_LOG", self.log(name));
        match trouble {
            Trouble::None => {}
            Trouble::NoSync => {
                command.env("SHIM_NO_SYNC", "1");
            }
            Trouble::Failing { nth, errno, on } => {
                let when = if on { "on" } else { "once" };
                command.env("SHIM_FAIL", format!("{nth} {errno} {when}"));
            }
        }
        command
    }

    /// What happened, by its name. The log is taken away: it is as large as all that was written.
    pub(crate) fn recording(&self, name: &str) -> Recording {
        let recording = Recording::read(&self.log(name));
        std::fs::remove_file(self.log(name)).unwrap();
        recording
    }
}

/// The folder that the library looks at: a sledge's journal, without links in its path.
pub(crate) fn root_of(home: &Home) -> PathBuf {
    home.path().canonicalize().unwrap().join("data/journal")
}
