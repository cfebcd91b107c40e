//! Handing over one event whose id is known beforehand, so that doubt has a remedy: the same command with the same id.

use crate::cli::voice::{Exit, Failure, Voice};
use crate::client::{Ack, Client, ClientError, Refusal};
use crate::clock::Clock;
use crate::event::IdSource;

/// What to say and do around one event.
pub(super) struct OneEvent<'a> {
    /// The event's line.
    pub(super) line: String,
    /// What is told when it was accepted.
    pub(super) accepted: String,
    /// The command that repeats it safely.
    pub(super) repeat: String,
    /// Whether the ack itself is printed instead.
    pub(super) json: bool,
    /// Its id.
    pub(super) external_id: &'a str,
}

impl OneEvent<'_> {
    /// Sends the event and waits for its ack.
    pub(super) async fn hand_over(self, client: &mut Client, voice: &mut Voice) -> Result<Exit, Failure> {
        match ack_of(&self.line, client).await {
            Ok(Ack::Accepted { external_id }) => {
                let json = || format!(r#"{{"ok":true,"external_id":{}}}"#, json_string(&external_id));
                voice.say(&if self.json { json() } else { self.accepted })?;
                Ok(Exit::Ok)
            }
            Ok(Ack::Refused(refusal)) => self.refused(&refusal, voice),
            Err(error) => Err(self.doubt(error)),
        }
    }

    fn refused(&self, refusal: &Refusal, voice: &mut Voice) -> Result<Exit, Failure> {
        if self.json {
            let error = serde_json::to_string(refusal).unwrap_or_default();
            voice.say(&format!(r#"{{"ok":false,"error":{error}}}"#))?;
        } else {
            voice.complain(&format!("refused: {}", spelled_out(refusal)));
        }
        if refusal.is_temporary() {
            voice.note(&format!("try again with:\n  {}", self.repeat));
            return Ok(Exit::Temporary);
        }
        Ok(Exit::Finding)
    }

    fn doubt(&self, error: ClientError) -> Failure {
        let in_doubt = error.unanswered() > 0;
        let mut failure = Failure::from(error);
        if in_doubt {
            let Self { external_id, repeat, .. } = self;
            failure.message.push_str(&format!(
                "\nit may have been taken or not; repeating it with the same id counts once ({external_id}):\n  {repeat}"
            ));
        }
        failure
    }
}

async fn ack_of(line: &str, client: &mut Client) -> Result<Ack, ClientError> {
    client.send(line.as_bytes()).await?;
    client.next_ack().await?.ok_or(ClientError::Lost { unanswered: 1 })
}

/// An id made before anything is sent, so that sending again is safe.
pub(super) fn new_id() -> String {
    IdSource::new().next(Clock::system().now()).as_str().to_owned()
}

/// `code (field): message`.
pub(super) fn spelled_out(refusal: &Refusal) -> String {
    let Refusal { code, field, message } = refusal;
    if field.is_empty() { format!("{code}: {message}") } else { format!("{code} ({field}): {message}") }
}

pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
