//! What must hold of any bytes at all, for the fuzzers in `fuzz/` and the cases they left behind.

use super::{Event, EventBuf, Form, IdSource, Rules, UnixMillis};

/// 2026-08-22.
const NOW: UnixMillis = 1_787_400_000_123;

/// A text is refused, or becomes one that is accepted again, in the same lane, under the same id and unchanged.
///
/// # Panics
/// When that does not hold.
pub fn event(bytes: &[u8]) {
    for form in [Form::Event, Form::Grant, Form::EventOrGrant] {
        let mut ids = IdSource::new();
        let Ok(event) = Event::read(bytes, form, &Rules::default(), NOW) else { continue };
        let (lane, written_bytes) = (event.lane(), event.written_bytes());
        let mut out = EventBuf::new();
        let id = event.write(NOW, &mut ids, &mut out).as_str().to_owned();
        let text = out.iter().next().unwrap_or_default();
        assert_eq!(text.len(), written_bytes, "the size is known before it is written");
        let again = match Event::read(text, Form::Event, &Rules::default(), NOW) {
            Ok(again) => again,
            Err(faults) => panic!("what was accepted is refused once it is written: {faults:?}"),
        };
        assert_eq!(again.lane(), lane);
        let mut twice = EventBuf::new();
        assert_eq!(again.write(NOW, &mut ids, &mut twice).as_str(), id, "an id never changes");
        assert_eq!(twice.iter().next(), Some(text), "a complete event is left as it is");
    }
}
