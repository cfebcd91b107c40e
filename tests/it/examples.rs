//! Every file under `examples/` is run as its readers run it.

use std::path::{Path, PathBuf};

use crate::tool;

/// A folder of the examples.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// Whether `examples/install` has put in place what the examples use from npm and PyPI.
pub(crate) fn are_installed() -> bool {
    tool::is_there(folder("install").to_str().unwrap(), &["--check"])
}
