//! `sledge polar customer`: making and showing customers.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::polar::CustomerArgs;
use crate::cli::config_args::PolarArgs;
use crate::cli::voice::{Exit, Failure, Voice};
use crate::polar::{Api, ApiError, Customer, CustomerKey, NewCustomer};

/// Makes and shows customers.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge polar customer create --email user@example.com --external-id user_123
  sledge polar customer show --customer user_123")]
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
///
/// Where one with this external id and address is there, it is shown and none is made, so that the command can be repeated.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge polar customer create --email user@example.com --name John --external-id user_123

The token needs the scope customers:write, and customers:read to find one that is there already.
In the dashboard: Customers, then the plus sign.
Exit codes: 0 it is there, 1 Polar refused it, 69 Polar is away, 75 try again, 78 the token can't do it.")]
struct CreateArgs {
    /// The address; Polar refuses one that mail can't be sent to
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// The name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The id your application knows it by; it can't be changed later
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
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

pub(in crate::cli) async fn customer(command: CustomerCommand, voice: &mut Voice) -> Result<Exit, Failure> {
    let (customer, json) = match command.verb {
        Verb::Create(CreateArgs { email, name, external_id, json, polar }) => {
            (create(&polar.api()?, NewCustomer { email, name, external_id }, voice).await?, json)
        }
        Verb::Show(ShowArgs { customer, json, polar }) => {
            let found = polar.api()?.customer(&customer.key()).await;
            (found.map_err(|error| unknown(error, customer.as_typed()))?, json)
        }
    };
    if json {
        voice.say_json(&customer)?
    } else {
        voice.say(&in_words(&customer))?
    }
    Ok(Exit::Ok)
}

async fn create(api: &Api, new: NewCustomer, voice: &mut Voice) -> Result<Customer, Failure> {
    let refused = match api.create_customer(&new).await {
        Err(refused @ ApiError::Refused(_)) => refused,
        made => return Ok(made?),
    };
    // Polar's words say that an address or an id is taken, and not by whom.
    let Some(id) = new.external_id else { return Err(refused.into()) };
    match api.customer(&CustomerKey::External(id.clone())).await {
        Ok(there) if there.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(&new.email)) => {
            voice.note("it is there already, and none was made");
            Ok(there)
        }
        Ok(_) => Err(Failure::new(
            Exit::Finding,
            format!(
                "{refused}\nthe external id {id} is that of a customer with another address; see it: sledge polar customer show --customer {id}"
            ),
        )),
        Err(_) => Err(refused.into()),
    }
}

/// What to tell of a customer that Polar does not know.
pub(in crate::cli) fn unknown(error: ApiError, customer: &str) -> Failure {
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
