//! What is wrong, why that matters, and what to do.

use serde::{Serialize, Serializer};

/// Something a person should mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which of all there can be; it never changes its name.
    pub code: Code,
    /// What was seen.
    pub seen: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub fix: String,
}

impl Finding {
    pub(super) fn new(code: Code, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, seen: seen.into(), why: code.why(), fix: fix.into() }
    }
}

macro_rules! codes {
    ($($name:ident, $text:literal, $meaning:literal, $why:literal;)*) => {
        /// Everything that can be found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All of them, in the order of the page that tells of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name: an interface.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it means.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }

            fn why(self) -> &'static str {
                match self {
                    $(Self::$name => $why,)*
                }
            }
        }
    };
}

codes! {
    DevEnded, "dev_ended", "The variables that are set are those of a `sledge dev` that has ended.",
        "every command here means a sledge and a Polar that are gone";
    ConfigInvalid, "config_invalid", "A setting can't be used, or contradicts another.",
        "sledge does not start, or keeps what it had, with such a configuration";
    TokenMissing, "token_missing", "There is no token, or its file can't be read.",
        "until that is mended sledge delivers nothing: it only keeps what it takes";
    TokenMalformed, "token_malformed", "What is given as the token can't be one: it stands as `NAME=value`, in quotes, or among other words.",
        "until that is mended sledge delivers nothing: it only keeps what it takes";
    TokenOnlyInMemory, "token_only_in_memory", "The daemon has a token, and the file it would be read from holds none now.",
        "started again, sledge delivers nothing: it only keeps what it takes";
    TokenReadableByOthers, "token_readable_by_others", "The token's file can be read by other users of the machine.",
        "whoever has the token can write to your bills";
    TokenUnknown, "token_unknown", "Polar answers 401: the token is wrong, expired or revoked.",
        "until that is mended sledge delivers nothing: it only keeps what it takes";
    TokenOfOtherEnvironment, "token_of_other_environment", "The token is good at another Polar than events go to: sandbox and production were mixed up.",
        "until that is mended sledge delivers nothing: it only keeps what it takes";
    ScopeMissing, "scope_missing", "Polar answers 403: the token lacks the scope events:write.",
        "until that is mended sledge delivers nothing: it only keeps what it takes";
    TokenOfAnotherOrganization, "token_of_another_organization", "The daemon's token is of another organization than the one that is meant.",
        "usage and credits land in the wrong organization, and Polar can't move them";
    ForeignTokenInUse, "foreign_token_in_use", "Applications send a token of Polar that is not the daemon's.",
        "if theirs is of another organization, what they send lands in the wrong one";
    ClockSkewed, "clock_skewed", "This machine's clock is off from Polar's by more than two seconds.",
        "Polar refuses what is stamped later than its own clock, and counts the rest at the wrong time";
    PolarVersionUnknown, "polar_version_unknown", "Polar does not know the version that polar.version names.",
        "Polar answers 404 to everything; until that is mended sledge only keeps what it takes";
    PolarAddressWrong, "polar_address_wrong", "What is at polar_url does not serve Polar's API.",
        "until that is mended sledge delivers nothing: it only keeps what it takes";
    ProxyInTheWay, "proxy_in_the_way", "Something else answers in Polar's place: a proxy, a login page, a redirect.",
        "an answer that is not Polar's proves nothing; until that is mended sledge only keeps what it takes";
    PolarOfDev, "polar_of_dev", "Events go to the Polar in memory of a `sledge dev`.",
        "it ends with that `dev`, and nobody is billed for what it was sent";
    PolarUnreachable, "polar_unreachable", "There is no answer from Polar, or only errors.",
        "sledge keeps events until it is back; their lag grows, and Polar bills by arrival";
    BudgetUsedByOthers, "budget_used_by_others", "Polar's rate limit is used up, and not by this daemon.",
        "the limit is shared by everything your organization does; what is left carries fewer events";
    EventOnNoMeter, "event_on_no_meter", "No meter takes events of this name.",
        "Polar stores them, and no balance or bill changes";
    MeterNotSum, "meter_not_sum", "Credits were sent to a meter that is no Sum.",
        "only a Sum takes a negative value for credits; the balance does not change";
    CreditsOnOtherProperty, "credits_on_other_property", "Credits were sent on a property that the meter does not sum up.",
        "the balance does not change";
    ValueSentAsText, "value_sent_as_text", "A number that a meter sums up was sent as text.",
        "Polar takes it, and never counts it";
    SocketNotAllowed, "socket_not_allowed", "The user in question may not use the socket.",
        "its applications can't send events";
    SocketStale, "socket_stale", "The socket's file is there, and nobody answers.",
        "applications that send get an error at once; sledge takes the file over when it starts";
    SocketMissing, "socket_missing", "A daemon runs, and the file of its socket is gone.",
        "applications can't send events until it is restarted";
    TwoDaemons, "two_daemons", "Socket, data folder and admin address are not of one daemon.",
        "events go into one journal while another is looked at";
    JournalInMemory, "journal_in_memory", "The journal lies in memory.",
        "what is acknowledged is gone with a restart of the machine, a sync notwithstanding";
    JournalInEmptyDir, "journal_in_empty_dir", "The journal lies in a Kubernetes emptyDir.",
        "what is acknowledged is deleted with the pod";
    JournalInContainer, "journal_in_container", "The journal lies in a container's own layer.",
        "what is acknowledged is deleted with the container";
    DiskLow, "disk_low", "The disk has less free than sledge leaves free.",
        "new events are refused with journal_full";
    SyncSlow, "sync_slow", "A sync of the journal's disk takes long.",
        "every acknowledgement waits for one";
    TooFewDescriptors, "too_few_descriptors", "Connections may take every file descriptor that sledge may have.",
        "the journal stops when it finds none, and sledge with it";
    DeliveryHeld, "delivery_held", "Delivery is held for a reason that only a person can mend.",
        "until that is mended sledge delivers nothing: it only keeps what it takes";
    PartInTrouble, "part_in_trouble", "A part of the daemon is degraded or not ready.",
        "what it is for does not work as it should";
    Lagging, "lagging", "The oldest event has waited for more than five minutes.",
        "Polar puts an event on the invoice of the period in which it arrives";
    JournalNearlyFull, "journal_nearly_full", "The journal is over 80 % full.",
        "at its limit new events are refused";
    JournalFull, "journal_full", "The journal has no room: its limit is reached, or the disk's.",
        "new events are refused with journal_full until there is room";
    JournalDamaged, "journal_damaged", "Damage was found in the journal, or damaged volumes were put aside.",
        "a disk that damages files will do it again";
    PendingWithoutDaemon, "pending_without_daemon", "Events wait in the journal, and no sledge runs.",
        "nobody delivers them";
    DeadLettersWaiting, "dead_letters_waiting", "Events that will not reach Polar by themselves are kept.",
        "they are revenue until somebody decides about them";
}

impl Code {
    /// Whether it is about the token that Polar was asked with.
    pub(super) fn is_about_the_token(self) -> bool {
        matches!(self, Self::TokenUnknown | Self::TokenOfOtherEnvironment | Self::ScopeMissing)
    }

    /// Whether a sledge that is started as it is would not start, or would lose events or have them land where they can't be
    /// taken back. With all else it keeps events until that is mended.
    pub(super) fn is_mended_before_a_start(self) -> bool {
        self.is_about_what_stays()
            || matches!(
                self,
                Self::ConfigInvalid
                    | Self::TokenMissing
                    | Self::TokenMalformed
                    | Self::TokenOfAnotherOrganization
                    | Self::PolarOfDev
                    | Self::DiskLow
            )
    }

    /// Whether it is that the journal does not outlive something.
    pub(super) fn is_about_what_stays(self) -> bool {
        matches!(self, Self::JournalInMemory | Self::JournalInEmptyDir | Self::JournalInContainer)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_of_every_code_in_its_words_and_of_no_other() {
        let page = include_str!("../../docs/doctor.md");
        let rows: Vec<&str> =
            page.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `--")).collect();
        let expected: Vec<String> =
            Code::ALL.iter().map(|code| format!("| `{}` | {} |", code.as_str(), code.meaning())).collect();
        assert_eq!(rows, expected);
    }
}
