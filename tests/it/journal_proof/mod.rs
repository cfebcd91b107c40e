//! An acknowledged event is never lost, whatever becomes of the process, the disk or the power: one file for each harm,
//! with controls in which the harm is seen to be done.

mod aftermath;
mod crash_images;
mod damage;
mod disk_shim;
mod frame_scan;
mod frozen;
mod full_disk;
mod loop_disk;
mod nth_io;
mod platter;
mod power_cut;
mod recording;
