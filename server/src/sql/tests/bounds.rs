//! What a query may take, and what becomes of one that nobody waits for.

use super::*;

impl Clinic {
    async fn bounded(change: impl FnOnce(&mut crate::config::Config)) -> Self {
        let clinic = Self::on(Stage::changed(Database::new().await, change).await).await;
        for nth in 0..200 {
            clinic.stage.heart_rate(&clinic.ada, f64::from(60 + nth % 30), 2.0 + f64::from(nth) / 100.0).await;
        }
        clinic
    }

    async fn refused(&self, sql: &str, expected: u16, word: &str) {
        let (status, answer) = self.query(&self.ada.key, sql).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(word), "{answer}");
    }

    /// The head and the first piece of an answer of many megabytes.
    async fn begun(&self) -> axum::body::BodyDataStream {
        let body = json!({"sql": LONG, "format": "csv"});
        let response = self.stage.answer(asking(&self.ada.key, &body, None)).await;
        assert_eq!(response.status(), 200);
        let mut pieces = response.into_body().into_data_stream();
        pieces.next().await.unwrap().unwrap();
        self.running(1).await;
        pieces
    }
}

#[tokio::test]
async fn queries_are_bounded_in_memory_rows_and_length() {
    let clinic = Clinic::bounded(|config| {
        config.storage.query_rows_max = 1_000;
        config.storage.query_memory_bytes = 8 << 20;
    })
    .await;
    clinic.refused("SELECT a.value FROM points a, points b", 413, "1000 rows").await;
    let sorted = "SELECT a.recorded_at FROM points a, points b, points c ORDER BY a.value + b.value";
    clinic.refused(sorted, 413, "memory").await;
    clinic.refused(&format!("SELECT {}", "1,".repeat(40_000)), 413, "65536 bytes").await;
    let just = clinic.rows(&clinic.ada.key, "SELECT a.value FROM points a, points b LIMIT 1000").await;
    assert_eq!(just.as_array().unwrap().len(), 1_000, "as many as there may be");
    clinic.running(0).await;
}

#[tokio::test]
async fn queries_are_bounded_in_time() {
    let clinic = Clinic::bounded(|config| config.storage.query_s = 1).await;
    let endless = "SELECT sum(sqrt(a.value) * ln(b.value) / exp(c.value)) FROM points a, points b, points c";
    clinic.refused(endless, 504, "1000 ms").await;
    clinic.running(0).await;
}

#[tokio::test]
async fn queries_are_bounded_in_number() {
    let clinic = Clinic::bounded(|config| {
        config.limits.queries_each_max = 1;
        config.limits.queries_max = 2;
    })
    .await;
    let ada = &clinic.ada.key;
    let own = clinic.stage.state.queries.begin(storage::UserId::parse(&clinic.ada.id).unwrap()).unwrap();
    let response = clinic.stage.answer(asking(ada, &json!({"sql": "SELECT 1"}), None)).await;
    assert_eq!((response.status().as_u16(), response.headers().contains_key("retry-after")), (429, true));
    clinic.rows(&clinic.bo.key, "SELECT 1").await;
    let other = clinic.stage.state.queries.begin(storage::UserId::parse(&clinic.doctor.id).unwrap()).unwrap();
    assert_eq!(clinic.query(&clinic.bo.key, "SELECT 1").await.0, 503);
    drop((own, other));
    clinic.rows(ada, "SELECT 1").await;
    // An answer that leaves has its place until it is whole.
    let leaving = clinic.begun().await;
    assert_eq!(clinic.query(ada, "SELECT 1").await.0, 429);
    drop(leaving);
    clinic.running(0).await;
    clinic.rows(ada, "SELECT 1").await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_query() {
    let clinic = Clinic::bounded(|config| config.storage.query_s = 600).await;
    let pieces = clinic.begun().await;
    drop(pieces);
    clinic.running(0).await;
    // One that gives up before the answer begins.
    // Of what stands on the left of a join all is kept: so this takes time alone, and no bound ends it.
    let pairs = "SELECT x.value / y.value AS v FROM points x, points y";
    let endless = json!({"sql": format!("SELECT sum(a.value / b.v) FROM points a, (SELECT b.value / c.v AS v FROM points b, ({pairs}) c) b")});
    let waiting = clinic.stage.answer(asking(&clinic.ada.key, &endless, None));
    tokio::select! {
        response = waiting => panic!("{:?}", response.status()),
        () = clinic.running(1) => {}
    }
    clinic.running(0).await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_gives_its_place_back() {
    let clinic = Clinic::bounded(|config| config.storage.query_s = 1).await;
    let mut pieces = clinic.begun().await;
    clinic.running(0).await;
    let broken = loop {
        match pieces.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it came to its end"),
        }
    };
    assert!(
        std::error::Error::source(&broken).is_some_and(|source| source.to_string().contains("1000 ms")),
        "{broken:?}"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_says_why_and_passes_for_no_whole_one() {
    let clinic = Clinic::bounded(|config| config.storage.query_rows_max = 100_000).await;
    let ask = async |format: &str| {
        // What a Parquet file cannot make small.
        let sql = LONG.replace("c.value", "c.value, random()");
        let body = json!({"sql": sql, "format": format});
        let response = clinic.stage.answer(asking(&clinic.ada.key, &body, None)).await;
        assert_eq!(response.status(), 200, "{format}");
        let mut pieces = response.into_body().into_data_stream();
        let mut bytes = Vec::new();
        loop {
            match pieces.next().await {
                Some(Ok(piece)) => bytes.extend(piece),
                Some(Err(_)) => break bytes,
                None => panic!("{format}: it came to its end"),
            }
        }
    };
    let detail = "the query hit its bound: 100000 rows in one answer";
    let json: Value = serde_json::from_slice(&ask("json").await).unwrap();
    assert_eq!(json["error"], json!({"status": 413, "detail": detail}));
    assert_eq!((json.get("row_count"), json["rows"][0].as_array().unwrap().len()), (None, 4));
    let csv = String::from_utf8(ask("csv").await).unwrap();
    assert!(csv.ends_with(&format!("\n\"error 413: {detail}\"\n")), "{}", &csv[csv.len() - 200..]);
    let (arrow, parquet) = (ask("arrow").await, ask("parquet").await);
    assert!(!arrow.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), "an end of Arrow's stream");
    assert!(!parquet.ends_with(b"PAR1"), "an end of Parquet");
    clinic.running(0).await;
}

#[tokio::test]
async fn no_row_leaves_where_the_record_cannot_be_written() {
    use sea_orm::ConnectionTrait as _;
    let clinic = Clinic::bounded(|_| {}).await;
    let broken = "CREATE TRIGGER t BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ABORT, 'no room'); END";
    clinic.stage.state.control.read().execute_unprepared(broken).await.unwrap();
    for format in ["json", "csv", "arrow", "parquet"] {
        let body = json!({"sql": "SELECT value FROM points", "format": format});
        let response = clinic.stage.answer(asking(&clinic.doctor.key, &body, None)).await;
        assert!(response.status().is_server_error(), "{}", response.status());
        let answer: Value = serde_json::from_slice(&whole(response).await).unwrap();
        assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    }
    assert!(clinic.trail(&clinic.ada).await.is_empty());
    clinic.rows(&clinic.ada.key, "SELECT value FROM points").await;
}
