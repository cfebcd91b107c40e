//! `sledge doctor`: what is wrong, why it matters, what to do.

use clap::Args;

use super::dev_elsewhere::dev_elsewhere;
use crate::cli::config_args::ConfigArgs;
use crate::cli::voice::{Exit, Failure, Tone, Voice};
use crate::doctor::{Check, Doctor, Report, Wishes};
use crate::polar::BaseUrl;

/// Looks for what is wrong with a set-up, and says what to do about it.
///
/// It looks at the configuration, the token, the socket, the disk, the journal, the daemon (whether it runs or not) and, with
/// the daemon's own token, at Polar; it changes nothing, and sends Polar an empty list of events, which counts nowhere. Run it
/// as the user sledge runs as; where none runs, with the flags and variables it is to run with. With a token in POLAR_ACCESS_TOKEN that may do more
/// (meters:read), meters are looked at too.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge doctor
  sledge doctor --config /etc/sledge/sledge.toml --uid 1000
  sledge doctor --event api_usage --property units
  sledge doctor --json | jq -r '.findings[].code'

Exit codes: 0 nothing found, 1 a finding.")]
pub(in crate::cli) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Whether this user may use the socket
    #[arg(long, value_name = "UID")]
    uid: Option<u32>,
    /// A group of that user, where this machine does not know of it, as for a user of another container; may be repeated
    #[arg(long, value_name = "GID", requires = "uid")]
    gid: Vec<u32>,
    /// Whether credits would count that are granted on events of this name
    #[arg(long, value_name = "NAME", requires = "property")]
    event: Option<String>,
    /// The metadata property of those credits
    #[arg(long, value_name = "PROPERTY", requires = "event")]
    property: Option<String>,
    /// Polar's id of the organization that events should go to
    #[arg(long, value_name = "UUID")]
    organization: Option<String>,
    /// Another Polar at which to try a token that is not known [default: sandbox for production, and the other way round]
    #[arg(long, value_name = "URL", value_parser = read_url)]
    other_polar_url: Option<BaseUrl>,
    /// Print one JSON object: findings, and every check
    #[arg(long)]
    json: bool,
}

fn read_url(text: &str) -> Result<BaseUrl, String> {
    BaseUrl::parse(text).map_err(|error| error.to_string())
}

pub(in crate::cli) async fn doctor(args: DoctorArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let wishes = Wishes {
        uid: args.uid,
        gids: args.gid,
        grant: args.event.zip(args.property),
        organization: args.organization,
        other_polar: args.other_polar_url,
    };
    voice.progress("looking …");
    let names_socket = args.config.sources.names("socket");
    let report = Doctor::new(args.config.sources, wishes).examine().await;
    if args.json {
        voice.say_json(&report)?;
    } else {
        for line in lines(&report, voice) {
            voice.say(&line)?;
        }
    }
    if report.first.is_some() && !names_socket {
        dev_elsewhere().iter().for_each(|told| voice.note(told));
    }
    Ok(if report.findings.is_empty() { Exit::Ok } else { Exit::Finding })
}

fn lines(report: &Report, voice: &Voice) -> Vec<String> {
    let mut lines: Vec<String> = report.first.iter().cloned().collect();
    for finding in &report.findings {
        lines.push(voice.toned(Tone::Bad, &format!("{}: {}", finding.code.as_str(), finding.seen)));
        lines.push(format!("  why: {}", finding.why));
        lines.push(format!("  fix: {}", finding.fix));
    }
    let found = match report.findings.len() {
        0 => voice.toned(Tone::Good, "nothing found"),
        1 => "1 finding".to_owned(),
        several => format!("{several} findings"),
    };
    let why = |check: &Check| Some(format!("{} ({})", check.check, check.not_made.as_ref()?));
    let not_made: Vec<String> = report.checks.iter().filter_map(why).collect();
    let rest = match not_made.len() {
        0 => String::new(),
        left => format!(", {left} could not be made: {}", not_made.join(", ")),
    };
    let made = match report.checks.len() - not_made.len() {
        1 => "1 check".to_owned(),
        several => format!("{several} checks"),
    };
    lines.push(format!("{found}; {made}{rest}"));
    lines
}
