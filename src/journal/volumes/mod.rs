//! Rows of volumes: written at the tail, read oldest first, rewritten, salvaged, given back to the disk.

mod block_builder;
mod continuity;
#[cfg(test)]
mod continuity_tests;
mod copies;
mod found;
mod janitor;
mod loss_book;
mod loss_lines;
#[cfg(test)]
mod loss_tests;
mod open_volume;
mod opening;
mod promise;
mod repacking;
#[cfg(test)]
mod repacking_tests;
mod resting;
#[cfg(test)]
mod resting_tests;
mod retiring;
mod rewriting;
mod row;
mod salvage;
mod scan;
#[cfg(test)]
mod told_once_tests;
mod totals;
mod visit;

pub(super) use block_builder::BlockBuilder;
pub(super) use continuity::{Continuity, Loss, LossKind};
pub(super) use copies::Copies;
#[cfg(test)]
pub(super) use found::intact_blocks;
#[cfg(any(test, fuzzing))]
pub(super) use found::scan_file;
pub(super) use found::{Found, scan_volume};
pub(super) use janitor::Janitor;
pub(super) use loss_book::{LossBook, by_volume, sentences};
pub(super) use loss_lines::LossLines;
pub(super) use open_volume::{OpenVolume, StoredBlock};
pub(super) use row::{Row, RowLimits};
pub(super) use salvage::Salvaged;
#[cfg(test)]
pub(super) use scan::scan_frames;
pub(super) use scan::{scan_past_damage, scan_places};
