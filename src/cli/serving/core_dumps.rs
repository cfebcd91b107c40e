//! A core of the daemon would hold the token and whatever events are in memory, so there is none.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Sees to it that a crash of this process leaves no core, and that nobody but root looks into it while it runs.
///
/// The limit is for cores that the kernel writes into a file. One that it hands to a program, as many distributions have
/// it, heeds no limit, but the mark. With the mark, what /proc tells of the process (its variables, its memory) is root's.
///
/// # Errors
/// When the system allows one of them not.
pub(super) fn turn_off() -> io::Result<()> {
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let marked = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    limited.and(marked).map_err(io::Error::from)
}
