//! `sledge polar customer`: making and showing customers.

use clap::{Args, Subcommand};

use super::config_args::PolarArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::polar::{CustomerArgs, json_line};
use super::voice::Voice;
use crate::polar::{ApiError, Customer, NewCustomer};

/// Makes and shows customers.
#[derive(Args, Debug)]
pub(super) struct CustomerCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(CreateArgs),
    Show(ShowArgs),
}

/// Makes a customer, before any purchase.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge polar customer create --email user@example.com --name John --external-id user_123

The token needs the scope customers:write.
In the dashboard: Customers, then the plus sign.
Exit codes: 0 made, 1 Polar refused it, 69 Polar is away, 75 try again, 78 the token can't do it.")]
struct CreateArgs {
    /// The address; Polar refuses one that mail can't be sent to
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// The name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The id your application knows it by; it can't be changed later
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Print the customer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    polar: PolarArgs,
}

/// Shows a customer as Polar has it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge polar customer show --customer user_123
  sledge polar customer show --customer user_123 --json | jq -r .id

The token needs the scope customers:read.
Exit codes: 0 shown, 1 Polar does not know it, 69 Polar is away, 75 try again, 78 the token can't do it.")]
struct ShowArgs {
    #[command(flatten)]
    customer: CustomerArgs,
    /// Print the customer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    polar: PolarArgs,
}

pub(super) async fn customer(command: CustomerCommand, voice: &mut Voice) -> Result<Exit, Failure> {
    let (customer, json) = match command.verb {
        Verb::Create(CreateArgs { email, name, external_id, json, polar }) => {
            let new = NewCustomer { email, name, external_id };
            (polar.api()?.create_customer(&new).await?, json)
        }
        Verb::Show(ShowArgs { customer, json, polar }) => {
            let found = polar.api()?.customer(&customer.key()).await;
            (found.map_err(|error| unknown(error, customer.as_typed()))?, json)
        }
    };
    voice.say(&if json { json_line(&customer)? } else { in_words(&customer) })?;
    Ok(Exit::Ok)
}

/// What to tell of a customer that Polar does not know.
pub(super) fn unknown(error: ApiError, customer: &str) -> Failure {
    match error {
        ApiError::NotFound => Failure::new(
            Exit::Finding,
            format!(
                "Polar knows no customer {customer}; make it: sledge polar customer create --email ADDRESS --external-id {customer}"
            ),
        ),
        other => other.into(),
    }
}

fn in_words(customer: &Customer) -> String {
    let Customer { id, external_id, email, name, created_at, .. } = customer;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    format!(
        "id           {id}\nexternal id  {}\nemail        {}\nname         {}\nmade         {created_at}",
        or_none(external_id),
        or_none(email),
        or_none(name)
    )
}
