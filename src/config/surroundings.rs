//! What the machine says about itself, handed in so that every rule here is a function of its arguments.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

type Variable = Box<dyn Fn(&str) -> Option<OsString>>;
type Writable = Box<dyn Fn(&Path) -> bool>;

/// The variables of the process environment and what the process may write.
pub struct Surroundings {
    variable: Variable,
    writable: Writable,
    privileged: bool,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let privileged = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        Self {
            variable: Box::new(|name| std::env::var_os(name)),
            writable: Box::new(is_writable),
            privileged,
        }
    }

    /// Made-up ones: these variables, and these folders as the writable ones.
    #[must_use]
    pub fn made_up(variables: &[(&str, &str)], writable: &[&str], privileged: bool) -> Self {
        let variables: Vec<(String, OsString)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        let writable: Vec<PathBuf> = writable.iter().map(PathBuf::from).collect();
        Self {
            variable: Box::new(move |name| {
                variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }),
            writable: Box::new(move |folder| writable.iter().any(|known| known == folder)),
            privileged,
        }
    }

    /// The variable's value. An empty one counts as not set: that is what `NAME=${OTHER:-}` leaves behind.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
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
