//! The annotated file and the page on configuration are written from the table of settings, and compared with it here.
//! After a change of the table: `SLEDGE_BLESS=1 cargo test --lib config::documents`.

use std::fmt::Write as _;
use std::path::Path;

use super::*;

const PAGE_BEGINS: &str =
    "<!-- from here on written from the table of settings: see src/config/documents.rs -->\n";
const WIDTH: usize = 110;

fn defaults() -> Config {
    let token = [("POLAR_ACCESS_TOKEN", "polar_oat_x")];
    Config::new(RawConfig::default(), &Surroundings::made_up(&token, &[], true)).unwrap()
}

/// The default as the file would have it, and in words where it needs some.
fn default_of(setting: &Setting) -> (String, Option<&'static str>) {
    match setting.default {
        DefaultValue::Fixed => (setting.value(&defaults()).unwrap().to_toml(), None),
        DefaultValue::Varies { words, sample } => (sample.to_owned(), Some(words)),
    }
}

fn unit_of(setting: &Setting) -> String {
    match setting.takes {
        Takes::Number { unit, least, most } => {
            let name = match unit {
                Unit::Count => "",
                Unit::Bytes => "bytes, ",
                Unit::Milliseconds => "milliseconds, ",
                Unit::Seconds => "seconds, ",
            };
            format!("{name}{least} to {most}")
        }
        Takes::Text => "text".to_owned(),
        Takes::OneOf(words) => words.join(" or "),
        Takes::Texts => "list of texts".to_owned(),
    }
}

fn takes_effect(setting: &Setting) -> &'static str {
    match setting.change {
        Change::Reload => "reload",
        Change::Restart => "restart",
    }
}

/// Sizes that people know by another name.
fn readable(setting: &Setting, number: &str) -> Option<String> {
    let Takes::Number { unit: Unit::Bytes, .. } = setting.takes else { return None };
    let bytes: u64 = number.parse().ok()?;
    let (factor, name) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(factor, _)| bytes > 0 && bytes.is_multiple_of(*factor))?;
    Some(format!("{} {name}", bytes / factor))
}

fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        if lines.last().unwrap().len() + 1 + word.len() > WIDTH {
            lines.push(String::from("#"));
        }
        let line = lines.last_mut().unwrap();
        line.push(' ');
        line.push_str(word);
    }
    lines.join("\n")
}

fn annotated_defaults() -> String {
    let mut file = "# The configuration of sledge: every setting with its default.\n\
        #\n\
        # Take away the # before a key to set it; what stays a comment follows the defaults of later versions. A flag outweighs\n\
        # its variable, that outweighs this file. Sizes and times are whole numbers, their unit is in the name; underscores\n\
        # may group digits. Relative paths begin where sledge is started. `sledge config check` tells every mistake at once,\n\
        # `systemctl reload sledge` (SIGHUP) reads the file again. The token is never written here.\n"
        .to_owned();
    let mut section = "";
    for setting in settings() {
        if std::mem::replace(&mut section, setting.section()) != setting.section() {
            write!(file, "\n\n[{section}]\n").unwrap();
        }
        let (value, words) = default_of(setting);
        let words = words.map(|words| format!("By default: {words}. ")).unwrap_or_default();
        let size = readable(setting, &value).map(|size| format!("{value} is {size}. ")).unwrap_or_default();
        let facts =
            format!("{words}{size}[{}; {}; {}]", unit_of(setting), setting.variable, takes_effect(setting));
        let (meaning, name) = (wrapped(setting.meaning), setting.name());
        write!(file, "\n{meaning}\n{}\n#{name} = {value}\n", wrapped(&facts)).unwrap();
    }
    file
}

fn rows() -> String {
    let mut page = String::new();
    let mut section = "-";
    for setting in settings() {
        if std::mem::replace(&mut section, setting.section()) != setting.section() {
            let heading = if section.is_empty() {
                "At the top of the file".to_owned()
            } else {
                format!("`[{section}]`")
            };
            write!(page, "\n## {heading}\n\n| key | variable | takes | default | a change needs a | meaning |\n|---|---|---|---|---|---|\n").unwrap();
        }
        let (value, words) = default_of(setting);
        let default = match (words, readable(setting, &value)) {
            (Some(words), _) => words.to_owned(),
            (None, Some(size)) => format!("`{value}` ({size})"),
            (None, None) => format!("`{value}`"),
        };
        let flag = setting.flag.map(|flag| format!(", `--{}`", flag.name)).unwrap_or_default();
        let (name, variable, takes, change, meaning) =
            (setting.name(), setting.variable, unit_of(setting), takes_effect(setting), setting.meaning);
        writeln!(page, "| `{name}` | `{variable}`{flag} | {takes} | {default} | {change} | {meaning} |")
            .unwrap();
    }
    page
}

/// Compares a file of the project with what it should be, or writes it.
fn agrees(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("SLEDGE_BLESS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == wanted,
        "{} differs from the table of settings: bless it (see {})",
        path.display(),
        file!()
    );
}

#[test]
fn the_annotated_file_is_that_of_the_table() {
    agrees("src/config/default.toml", &annotated_defaults());
}

#[test]
fn the_page_lists_the_table() {
    let path = "docs/configuration.md";
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (words, _) = page.split_once(PAGE_BEGINS).expect("the page has the mark where the table begins");
    agrees(path, &format!("{words}{PAGE_BEGINS}{}", rows()));
}

/// What the annotated file says once every key of it is taken out of its comment.
fn read_uncommented(file: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sledge.toml");
    let is_key = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_lowercase()))
    };
    let lines = file.lines().map(|line| if is_key(line) { line.trim_start_matches('#') } else { line });
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let surroundings = Surroundings::made_up(&[], &[], true);
    let mut raw = RawConfig::default();
    raw.add_file(&path, &Origin::Flag);
    for setting in settings() {
        assert!(raw.get(setting.key).is_some(), "{} is not in the annotated file", setting.key);
    }
    Config::new(raw, &surroundings).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn the_annotated_file_has_every_key_and_says_what_holds_without_it() {
    let mut read = read_uncommented(ANNOTATED_DEFAULTS);
    let defaults = defaults();
    // Some samples are no defaults: without them the token and the mark are found elsewhere, two ways in are off, the
    // sockets are the process's own, and the way to Polar is the straight one.
    assert_eq!(read.polar.token, crate::polar::TokenSource::File("/etc/sledge/polar_access_token".into()));
    assert_eq!(read.journal.low_water_bytes, Some(64 << 20));
    assert!(read.datagram_socket.take().is_some() && read.http.take().is_some());
    assert!(read.socket_access.owner.take().is_some() && read.socket_access.group.take().is_some());
    let polar = &mut read.polar;
    assert!(polar.proxy.take().is_some() && polar.proxy_credentials_file.take().is_some());
    assert!(polar.ca_file.take().is_some());
    read.polar.token = defaults.polar.token.clone();
    read.journal.low_water_bytes = defaults.journal.low_water_bytes;
    read.origins = defaults.origins.clone();
    assert_eq!(read, defaults);
}

#[test]
fn the_annotated_file_as_it_is_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sledge.toml");
    std::fs::write(&path, ANNOTATED_DEFAULTS).unwrap();
    let mut raw = RawConfig::default();
    raw.add_file(&path, &Origin::Flag);
    let token = [("POLAR_ACCESS_TOKEN", "polar_oat_x")];
    assert_eq!(Config::new(raw, &Surroundings::made_up(&token, &[], true)).unwrap(), defaults());
}
