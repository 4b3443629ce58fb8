//! Searches that are longer than a request line can be, over the wire.

use serde_json::Value;

use super::Clinic;

/// What one asks in more bytes than headers may have, and in fewer than the protocol's own bound.
const LINE_BYTES: usize = 60_000;

#[tokio::test]
async fn a_search_that_is_too_long_for_a_request_line_is_told_so_in_fhir_by_either_protocol_and_goes_as_a_form() {
    let clinic = Clinic::new().await;
    clinic.fill_heart_rates(3).await;
    let query = format!("code=8867-4,{}", "x".repeat(LINE_BYTES));
    let path = format!("/fhir/R4/Observation?{query}");
    let by_2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let token = clinic.patient.token().unwrap();
    let answered = by_2.get(format!("{}{path}", clinic.server.url())).bearer_auth(token).send().await.unwrap();
    assert_eq!((answered.version(), answered.status().as_u16()), (reqwest::Version::HTTP_2, 431));
    let by_2: Value = serde_json::from_str(&answered.text().await.unwrap()).unwrap();
    let by_1 = clinic.patient.get(&path).await.expect(431).json();
    for outcome in [by_1, by_2] {
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
        assert_eq!(outcome["issue"][0]["code"], "too-long", "{outcome}");
    }
    let request = clinic.patient.request("POST", "/fhir/R4/Observation/_search");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(query);
    assert_eq!(clinic.patient.send(request).await.expect(200).json()["total"], 3);
}
