//! The simulator's bodies against those of the libraries Polar runs on; `generate.py` beside the fixture makes them.

use serde_json::Value;

use super::wire::Polar;

#[tokio::test]
async fn every_answer_of_the_schema_is_the_one_pydantic_and_fastapi_give() {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/simulator/bodies.json")).unwrap();
    let polar = Polar::start().await;
    // The generator's model knows no customers, so that only the first layer speaks: 200 and the second layer's
    // 422 are both "the schema let it pass".
    let mut differences = Vec::new();
    let cases = fixture["cases"].as_array().unwrap();
    for case in cases {
        let kind = case["content_type"].as_str().unwrap_or("application/json");
        let body = case["request"].as_str().unwrap();
        let headers = [("Authorization", "Bearer polar_oat_test"), ("Content-Type", kind)];
        let answer = polar.send("POST", "/v1/events/ingest", &headers, body.as_bytes()).await.unwrap();
        let passed = answer.body.contains("PolarRequestValidationError") || answer.status == 200;
        let (status, expected) = (case["status"].as_u64().unwrap(), case["body"].as_str().unwrap());
        let stored_poison = answer.status == 500 && body.contains("\\u0000");
        let same = match status {
            200 => passed || stored_poison,
            _ => u64::from(answer.status) == status && answer.body == expected,
        };
        if !same {
            differences.push(format!(
                "{body}\n  expected {status} {expected}\n  answered {} {}",
                answer.status, answer.body
            ));
        }
    }
    assert!(cases.len() > 300, "the fixture holds {} cases", cases.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
