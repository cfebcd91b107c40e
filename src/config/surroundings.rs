//! What the machine says about itself, handed in so that every rule here is a function of its arguments.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What `sledge dev` tells other terminals to set, in this order.
pub const VARIABLES_OF_DEV: [&str; 5] =
    ["SLEDGE_SOCKET", "SLEDGE_DATA_DIR", "SLEDGE_ADMIN", "SLEDGE_POLAR_URL", "POLAR_ACCESS_TOKEN"];

type Variable = Box<dyn Fn(&str) -> Option<OsString>>;
type Writable = Box<dyn Fn(&Path) -> bool>;
type Disk = Box<dyn Fn(&Path) -> Option<u64>>;

/// The variables of the process environment and what the process may write.
pub struct Surroundings {
    variable: Variable,
    names: Vec<String>,
    writable: Writable,
    disk: Disk,
    privileged: bool,
    is_blank: bool,
    has_files: bool,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            variable: Box::new(|name| std::env::var_os(name)),
            names: std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
            writable: Box::new(is_writable),
            disk: Box::new(disk_bytes),
            // Not by the owner of /proc/self: that is root for every process that must not be looked into.
            privileged: rustix::process::geteuid().is_root(),
            is_blank: false,
            has_files: true,
        }
    }

    /// No machine at all: no variables, the system's paths, and no token where one may be given elsewhere.
    #[must_use]
    pub fn blank() -> Self {
        Self { is_blank: true, ..Self::made_up(&[], &[], true) }
    }

    /// Made-up ones: these variables, and these folders as the writable ones.
    #[must_use]
    pub fn made_up(variables: &[(&str, &str)], writable: &[&str], privileged: bool) -> Self {
        let variables: Vec<(String, OsString)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        let names = variables.iter().map(|(name, _)| name.clone()).collect();
        let writable: Vec<PathBuf> = writable.iter().map(PathBuf::from).collect();
        Self {
            variable: Box::new(move |name| {
                variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }),
            names,
            writable: Box::new(move |folder| writable.iter().any(|known| known == folder)),
            disk: Box::new(|_| None),
            privileged,
            is_blank: false,
            has_files: false,
        }
    }

    /// The same on a disk of so many bytes.
    #[cfg(test)]
    pub(super) fn with_disk(self, bytes: u64) -> Self {
        Self { disk: Box::new(move |_| Some(bytes)), ..self }
    }

    /// The variable's value. An empty one counts as not set: that is what `NAME=${OTHER:-}` leaves behind.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// The names of all variables that are set and begin so, in alphabetical order.
    pub(super) fn names_beginning(&self, prefix: &str) -> Vec<String> {
        let beginning = self.names.iter().filter(|name| name.starts_with(prefix));
        let mut names: Vec<String> =
            beginning.filter(|name| self.variable(name).is_some()).cloned().collect();
        names.sort_unstable();
        names
    }

    /// Whether nothing is known of a machine.
    pub(super) fn is_blank(&self) -> bool {
        self.is_blank
    }

    /// Whether the files that settings name can be looked into: they are this machine's.
    pub(super) fn has_files(&self) -> bool {
        self.has_files
    }

    /// The size of the disk that `path` lies on, or will lie on; `None` where that can't be told.
    pub(super) fn disk_bytes(&self, path: &Path) -> Option<u64> {
        (self.disk)(path)
    }

    /// A variable that names a folder; a relative one is ignored, as the XDG rules want it.
    pub(super) fn folder(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Whether the process may use this system folder: it is root's, or files can be made in the folder.
    pub(super) fn may_use(&self, folder: &Path) -> bool {
        self.privileged || (self.writable)(folder)
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("privileged", &self.privileged).finish_non_exhaustive()
    }
}

fn disk_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|folder| folder.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_blocks.saturating_mul(stat.f_frsize))
}

/// Tries it: permission bits, ACLs and read-only mounts together have no simpler answer.
fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!(".sledge-{}", std::process::id()));
    let made = fs::OpenOptions::new().write(true).create_new(true).open(&probe).is_ok();
    made && fs::remove_file(&probe).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let surroundings = Surroundings::made_up(&[("A", ""), ("B", "b")], &[], false);
        assert_eq!(surroundings.variable("A"), None);
        assert_eq!(surroundings.variable("B"), Some("b".into()));
        assert_eq!(surroundings.variable("C"), None);
    }

    #[test]
    fn a_folder_is_writable_when_a_file_can_be_made_in_it_and_none_is_left() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_writable(folder.path()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!is_writable(&folder.path().join("missing")));
    }
}
