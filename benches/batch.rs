//! What it costs to make a request's body of stored blocks, and to take a refused batch apart.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sledge::delivery::{Batch, Run};
use sledge::event::Lane;
use sledge::journal::{Block, BlockId};

/// As many events of this size as a block of the journal holds.
const BLOCK_EVENTS: u32 = 200;
const BLOCKS: u64 = 5;

const EVENT: &str = r#"{"external_id":"0199c2d3-4b5a-7c6d-8e7f-0a1b2c3d4e5f","timestamp":"2026-11-23T03:05:37.123Z","name":"api_usage","external_customer_id":"user_123","metadata":{"units":3,"model":"small-2","region":"eu-west-1","cached":false,"route":"/v1/answers","latency_ms":128.25,"plan":"team","worker":"node-07","attempt":1}}"#;

/// A full request: blocks as the journal hands them out.
fn runs() -> Vec<Run> {
    let bytes = u32::try_from(EVENT.len()).unwrap_or(u32::MAX);
    let block = |number| {
        let id = BlockId { lane: Lane::Usage, seq: number * u64::from(BLOCK_EVENTS) };
        let ends = (1..=BLOCK_EVENTS).map(|event| event * bytes).collect();
        Arc::new(Block::new(id, 0, 0, EVENT.repeat(BLOCK_EVENTS as usize).into(), ends))
    };
    (0..BLOCKS).map(|number| Run { block: block(number), positions: 0..BLOCK_EVENTS }).collect()
}

fn batch(criterion: &mut Criterion) {
    let runs = runs();
    let mut group = criterion.benchmark_group("batch of 1,000 events");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("cut and joined into a body", |bencher| {
        bencher.iter(|| Batch::new(black_box(runs.clone())).body());
    });
    group.bench_function("three events isolated", |bencher| {
        bencher.iter_batched(
            || Batch::new(runs.clone()),
            |batch| batch.isolate(black_box(&[0, 417, 999])),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, batch);
criterion_main!(benches);
