//! Every connection takes a file descriptor, and so does every file of the journal.

use super::config::Config;

/// What the journal, Polar, forwarded requests and the admin address may need together, and more.
const SPARE: u64 = 256;

impl Config {
    /// How many descriptors connections at their limits and everything else may take.
    #[must_use]
    pub fn descriptors_needed(&self) -> u64 {
        SPARE.saturating_add(self.connections_most())
    }

    /// What is wrong with a process that may have so many descriptors, and what to do; `None` where they are enough.
    #[must_use]
    pub fn too_few_descriptors(&self, limit: u64) -> Option<String> {
        let needed = self.descriptors_needed();
        if needed <= limit {
            return None;
        }
        let settings = match self.http {
            Some(_) => "intake.connections_max and intake.http_connections_max together",
            None => "intake.connections_max",
        };
        let lower = match limit.saturating_sub(SPARE) {
            0 => String::new(),
            most => format!(", or lower {settings} to {most}"),
        };
        Some(format!(
            "connections may take all of the {limit} files that may be open at once, and the journal stops when it finds none; raise the limit of open files (LimitNOFILE= in a unit, ulimit -n in a shell) to {needed}{lower}"
        ))
    }

    fn connections_most(&self) -> u64 {
        let http = self.http.map_or(0, |_| self.intake.http_connections_max);
        u64::try_from(self.intake.connections_max.saturating_add(http)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RawConfig, Surroundings};

    fn config(http: Option<&str>) -> Config {
        let raw = RawConfig::default().with_flag("polar_url", "http://127.0.0.1:9");
        let raw = http.into_iter().fold(raw, |raw, address| raw.with_flag("http", address));
        Config::new(raw, &Surroundings::made_up(&[], &[], true)).unwrap()
    }

    #[test]
    fn connections_at_their_limits_leave_the_journal_descriptors() {
        let (socket_alone, both) = (config(None), config(Some("127.0.0.1:0")));
        assert_eq!(both.too_few_descriptors(1_024), None, "it is what every system lets a process have");
        let told = both.too_few_descriptors(1_023).unwrap();
        assert!(told.contains("to 1024, or lower") && told.ends_with("together to 767"), "{told}");
        assert_eq!(socket_alone.too_few_descriptors(640), None);
        let told = socket_alone.too_few_descriptors(200).unwrap();
        assert!(told.ends_with("to 640"), "no connection at all is no advice: {told}");
    }

    #[test]
    fn limits_that_no_number_holds_are_too_many() {
        let mut config = config(Some("127.0.0.1:0"));
        config.intake.connections_max = usize::MAX;
        assert!(config.too_few_descriptors(4_096).is_some());
    }
}
