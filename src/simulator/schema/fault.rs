//! One fault of a 422.

use super::super::python::{Unwritable, Value, write, write_text};

/// A step of a fault's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'v> {
    Key(&'v str),
    Index(usize),
}

/// What is wrong with a value, before it is known where the value stood.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    kind: &'static str,
    message: String,
    /// More about it, as a JSON object.
    context: Option<String>,
}

impl Wrong {
    pub(super) fn new(kind: &'static str, message: &str) -> Self {
        Self { kind, message: message.to_owned(), context: None }
    }

    pub(super) fn with_context(kind: &'static str, message: String, context: String) -> Self {
        Self { kind, message, context: Some(context) }
    }

    /// What a reader said, repeated in the context.
    pub(super) fn quoting(kind: &'static str, message: &str, error: &str) -> Self {
        let quoted = serde_json::Value::String(error.to_owned());
        Self::with_context(kind, format!("{message}{error}"), format!(r#"{{"error":{quoted}}}"#))
    }

    pub(super) fn missing() -> Self {
        Self::new("missing", "Field required")
    }

    pub(super) fn no_object() -> Self {
        let message = "Input should be a valid dictionary or object to extract fields from";
        Self::new("model_attributes_type", message)
    }

    pub(super) fn no_dict() -> Self {
        Self::new("dict_type", "Input should be a valid dictionary")
    }

    /// An exception a validator raised on purpose.
    pub(super) fn value_error(message: &str) -> Self {
        Self::with_context("value_error", format!("Value error, {message}"), r#"{"error":{}}"#.to_owned())
    }
}

/// A fault and its place under `body`.
#[derive(Clone, Debug)]
pub(super) struct Fault<'v> {
    pub(super) steps: Vec<Step<'v>>,
    pub(super) wrong: Wrong,
    pub(super) input: &'v Value,
}

impl<'v> Fault<'v> {
    pub(super) fn at(step: &'v str, wrong: Wrong, input: &'v Value) -> Self {
        Self { steps: vec![Step::Key(step)], wrong, input }
    }

    /// The same fault one step further down.
    pub(super) fn inside(mut self, step: &'v str) -> Self {
        self.steps.insert(0, Step::Key(step));
        self
    }

    /// The same fault as one of the event at `index`.
    pub(super) fn under(mut self, index: usize) -> Self {
        self.steps.splice(0..0, [Step::Key("events"), Step::Index(index)]);
        self
    }

    /// Whether it speaks of the place of `other`, or of one below it.
    pub(super) fn is_at_or_below(&self, other: &Fault<'_>) -> bool {
        self.steps.starts_with(&other.steps)
    }

    pub(super) fn write(&self, out: &mut String) -> Result<(), Unwritable> {
        out.push_str(r#"{"type":"#);
        write_text(out, self.wrong.kind);
        out.push_str(r#","loc":["body""#);
        for step in &self.steps {
            out.push(',');
            match step {
                Step::Key(key) => write_text(out, key),
                Step::Index(index) => out.push_str(&index.to_string()),
            }
        }
        out.push_str(r#"],"msg":"#);
        write_text(out, &self.wrong.message);
        out.push_str(r#","input":"#);
        write(out, self.input)?;
        if let Some(context) = &self.wrong.context {
            out.push_str(r#","ctx":"#);
            out.push_str(context);
        }
        out.push('}');
        Ok(())
    }
}
