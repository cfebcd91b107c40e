//! Every option there is, for the documentation's test.

use clap::CommandFactory;

use super::cli::Cli;

/// One option of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionEntry {
    /// The command, such as `run` or `config check`.
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
    let mut found = Vec::new();
    collect(&Cli::command(), "", &mut found);
    found
}

fn collect(parent: &clap::Command, path: &str, found: &mut Vec<OptionEntry>) {
    for command in parent.get_subcommands() {
        let path = format!("{path} {}", command.get_name()).trim_start().to_owned();
        found.extend(command.get_arguments().filter_map(|arg| entry(&path, arg)));
        collect(command, &path, found);
    }
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

    /// The part of the page about one command, and the tables that it shares with others and leads to.
    fn tables_of(command: &str) -> String {
        let own = section(command);
        let shared = PAGE.split("\n### ").skip(1).filter(|part| {
            let anchor = part.lines().next().unwrap_or_default().to_lowercase().replace(' ', "-");
            own.contains(&format!("](#{anchor})"))
        });
        std::iter::once(own).chain(shared.map(|part| part.split("\n## ").next().unwrap_or(part))).collect()
    }

    /// What looks at the configuration takes every flag of `sledge run`; the page says so in one sentence.
    fn told_of_their_own() -> Vec<OptionEntry> {
        let of_run: Vec<String> = options()
            .into_iter()
            .filter(|option| option.command == "run")
            .map(|option| option.flag)
            .collect();
        let is_runs = |option: &OptionEntry| {
            (option.command.starts_with("config ") || option.command == "doctor")
                && of_run.contains(&option.flag)
        };
        options().into_iter().filter(|option| !is_runs(option)).collect()
    }

    #[test]
    fn what_looks_at_the_configuration_takes_the_flags_of_run() {
        for command in ["config check", "config show", "doctor"] {
            assert!(section(command).contains("every option of `sledge run`"), "{command}");
            for run in options().into_iter().filter(|option| option.command == "run") {
                let is_taken = |option: &OptionEntry| option.command == command && option.flag == run.flag;
                assert!(options().iter().any(is_taken), "sledge {command} lacks {}", run.flag);
            }
        }
    }

    #[test]
    fn every_option_is_on_the_page_with_its_variable() {
        for OptionEntry { command, flag, variable, .. } in told_of_their_own() {
            let tables = tables_of(&command);
            let row = tables.lines().find(|line| line.starts_with(&format!("| `{flag}")));
            let row = row.unwrap_or_else(|| panic!("docs/options.md has no row for sledge {command} {flag}"));
            if let Some(variable) = variable {
                assert!(row.contains(&format!("`{variable}`")), "{row} lacks {variable}");
            }
        }
    }

    #[test]
    fn every_row_of_the_page_is_an_option() {
        let known = options();
        let commands = PAGE.lines().filter_map(|line| line.strip_prefix("## `sledge ")?.strip_suffix('`'));
        for command in commands {
            for row in tables_of(command).lines().filter_map(|line| line.strip_prefix("| `--")) {
                let flag = format!("--{}", row.split(['`', ' ']).next().unwrap());
                let is_known = known.iter().any(|option| option.command == command && option.flag == flag);
                assert!(is_known, "docs/options.md tells of sledge {command} {flag}, which there is not");
            }
        }
    }
}
