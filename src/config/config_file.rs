//! The file: TOML, of which every value keeps its place.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::did_you_mean::did_you_mean;
use super::fault::Fault;
use super::origin::{Given, Origin, Place};
use super::raw_config::{RawConfig, RawValue};
use super::setting::Setting;
use super::table::{setting, settings};

/// The file that is read when nobody names one, if it is there.
pub const CONFIG_FILE: &str = "/etc/sledge/sledge.toml";
/// Every setting with its default and its reason.
pub const ANNOTATED_DEFAULTS: &str = include_str!("default.toml");
/// A larger file is something else: the annotated one has 15 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What a key is called by whoever wants to write the token itself.
const SECRETS: [&str; 3] = ["token", "access_token", "polar_access_token"];

impl RawConfig {
    /// Adds what the file says where neither a flag nor a variable spoke. `named` tells who named the file.
    pub(super) fn add_file(&mut self, path: &Path, named: &Origin) {
        let text = match read(path) {
            Ok(text) => text,
            Err((problem, fix)) => {
                self.is_torn = true;
                let problem = format!("the file {} {problem}", path.display());
                return self.faults.push(Fault::new("config", named, &problem, fix));
            }
        };
        let mut reader =
            Reader { text: &text, file: Arc::new(path.to_owned()), raw: self, torn_lines: Vec::new() };
        reader.read();
    }
}

fn read(path: &Path) -> Result<String, (String, &'static str)> {
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = opened {
        return Err((
            format!("can't be read: {error}"),
            "name a file that is there and may be read by this user",
        ));
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err((format!("has over {FILE_BYTES_MAX} bytes"), "name sledge's own configuration file"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        (format!("is not UTF-8 in line {line}"), "save it as UTF-8")
    })
}

/// A file on its way into a [`RawConfig`].
struct Reader<'r> {
    text: &'r str,
    file: Arc<PathBuf>,
    raw: &'r mut RawConfig,
    /// Lines that are no TOML: what is recovered of them is not reported again.
    torn_lines: Vec<usize>,
}

impl Reader<'_> {
    fn read(&mut self) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let place = self.place(&error.span().unwrap_or_default());
            if !self.torn_lines.contains(&place.line) {
                self.torn_lines.push(place.line);
                let message = in_one_line(error.message());
                self.raw.is_torn = true;
                self.raw.faults.push(Fault {
                    key: String::new(),
                    origin: Origin::File(place),
                    message: format!("this is not TOML: {message}"),
                });
            }
        }
        for (name, value) in table.get_ref() {
            let key = name.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(section) if is_section(key) => self.take_section(key, section),
                DeValue::Table(_) | DeValue::Array(_) if setting(key).is_none() => {
                    self.misplaced_section(key, name.span(), value)
                }
                _ => self.take(key, name.span(), value),
            }
        }
    }

    fn take_section(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            self.take(&format!("{section}.{}", name.get_ref()), name.span(), value);
        }
    }

    fn take(&mut self, key: &str, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let Some(known) = setting(key) else { return self.unknown(key, span) };
        let origin = Origin::File(self.place(&value.span()));
        if !self.is_torn_at(&origin) {
            self.raw.give(known, Given { value: raw(value.get_ref()), origin });
        }
    }

    /// Names that were probably meant are looked for everywhere: a key may stand in the wrong section.
    fn unknown(&mut self, key: &str, span: Range<usize>) {
        if is_section(key) {
            return self.report(
                key,
                span,
                "this is a section",
                &format!("write [{key}] on a line of its own, and its keys below"),
            );
        }
        let name = key.rsplit_once('.').map_or(key, |(_, name)| name);
        if SECRETS.contains(&name) {
            let fix = "put it into a file of its own and name that with token_file at the top of this one";
            return self.report(key, span, "a token does not belong into this file", fix);
        }
        let problem = "there is no such setting";
        match meant(key, name) {
            Some(meant) => {
                self.report(key, span, problem, &format!("did you mean {}?", seen_from(key, meant)))
            }
            None => self.report(key, span, problem, "remove it; docs/configuration.md lists every setting"),
        }
    }

    fn misplaced_section(&mut self, key: &str, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        if is_section(key) && matches!(value.get_ref(), DeValue::Array(_)) {
            return self.report(
                key,
                span,
                "a section is there once",
                &format!("write [{key}] with single brackets"),
            );
        }
        let fix = match did_you_mean(key, sections()) {
            Some(meant) => format!("did you mean [{meant}]?"),
            None => format!(
                "the sections are {}",
                sections().map(|name| format!("[{name}]")).collect::<Vec<_>>().join(" ")
            ),
        };
        self.report(key, span, "there is no such section", &fix);
    }

    fn report(&mut self, key: &str, span: Range<usize>, problem: &str, fix: &str) {
        let origin = Origin::File(self.place(&span));
        if !self.is_torn_at(&origin) {
            self.raw.faults.push(Fault::new(key, &origin, problem, fix));
        }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        Place::of_offset(&self.file, self.text, span.start)
    }

    fn is_torn_at(&self, origin: &Origin) -> bool {
        matches!(origin, Origin::File(place) if self.torn_lines.contains(&place.line))
    }
}

fn in_one_line(message: &str) -> String {
    if message.starts_with("string values must be quoted") {
        // What the parser says it expected then is a string in the rarest of the quotes there are.
        return "text stands in quotes".to_owned();
    }
    message.lines().collect::<Vec<_>>().join(", ")
}

fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    let names = settings().map(Setting::section);
    names.filter(move |name| !name.is_empty() && std::mem::replace(&mut last, name) != *name)
}

fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

/// The setting that a wrong key was probably meant to be: the only one of its name, else the one most like it.
fn meant(key: &str, name: &str) -> Option<&'static Setting> {
    let namesakes: Vec<_> = settings().filter(|setting| setting.name() == name).collect();
    let near = || setting(did_you_mean(key, settings().map(|setting| setting.key))?);
    match namesakes.as_slice() {
        [only] => Some(only),
        [first, ..] => near().or(Some(first)),
        [] => near(),
    }
}

/// A setting as it is written where the wrong key stands.
fn seen_from(wrong: &str, meant: &Setting) -> String {
    let here = wrong.rsplit_once('.').map_or("", |(section, _)| section);
    match meant.section() {
        section if section == here => meant.name().to_owned(),
        "" => format!("{} at the top of the file", meant.key),
        section => format!("{} in [{section}]", meant.name()),
    }
}

fn raw(value: &DeValue<'_>) -> RawValue {
    match value {
        DeValue::String(text) => RawValue::Quoted(text.to_string()),
        DeValue::Integer(number) => RawValue::Number(number.as_str().to_owned(), number.radix()),
        DeValue::Float(_) => RawValue::Other("a number with a point"),
        DeValue::Boolean(_) => RawValue::Other("true or false"),
        DeValue::Datetime(_) => RawValue::Other("a date"),
        DeValue::Table(_) => RawValue::Other("a table"),
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| value.get_ref().as_str().map(str::to_owned));
            texts
                .collect::<Option<Vec<_>>>()
                .map_or(RawValue::Other("a list of anything but texts"), RawValue::List)
        }
    }
}
