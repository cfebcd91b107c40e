//! `sledge polar`: the few things beside events that credits need of Polar, with the caller's own token.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::customer::{CustomerCommand, customer};
use super::meter::{MeterCommand, meter};
use crate::cli::config_args::PolarArgs;
use crate::cli::voice::{Exit, Failure, Voice};
use crate::polar::{Api, ApiError, CustomerKey};

/// A person waits for the answer, so a Polar that is slower than this counts as away.
const PATIENCE: Duration = Duration::from_secs(15);

/// Makes and shows the meters and customers that credits need, at Polar itself.
///
/// It uses your token, not the daemon's: POLAR_ACCESS_TOKEN or --token-file, with the scope that each command names. All of
/// it can be done in Polar's dashboard just as well.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge polar meter create Calls --event api_usage --property units
  sledge polar customer create --email user@example.com --external-id user_123
  sledge polar meter list --environment sandbox")]
pub(in crate::cli) struct PolarCommand {
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    Meter(MeterCommand),
    Customer(CustomerCommand),
}

pub(in crate::cli) async fn polar(command: PolarCommand, voice: &mut Voice) -> Result<Exit, Failure> {
    match command.noun {
        Noun::Meter(command) => meter(command, voice).await,
        Noun::Customer(command) => customer(command, voice).await,
    }
}

impl PolarArgs {
    /// A client of the Polar that is meant.
    pub(in crate::cli) fn api(&self) -> Result<Api, Failure> {
        self.api_within(PATIENCE)
    }

    /// The same for whoever can't wait as long.
    pub(in crate::cli) fn api_within(&self, patience: Duration) -> Result<Api, Failure> {
        let mut settings = self.sources.polar()?;
        settings.request_timeout = settings.request_timeout.min(patience);
        settings.connect_timeout = settings.connect_timeout.min(patience);
        Ok(Api::new(&settings)?)
    }
}

/// Which customer is meant.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct CustomerArgs {
    /// The customer, by the id your application knows it by (external_id)
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(in crate::cli) customer: Option<String>,
    /// The customer, by Polar's own id
    #[arg(long, value_name = "UUID", value_parser = NonEmptyStringValueParser::new())]
    pub(in crate::cli) customer_id: Option<String>,
}

impl CustomerArgs {
    pub(in crate::cli) fn key(&self) -> CustomerKey {
        match (&self.customer, &self.customer_id) {
            (Some(id), _) => CustomerKey::External(id.clone()),
            (None, id) => CustomerKey::Id(id.clone().unwrap_or_default()),
        }
    }

    /// As it was typed.
    pub(in crate::cli) fn as_typed(&self) -> &str {
        self.customer.as_deref().or(self.customer_id.as_deref()).unwrap_or_default()
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = match &error {
            ApiError::Setup(_)
            | ApiError::NoToken(_)
            | ApiError::Unauthorized(_)
            | ApiError::Forbidden { .. }
            | ApiError::ProxyLogin
            | ApiError::WrongAddress { .. } => Exit::Configuration,
            ApiError::NotFound | ApiError::Refused(_) => Exit::Finding,
            ApiError::RateLimited { .. } | ApiError::Server { .. } => Exit::Temporary,
            ApiError::NotPolar { .. } | ApiError::Unreachable { .. } => Exit::Unavailable,
        };
        Self::of(exit, &error)
    }
}
