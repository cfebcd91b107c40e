//! Counting what was pending when the journal was opened, beside everything else.
//!
//! A thread that makes way for all others walks through the volumes, oldest first. A closed volume lies still, so its file is
//! looked through there, off the writer's thread, and the writer is handed one block after the other; it counts a block only
//! while the volume is still closed, and leaves out what was settled since. Of an open volume the writer reads the next block
//! itself, if it is still owed. Whichever state a volume is in, it may have come to the other by the next step.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::event::{Lane, PerLane};
use crate::journal::consumer::Block;
use crate::journal::disk::{RawFile, Store, StoreError, VolumeId};
use crate::journal::format::{RowName, decode_block};
use crate::journal::past::{Deputy, Pace, VolumeFile, work_apart};
use crate::journal::volumes::Row;
use crate::journal::writer::{AWAY_LOOKS_MAX, AWAY_PAUSE, Command, Committer, Shared};

/// One step of the survey, for the writer. Whoever asks waits for the answer before asking more.
#[derive(Debug)]
pub(in crate::journal) enum SurveyStep {
    /// Count this block of a closed volume.
    Closed { number: u32, block: Box<Block>, answer: oneshot::Sender<Found> },
    /// Count the next block of an open volume, from this seq on.
    Open { lane: Lane, number: u32, from: u64, answer: oneshot::Sender<Found> },
    /// Everything is counted.
    Done,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::journal) enum Found {
    /// A block was counted; go on from this seq.
    Counted { next: u64 },
    /// The volume is open.
    IsOpen,
    /// The volume is closed.
    IsClosed,
    /// The volume holds nothing more.
    Nothing,
}

/// Starts the survey of these volumes. It ends with the last of them, or with the journal.
///
/// # Errors
/// When the system gives no thread.
pub(in crate::journal) fn start<S: Store>(
    store: &Arc<S>,
    shared: &Arc<Shared>,
    volumes: PerLane<Vec<u32>>,
) -> std::io::Result<()> {
    let (store, shared) = (Arc::clone(store), Arc::clone(shared));
    let attend = move || {
        let survey = |deputy, pace| Surveyor { store, deputy, pace }.survey(&volumes);
        if let Err(error) = work_apart(&shared, "journal-count", survey) {
            tracing::debug!(%error, "what customers have pending is not counted to the end");
        }
    };
    std::thread::Builder::new().name("journal-survey".into()).spawn(attend).map(drop)
}

/// The volumes of a row as it was opened, oldest first.
pub(in crate::journal) fn volumes_of<S: Store>(row: &Row<S>) -> Vec<u32> {
    let mut numbers: Vec<u32> =
        row.closed.iter().map(|closed| closed.number).chain(row.open.keys().copied()).collect();
    numbers.sort_unstable();
    numbers
}

struct Surveyor<S> {
    store: Arc<S>,
    deputy: Deputy,
    pace: Pace,
}

/// The journal has closed.
struct Closed;

impl<S: Store> Surveyor<S> {
    fn survey(&self, volumes: &PerLane<Vec<u32>>) {
        for lane in Lane::ALL {
            for number in &volumes[lane] {
                match self.survey_volume(lane, *number) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        let volume = VolumeId { row: RowName::from(lane), number: *number };
                        tracing::error!(%volume, %error, "a volume could not be read: what customers have pending stays incomplete until the next start");
                        return;
                    }
                    Err(Closed) => return,
                }
            }
        }
        drop(self.deputy.run(|shared| shared.inbox.put(Command::Survey(SurveyStep::Done)).is_ok()));
    }

    fn survey_volume(&self, lane: Lane, number: u32) -> Result<Result<(), StoreError>, Closed> {
        let (mut from, mut looks_left, mut is_through) = (0, AWAY_LOOKS_MAX, false);
        loop {
            match self.ask(move |answer| SurveyStep::Open { lane, number, from, answer })? {
                Found::Counted { next } => from = next,
                Found::IsOpen | Found::Nothing => return Ok(Ok(())),
                // It has been closed all the time.
                Found::IsClosed if is_through => return Ok(Ok(())),
                Found::IsClosed => {
                    let id = VolumeId { row: RowName::from(lane), number };
                    match self.store.find_raw(id) {
                        // What was counted is not counted again, though its blocks may have been joined meanwhile.
                        Ok(Some(file)) => (from, is_through) = (0, self.survey_closed(id, file)?),
                        // Another file takes its place at this moment.
                        Ok(None) if looks_left > 0 => {
                            looks_left -= 1;
                            std::thread::sleep(AWAY_PAUSE);
                        }
                        Ok(None) => return Ok(Err(StoreError::Io("it has no file".to_owned()))),
                        Err(error) => return Ok(Err(error)),
                    }
                }
            }
        }
    }

    /// Has the blocks of a closed volume counted; `false` when it does not stay closed.
    fn survey_closed(&self, id: VolumeId, file: Box<dyn RawFile>) -> Result<bool, Closed> {
        let mut file = VolumeFile::scan(id, file, &mut Vec::new(), &self.pace, &|| true);
        for seq in file.seqs_from(0) {
            self.pace.step();
            let shown = file.show(seq);
            // Only whole blocks are owed: of others delivery learns when it comes to them.
            let Ok((_, block)) = decode_block(&shown.stored) else { continue };
            if shown.settlement.is_some() {
                continue;
            }
            let (number, block) = (id.number, Box::new(block));
            let step = move |answer| SurveyStep::Closed { number, block, answer };
            if self.ask(step)? == Found::IsOpen {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn ask(
        &self,
        step: impl FnOnce(oneshot::Sender<Found>) -> SurveyStep + Send + 'static,
    ) -> Result<Found, Closed> {
        let asked = self.deputy.run(move |shared| {
            let (answer, answered) = oneshot::channel();
            shared.inbox.put(Command::Survey(step(answer))).ok()?;
            answered.blocking_recv().ok()
        });
        asked.ok().flatten().ok_or(Closed)
    }
}

impl<S: Store> Committer<S> {
    /// Takes one step of the survey.
    ///
    /// # Errors
    /// When the store fails; the journal must stop then.
    pub(in crate::journal) fn survey(&mut self, step: SurveyStep) -> Result<(), StoreError> {
        let Some(units) = &mut self.units else { return Ok(()) };
        match step {
            SurveyStep::Closed { number, block, answer } => {
                let is_closed = self.lanes[block.id().lane].is_at_rest(number);
                if is_closed {
                    units.survey(&block);
                }
                let next = block.id().seq + 1;
                drop(answer.send(if is_closed { Found::Counted { next } } else { Found::IsOpen }));
            }
            SurveyStep::Open { lane, number, from, answer } => {
                let row = &self.lanes[lane];
                let found = match row.open.get(&number) {
                    None if row.is_at_rest(number) => Found::IsClosed,
                    None => Found::Nothing,
                    Some(volume) => {
                        match volume.first_from(from).filter(|entry| entry.seq < units.begun(lane)) {
                            None => Found::Nothing,
                            Some(entry) => {
                                let stored = volume.show(entry.seq)?;
                                // A damaged block is not delivered either; delivery reports it.
                                if let Some(Ok((_, block))) = stored.map(|stored| decode_block(&stored)) {
                                    units.survey(&block);
                                }
                                Found::Counted { next: entry.seq + 1 }
                            }
                        }
                    }
                };
                drop(answer.send(found));
            }
            SurveyStep::Done => units.surveyed(),
        }
        Ok(())
    }
}
