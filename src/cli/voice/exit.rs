//! What the exit code says, in the numbers of `sysexits.h` where it has one.

use std::process::ExitCode;

/// How a command ended. The numbers are an interface: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything is as it should be.
    Ok = 0,
    /// The command did its work and found something a person should look at.
    Finding = 1,
    /// The command line makes no sense.
    Usage = 64,
    /// The daemon, or something the daemon needs, is not there.
    Unavailable = 69,
    /// Reading or writing failed.
    Io = 74,
    /// It may work when tried again; nothing has to be changed first.
    Temporary = 75,
    /// A setting can't be used.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_never_change() {
        let numbers = [
            (Exit::Ok, 0),
            (Exit::Finding, 1),
            (Exit::Usage, 64),
            (Exit::Unavailable, 69),
            (Exit::Io, 74),
            (Exit::Temporary, 75),
            (Exit::Configuration, 78),
        ];
        for (exit, number) in numbers {
            assert_eq!(exit as u8, number, "{exit:?}");
        }
    }
}
