//! Every option there is, for the documentation's test.

use clap::CommandFactory;

use super::cli::Cli;

/// One option of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionEntry {
    /// The command, such as `run`.
    pub command: String,
    /// The flag, such as `--data-dir`.
    pub flag: String,
    /// Its variable, such as `SLEDGE_DATA_DIR`.
    pub variable: Option<String>,
    /// What its value is called, such as `DIR`; `None` for a switch.
    pub value: Option<String>,
    /// What its help says.
    pub help: String,
}

/// Every option of every command, in the order of the help.
#[must_use]
pub fn options() -> Vec<OptionEntry> {
    let cli = Cli::command();
    cli.get_subcommands()
        .flat_map(|command| command.get_arguments().filter_map(|arg| entry(command.get_name(), arg)))
        .collect()
}

fn entry(command: &str, arg: &clap::Arg) -> Option<OptionEntry> {
    let flag = format!("--{}", arg.get_long()?);
    let takes_value = arg.get_action().takes_values();
    let value = arg.get_value_names().and_then(|names| names.first()).filter(|_| takes_value);
    Some(OptionEntry {
        command: command.to_owned(),
        flag,
        variable: arg.get_env().map(|name| name.to_string_lossy().into_owned()),
        value: value.map(ToString::to_string),
        help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/options.md");

    /// The part of the page about one command.
    fn section<'a>(command: &str) -> &'a str {
        let start = PAGE
            .find(&format!("\n## `sledge {command}`"))
            .unwrap_or_else(|| panic!("no section on {command}"));
        let section = &PAGE[start + 1..];
        section.find("\n## ").map_or(section, |end| &section[..end])
    }

    #[test]
    fn every_option_is_on_the_page_with_its_variable() {
        for OptionEntry { command, flag, variable, .. } in options() {
            let row = section(&command).lines().find(|line| line.starts_with(&format!("| `{flag}")));
            let row = row.unwrap_or_else(|| panic!("docs/options.md has no row for sledge {command} {flag}"));
            if let Some(variable) = variable {
                assert!(row.contains(&format!("`{variable}`")), "{row} lacks {variable}");
            }
        }
    }

    #[test]
    fn every_row_of_the_page_is_an_option() {
        let known = options();
        for command in ["run", "dev", "simulate", "send", "grant", "status"] {
            for row in section(command).lines().filter_map(|line| line.strip_prefix("| `--")) {
                let flag = format!("--{}", row.split(['`', ' ']).next().unwrap());
                let is_known = known.iter().any(|option| option.command == command && option.flag == flag);
                assert!(is_known, "docs/options.md tells of sledge {command} {flag}, which there is not");
            }
        }
    }
}
