//! What reading and writing one event costs.
#![expect(clippy::unwrap_used, reason = "a bench may stop at the first surprise")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sledge::event::{Event, EventBuf, Form, IdSource, Rules, UnixMillis};

const NOW: UnixMillis = 1_795_403_137_123;

const COMPLETE: &str = r#"{"name":"api_usage","external_customer_id":"user_123","external_id":"0199c2d3-4b5a-7c6d-8e7f-0a1b2c3d4e5f","timestamp":"2026-11-23T03:05:37.123Z","metadata":{"units":3,"model":"small-2","region":"eu-west-1","cached":false}}"#;
const BARE: &str = r#"{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":3,"model":"small-2","region":"eu-west-1","cached":false,"route":"/v1/answers","latency_ms":128.25,"plan":"team","worker":"node-07","attempt":1}}"#;
const NEGATIVE: &str = r#"{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":-10}}"#;
const GRANT: &str =
    r#"{"grant":{"event":"api_usage","property":"units","credits":10},"external_customer_id":"user_123"}"#;
const LLM: &str = r#"{"name":"answer","external_customer_id":"user_123","metadata":{"_llm":{"vendor":"acme","model":"small-2","input_tokens":812,"output_tokens":120,"total_tokens":932},"_cost":{"amount":0.123,"currency":"usd"}}}"#;

fn read_and_write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read and write");
    group.throughput(Throughput::Elements(1));
    for (name, text) in [
        ("complete", COMPLETE),
        ("stamped", BARE),
        ("negative number", NEGATIVE),
        ("grant", GRANT),
        ("llm and cost", LLM),
    ] {
        let rules = Rules::default();
        let mut ids = IdSource::new();
        let mut out = EventBuf::new();
        group.bench_function(format!("{name}, {} bytes", text.len()), |bencher| {
            bencher.iter(|| {
                if out.text_bytes() > 1 << 20 {
                    out.clear();
                }
                let event = Event::read(black_box(text.as_bytes()), Form::EventOrGrant, &rules, NOW).unwrap();
                black_box(event.write(NOW, &mut ids, &mut out));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read_and_write);
criterion_main!(benches);
