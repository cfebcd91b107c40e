//! Every connection takes a descriptor, and so does every file of the journal.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The connections of both listeners at their limits, and as many again for everything else.
const WANTED: u64 = 4_096;

/// Takes more descriptors than a process usually gets, as far as the system lets it. Where it does not, accepting rests
/// when there are none left, and says so.
pub(super) fn take_enough() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).ok();
    }
}
