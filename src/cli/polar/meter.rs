//! `sledge polar meter`: making and listing meters.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::config_args::PolarArgs;
use crate::cli::voice::{Exit, Failure, Tone, Voice};
use crate::polar::{GrantCheck, Meter, Meters, NewMeter};

/// Makes and lists meters.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge polar meter create Calls --event api_usage --property units
  sledge polar meter list")]
pub(super) struct MeterCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(CreateArgs),
    List(ListArgs),
}

/// Makes a meter that credits can be granted on: the Sum of a property over the events of a name.
///
/// Where one is there that sums the same property of the same events, it is shown and none is made, so that the command can
/// be repeated.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge polar meter create Calls --event api_usage --property units
  sledge polar meter create Tokens --event llm_call --property tokens --environment sandbox

The token needs the scope meters:write.
In the dashboard: Meters, Create Meter; filter: name equals api_usage; aggregation: Sum over units.
Exit codes: 0 it is there, 1 Polar refused it, 69 Polar is away, 75 try again, 78 the token can't do it.")]
struct CreateArgs {
    /// The meter's name, of three characters or more; it is shown on invoices
    #[arg(value_name = "NAME")]
    name: String,
    /// The name of the events it counts
    #[arg(long, value_name = "NAME")]
    event: String,
    /// The metadata property it sums up
    #[arg(long, value_name = "PROPERTY")]
    property: String,
    /// Print the meter as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    polar: PolarArgs,
}

/// Lists the meters with what each counts.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge polar meter list
  sledge polar meter list --json | jq -r .name

The token needs the scope meters:read. Archived meters are left out.
Exit codes: 0 listed, 69 Polar is away, 75 try again, 78 the token can't do it.")]
struct ListArgs {
    /// Print one JSON object on each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    polar: PolarArgs,
}

pub(super) async fn meter(command: MeterCommand, voice: &mut Voice) -> Result<Exit, Failure> {
    match command.verb {
        Verb::Create(args) => create(args, voice).await,
        Verb::List(args) => list(args, voice).await,
    }
}

async fn create(args: CreateArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let api = args.polar.api()?;
    let Meters { meters, .. } = api.meters().await?;
    let there = match GrantCheck::of(&meters, &args.event, &args.property) {
        GrantCheck::Counts(counting) => counting.first().copied(),
        GrantCheck::OtherProperty(_)
        | GrantCheck::NotSum(_)
        | GrantCheck::Unclear(..)
        | GrantCheck::NoMeter => None,
    };
    let (meter, done) = match there {
        Some(meter) => (meter.clone(), "is there already"),
        None => {
            let new = NewMeter::sum(&args.name, &args.event, &args.property);
            (api.create_meter(&new).await?, "made")
        }
    };
    if args.json {
        voice.say_json(&shown(&meter))?;
    } else {
        voice.say(&format!("{done}: {}", in_words(&meter)))?;
    }
    Ok(Exit::Ok)
}

async fn list(args: ListArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let Meters { meters, are_all } = args.polar.api()?.meters().await?;
    for meter in &meters {
        if args.json { voice.say_json(&shown(meter))? } else { voice.say(&in_words(meter))? }
    }
    if meters.is_empty() && !args.json {
        let none = "no meters; make one: sledge polar meter create NAME --event NAME --property PROPERTY";
        let line = voice.toned(Tone::Quiet, none);
        voice.say(&line)?;
    }
    if !are_all {
        voice.note(&format!("only the first {} are shown", meters.len()));
    }
    Ok(Exit::Ok)
}

/// `API Calls: sum of units where name = "api_usage" (id)`.
pub(in crate::cli) fn in_words(meter: &Meter) -> String {
    format!("{}: {} where {} ({})", meter.name, meter.aggregation, meter.filter, meter.id)
}

fn shown(meter: &Meter) -> Value {
    json!({
        "id": meter.id,
        "name": meter.name,
        "filter": meter.filter,
        "aggregation": meter.aggregation,
        "counts": format!("{} where {}", meter.aggregation, meter.filter),
    })
}
