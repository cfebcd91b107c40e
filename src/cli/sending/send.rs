//! `sledge send`: events from the command line or from standard input.

use std::io::{self, IsTerminal};
use std::path::Path;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::connect::SocketArg;
use super::event_text::{EventText, MetadataEntry, read_metadata, read_metadata_text};
use super::one_event::OneEvent;
use super::{one_event, stdin_events};
use crate::cli::voice::{Exit, Failure, Voice, command_line};

/// How files of events are called.
const ENDINGS_OF_FILES: [&str; 3] = ["ndjson", "jsonl", "json"];

/// Sends events to the daemon and waits until they are on disk.
///
/// With a NAME, one event made of the arguments. Without, events (or grants) from standard input, one JSON object on
/// each line, as Polar takes them.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge send api_usage --customer user_123 --meta units=3
  sledge send api_usage --customer user_123 --meta units=0.5 --meta model=small --id call-81
  sledge send < events.ndjson

Values of --meta are numbers, true or false where they look it, else text.
A line without an external_id gets one from the daemon, so sending a file again counts it again:
give each line an external_id to make that safe.
Exit codes: 0 all accepted and on disk, 1 some refused, 64 a line is too long to be one, 69 no daemon, \
74 standard input can't be read, 75 try again.")]
pub(in crate::cli) struct SendArgs {
    /// The event's name; without it events are read from standard input
    #[arg(value_name = "NAME", value_parser = read_name, requires = "to")]
    name: Option<String>,
    /// The customer, by the id your application knows it by (external_customer_id)
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new(), group = "to", requires = "name")]
    customer: Option<String>,
    /// The customer, by Polar's own id (customer_id)
    #[arg(long, value_name = "UUID", value_parser = NonEmptyStringValueParser::new(), group = "to", requires = "name")]
    customer_id: Option<String>,
    /// Metadata: a number, true or false where VALUE is one, else text; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = read_metadata, requires = "name")]
    meta: Vec<MetadataEntry>,
    /// Metadata that is text whatever it looks like; may be repeated
    #[arg(long, value_name = "KEY=TEXT", value_parser = read_metadata_text, requires = "name")]
    meta_text: Vec<MetadataEntry>,
    /// The id that makes repeating this event safe [default: a new UUID]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new(), requires = "name")]
    id: Option<String>,
    /// When it happened, as RFC 3339 with a zone [default: now]
    #[arg(long, value_name = "TIME", requires = "name")]
    timestamp: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
    /// Print answers as JSON, one object on each line
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn send(mut args: SendArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let Some(name) = args.name.take() else {
        let client = args.socket.connect().await?;
        if io::stdin().is_terminal() {
            voice.note("what is typed here is sent, one event on each line, until Ctrl-D; a file of events: sledge send < FILE");
        }
        return stdin_events::send_all(client, args.json, voice).await;
    };
    let mut metadata = std::mem::take(&mut args.meta);
    metadata.append(&mut args.meta_text);
    check_keys(&metadata)?;
    let id = args.id.clone().unwrap_or_else(one_event::new_id);
    let event = EventText {
        name: &name,
        external_customer_id: args.customer.as_deref(),
        customer_id: args.customer_id.as_deref(),
        external_id: &id,
        timestamp: args.timestamp.as_deref(),
        metadata: &metadata,
    };
    let line = serde_json::to_string(&event).map_err(|error| Failure::of(Exit::Io, &error))?;
    let repeat = repeat(&event, &args.socket.absolute_path().to_string_lossy());
    let mut client = args.socket.connect().await?;
    let one =
        OneEvent { line, accepted: format!("accepted {id}"), repeat, json: args.json, external_id: &id };
    one.hand_over(&mut client, voice).await
}

/// A path here is of a file that was to be sent: an event of that name would be another charge. A single word is a name
/// wherever it stands, also beside a file that happens to be called so.
fn read_name(text: &str) -> Result<String, String> {
    let path = Path::new(text);
    let is_word = !text.contains(['/', '.']);
    let is_called_so = path.extension().is_some_and(|it| ENDINGS_OF_FILES.iter().any(|ending| it == *ending));
    if text.is_empty() {
        return Err("a name is needed; leave it out to send what comes on standard input".to_owned());
    }
    if is_word || !(is_called_so || path.is_file()) {
        return Ok(text.to_owned());
    }
    let (file, line) = (command_line([text]), r#"{"name":…}"#);
    Err(format!(
        "this is a file's name; send what is in it with `sledge send < {file}`, and an event that is called so as a line, \
         with `echo '{line}' | sledge send`"
    ))
}

fn check_keys(metadata: &[MetadataEntry]) -> Result<(), Failure> {
    let mut keys: Vec<&str> = metadata.iter().map(MetadataEntry::key).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
        Some(twice) => Err(Failure::new(
            Exit::Usage,
            format!("the metadata key {twice:?} is given twice; give each key once"),
        )),
        None => Ok(()),
    }
}

/// The command that sends the same event with the same id.
fn repeat(event: &EventText<'_>, socket: &str) -> String {
    let typed: Vec<(&str, String)> = event.metadata.iter().map(MetadataEntry::as_typed).collect();
    let mut words = vec!["sledge", "send", event.name];
    let metadata = typed.iter().map(|(flag, pair)| (*flag, Some(pair.as_str())));
    for (flag, value) in [("--customer", event.external_customer_id), ("--customer-id", event.customer_id)]
        .into_iter()
        .chain(metadata)
        .chain([
            ("--id", Some(event.external_id)),
            ("--timestamp", event.timestamp),
            ("--socket", Some(socket)),
        ])
    {
        words.extend(value.into_iter().flat_map(|value| [flag, value]));
    }
    command_line(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repeated_command_is_the_same_event() {
        let metadata = [
            read_metadata("units=3").unwrap(),
            read_metadata_text("code=007").unwrap(),
            read_metadata("note=a b").unwrap(),
        ];
        let event = EventText {
            name: "api_usage",
            external_customer_id: Some("user_123"),
            customer_id: None,
            external_id: "call-81",
            timestamp: None,
            metadata: &metadata,
        };
        assert_eq!(
            repeat(&event, "/run/sledge/sledge.sock"),
            "sledge send api_usage --customer user_123 --meta units=3 --meta-text code=007 --meta-text 'note=a b' \
             --id call-81 --socket /run/sledge/sledge.sock"
        );
    }

    #[test]
    fn a_file_of_events_is_not_sent_as_one_event_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("monday's usage");
        std::fs::write(&there, "").unwrap();
        for file in [there.to_str().unwrap(), "events.ndjson", "./gone/events.jsonl", "EVENTS.json"] {
            let told = read_name(file).unwrap_err();
            assert!(told.contains(&format!("sledge send < {}", command_line([file]))), "{told}");
        }
        for name in ["api_usage", "json", "llm.tokens", "a/b", folder.path().to_str().unwrap()] {
            assert_eq!(read_name(name).as_deref(), Ok(name));
        }
        assert!(read_name("").is_err());
    }

    #[test]
    fn a_key_given_twice_is_not_silently_dropped() {
        let metadata = [read_metadata("units=3").unwrap(), read_metadata_text("units=4").unwrap()];
        let failure = check_keys(&metadata).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(check_keys(&metadata[..1]).is_ok());
    }
}
