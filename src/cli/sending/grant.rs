//! `sledge grant`: credits for a customer.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::connect::SocketArg;
use super::event_text::{GrantBody, GrantText, Number, read_credits};
use super::grant_check::{Checked, check};
use super::grant_once::once_id;
use super::one_event;
use super::one_event::OneEvent;
use crate::cli::config_args::PolarArgs;
use crate::cli::polar::CustomerArgs;
use crate::cli::voice::{Exit, Failure, Voice, command_line};

/// Grants credits to a customer, before any purchase.
///
/// A grant is an event with a negative value on a meter with Sum aggregation: 10 credits on the property units of
/// the event api_usage become units = -10. Where a token lets it (POLAR_ACCESS_TOKEN or --token-file, scope meters:read),
/// the grant is checked first against Polar's meters: one that would change no balance is not sent. With Polar away, or
/// without a token, that is said, and the grant is taken all the same.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge grant 10 --customer user_123 --event api_usage --property units
  sledge grant 2.5 --customer user_123 --event api_usage --property units --id signup-user_123
  sledge grant 5 --customer user_123 --event api_usage --property units --once spring-2026

The id is printed before anything is sent. A grant repeated with the same id counts once: with --once a campaign can be run \
again, and each customer gets its credits once. What Polar took first under an id stays: a repetition with another amount is \
accepted here, and changes nothing there.
Exit codes: 0 accepted and on disk, 1 refused or it would not count, 69 no daemon, 75 repeat it with the same id, \
78 a setting can't be used.")]
pub(in crate::cli) struct GrantArgs {
    /// How many credits: a number above 0
    #[arg(value_name = "CREDITS", value_parser = read_credits, allow_negative_numbers = true)]
    credits: Number,
    #[command(flatten)]
    customer: CustomerArgs,
    /// The event name the meter filters on
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    event: String,
    /// The metadata property the meter sums up
    #[arg(long, value_name = "PROPERTY", value_parser = NonEmptyStringValueParser::new())]
    property: String,
    /// The id that makes repeating this grant safe [default: a new UUID]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// Makes the id of KEY and the customer: run again with the same KEY, each customer is granted once
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "id")]
    once: Option<String>,
    /// Doesn't ask Polar whether a meter counts it
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    socket: SocketArg,
    #[command(flatten)]
    polar: PolarArgs,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
}

impl GrantArgs {
    fn line(&self, id: &str) -> Result<String, Failure> {
        let text = GrantText {
            grant: GrantBody { event: &self.event, property: &self.property, credits: &self.credits },
            external_customer_id: self.customer.customer.as_deref(),
            customer_id: self.customer.customer_id.as_deref(),
            external_id: id,
        };
        serde_json::to_string(&text).map_err(|error| Failure::of(Exit::Io, &error))
    }

    /// The command that means the same grant wherever it is run on this machine.
    fn repeat(&self, id: &str) -> String {
        let socket = self.socket.absolute_path();
        let socket = socket.to_string_lossy();
        let mut words = vec!["sledge", "grant", self.credits.as_str()];
        for (flag, value) in [
            ("--customer", self.customer.customer.as_deref()),
            ("--customer-id", self.customer.customer_id.as_deref()),
            ("--event", Some(self.event.as_str())),
            ("--property", Some(self.property.as_str())),
            ("--id", Some(id)),
            ("--socket", Some(socket.as_ref())),
        ] {
            words.extend(value.into_iter().flat_map(|value| [flag, value]));
        }
        words.extend(self.no_check.then_some("--no-check"));
        command_line(words)
    }

    fn id(&self) -> String {
        let once = self.once.as_deref().map(|key| once_id(key, &self.customer.key()));
        self.id.clone().or(once).unwrap_or_else(one_event::new_id)
    }

    /// Refuses a grant that would change no balance.
    async fn check(&self, voice: &mut Voice) -> Result<(), Failure> {
        match check(&self.polar, &self.event, &self.property).await {
            Checked::Counts => Ok(()),
            Checked::NotKnown(reason) => {
                voice.note(&format!("not checked whether a meter counts it: {reason}"));
                Ok(())
            }
            Checked::DoesNot(problem) => Err(Failure::new(
                Exit::Finding,
                format!(
                    "not granted, for it would change no balance: {problem}\nor add --no-check to grant it all the same"
                ),
            )),
        }
    }
}

/// `1 credit`, `2.5 credits`.
fn credits(number: &Number) -> String {
    let number = number.as_str();
    format!("{number} credit{}", if number == "1" { "" } else { "s" })
}

pub(in crate::cli) async fn grant(args: GrantArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let id = args.id();
    voice.note(&format!("grant {id}"));
    if !args.no_check {
        args.check(voice).await?;
    }
    let mut client = args.socket.connect().await?;
    let accepted = format!(
        "accepted: {} ({} of {}) for {}, id {id}",
        credits(&args.credits),
        args.property,
        args.event,
        args.customer.as_typed()
    );
    let one = OneEvent {
        line: args.line(&id)?,
        accepted,
        repeat: args.repeat(&id),
        json: args.json,
        external_id: &id,
    };
    let exit = one.hand_over(&mut client, voice).await?;
    if args.once.is_some() && exit == Exit::Ok {
        // Only Polar knows whether it has been.
        voice.note("if it was granted with this key before, Polar keeps the first amount");
    }
    Ok(exit)
}
