//! What it costs to make groups of events durable, one group after the other, through the journal's own door: packing,
//! compressing, writing, a real sync, and the answer. The disk of the build is used, not a temporary folder that may be
//! memory.
#![expect(clippy::unwrap_used, reason = "a bench may stop at the first surprise")]

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sledge::clock::Clock;
use sledge::event::{EventBuf, PerLane};
use sledge::journal::{Append, Journal, Settings};
use sledge::metrics::{Listener, Metrics};

/// An append of so many events of about 300 bytes, each with its stamps.
fn append_of(events: usize) -> Append {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut usage = EventBuf::new();
    for _ in 0..events {
        let text = format!(
            r#"{{"external_id":"0199c2d3-4b5a-7{:03x}-8{:03x}-{:012x}","timestamp":"2026-11-23T03:05:37.123Z","name":"api_usage","external_customer_id":"user_{}","metadata":{{"units":{},"model":"small-2","region":"eu-west-1","cached":false,"route":"/v1/answers","latency_ms":{}.25,"plan":"team","worker":"node-07","attempt":1,"request":"{:016x}"}}}}"#,
            rng.u16(..4_096),
            rng.u16(..4_096),
            rng.u64(..1 << 48),
            rng.u32(..9_999),
            rng.u32(1..40),
            rng.u32(10..900),
            rng.u64(..),
        );
        usage.push(text.as_bytes(), 0);
    }
    Append { listener: Listener::Ndjson, events: PerLane { usage, ..PerLane::default() } }
}

fn commit(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut group = criterion.benchmark_group("commit");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4)).sample_size(50);
    for events in [1, 10, 100, 1_000] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let settings =
            Settings { journal_bytes_max: 1 << 40, ..Settings::in_folder(folder.path().join("journal")) };
        let journal = Journal::open(&settings, Clock::system(), Metrics::new().unwrap()).unwrap();
        let (appender, append) = (journal.appender(), append_of(events));
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(format!("{events} events, {} bytes", append.text_bytes()), |bencher| {
            bencher.iter_batched(
                || append.clone(),
                |append| {
                    let receipt = appender.try_append(append).unwrap();
                    runtime.block_on(receipt.committed()).unwrap();
                },
                BatchSize::SmallInput,
            );
        });
        runtime.block_on(journal.close()).unwrap();
    }
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);
