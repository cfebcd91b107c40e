//! What the socket costs beside reading the events themselves: lines out of reads, replies, a request's list.
#![expect(clippy::unwrap_used, reason = "a bench may stop at the first surprise")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sledge::protocol::{Acks, Frame, Frames, read_ingest_body};

const EVENTS: usize = 256;
const EVENT: &str = r#"{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":3,"model":"small-2","region":"eu-west-1","cached":false,"route":"/v1/answers","latency_ms":128.25,"plan":"team","worker":"node-07","attempt":1}}"#;
const ID: &str = "0199c2d3-4b5a-7c6d-8e7f-0a1b2c3d4e5f";

fn protocol(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protocol");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let lines = format!("{EVENT}\n").repeat(EVENTS);
    let mut frames = Frames::new(1 << 20);
    group.bench_function("lines of one read", |bencher| {
        bencher.iter(|| {
            frames.space(lines.len()).extend_from_slice(black_box(lines.as_bytes()));
            while let Some(frame) = frames.next_frame() {
                assert!(matches!(black_box(frame), Frame::Line(_)));
            }
        });
    });
    group.bench_function("acks of one read", |bencher| {
        bencher.iter(|| {
            let mut acks = Acks::new();
            (0..EVENTS).for_each(|_| acks.accepted(black_box(ID)));
            acks
        });
    });
    let body = format!("{{\"events\":[{}]}}", [EVENT; EVENTS].join(","));
    group.bench_function("list of one request", |bencher| {
        bencher.iter(|| read_ingest_body(black_box(body.as_bytes())).unwrap().len());
    });
    group.finish();
}

criterion_group!(benches, protocol);
criterion_main!(benches);
