//! `sledge grant`: credits for a customer.

use clap::Args;

use super::connect::SocketArg;
use super::event_text::{GrantBody, GrantText, Number, read_credits};
use super::exit::Exit;
use super::failure::Failure;
use super::one_event::{self, OneEvent};
use super::quote::command_line;
use super::voice::Voice;

/// Grants credits to a customer, before any purchase.
///
/// A grant is an event with a negative value on a meter with Sum aggregation: 10 credits on the property units of
/// the event api_usage become units = -10.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge grant 10 --customer user_123 --event api_usage --property units
  sledge grant 2.5 --customer user_123 --event api_usage --property units --id signup-user_123

The id is printed before anything is sent. A grant repeated with the same id counts once.
Exit codes: 0 accepted and on disk, 1 refused, 69 no daemon, 75 repeat it with the same id.")]
pub(super) struct GrantArgs {
    /// How many credits: a number above 0
    #[arg(value_name = "CREDITS", value_parser = read_credits, allow_negative_numbers = true)]
    credits: Number,
    /// The customer, by the id your application knows it by (external_customer_id)
    #[arg(long, value_name = "ID", required_unless_present = "customer_id")]
    customer: Option<String>,
    /// The customer, by Polar's own id (customer_id)
    #[arg(long, value_name = "UUID", conflicts_with = "customer")]
    customer_id: Option<String>,
    /// The event name the meter filters on
    #[arg(long, value_name = "NAME")]
    event: String,
    /// The metadata property the meter sums up
    #[arg(long, value_name = "PROPERTY")]
    property: String,
    /// The id that makes repeating this grant safe [default: a new UUID]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
}

impl GrantArgs {
    fn line(&self, id: &str) -> Result<String, Failure> {
        let text = GrantText {
            grant: GrantBody { event: &self.event, property: &self.property, credits: &self.credits },
            external_customer_id: self.customer.as_deref(),
            customer_id: self.customer_id.as_deref(),
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
            ("--customer", self.customer.as_deref()),
            ("--customer-id", self.customer_id.as_deref()),
            ("--event", Some(self.event.as_str())),
            ("--property", Some(self.property.as_str())),
            ("--id", Some(id)),
            ("--socket", Some(socket.as_ref())),
        ] {
            words.extend(value.into_iter().flat_map(|value| [flag, value]));
        }
        command_line(words)
    }

    fn customer(&self) -> &str {
        self.customer.as_deref().or(self.customer_id.as_deref()).unwrap_or_default()
    }
}

pub(super) async fn grant(args: GrantArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let id = args.id.clone().unwrap_or_else(one_event::new_id);
    voice.note(&format!("grant {id}"));
    let mut client = args.socket.connect().await?;
    let accepted = format!(
        "accepted: {} credits ({} of {}) for {}, id {id}",
        args.credits.as_str(),
        args.property,
        args.event,
        args.customer()
    );
    let one = OneEvent {
        line: args.line(&id)?,
        accepted,
        repeat: args.repeat(&id),
        json: args.json,
        external_id: &id,
    };
    one.hand_over(&mut client, voice).await
}
