//! Flight SQL from outside, by the client that its authors wrote.

mod connections;

use std::sync::Arc;

use arrow::array::{Array as _, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery,
    ProstMessageExt as _, SqlInfo, XdbcDataType,
};
use arrow_flight::{FlightDescriptor, FlightInfo, Ticket};
use futures::TryStreamExt as _;
use prost::Message as _;
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::access::tests::{Header, Person, Stage};

type Client = FlightSqlServiceClient<Channel>;

/// A server in this process, and people with points.
struct Scene {
    stage: Stage,
    doctor: Person,
    ada: Person,
    eve: Person,
    grant: String,
    address: String,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let bounds = Bounds::of(&stage.state.config);
        Self::of(stage, bounds).await
    }

    async fn of(stage: Stage, bounds: Bounds) -> Self {
        let (doctor, ada, eve) = (stage.doctor("Doc").await, stage.patient("Ada").await, stage.patient("Eve").await);
        for (person, value) in [(&ada, 60.0), (&ada, 62.0), (&eve, 161.0)] {
            stage.heart_rate(person, value, value / 60.0).await;
        }
        let grant = stage.grant(&doctor, &ada, &["wearables"]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let serving =
            tokio::spawn(serve_within(bounds, stage.state.clone(), listener, stop.clone(), Duration::from_secs(20)));
        Self { stage, doctor, ada, eve, grant, address, stop, serving }
    }

    async fn client(&self, who: Option<&Header>) -> Client {
        let channel = Endpoint::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new(channel);
        if let Some((name, value)) = who {
            client.set_header(*name, value.as_str());
        }
        client
    }
}

impl Scene {
    /// The first batch of many megabytes of Ada's rows is there, and the query goes on.
    async fn long(&self, who: &Person) -> FlightRecordBatchStream {
        for nth in 0..150 {
            self.stage.heart_rate(&self.ada, 60.0, 2.0 + f64::from(nth) / 100.0).await;
        }
        let mut client = self.client(Some(&who.key)).await;
        let sql = "SELECT a.recorded_at, b.recorded_at AS at, c.value FROM points a, points b, points c";
        let info = client.execute(sql.to_owned(), None).await.unwrap();
        let mut rows = client.do_get(ticket(&info)).await.unwrap();
        rows.try_next().await.unwrap().unwrap();
        self.stage.queries_running(1).await;
        rows
    }
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

async fn batches(client: &mut Client, info: &FlightInfo) -> Result<Vec<RecordBatch>, String> {
    let stream = client.do_get(ticket(info)).await.map_err(|error| error.to_string())?;
    stream.try_collect().await.map_err(|error| error.to_string())
}

async fn values(client: &mut Client, sql: &str) -> Result<Vec<f64>, String> {
    let info = client.execute(sql.to_owned(), None).await.map_err(|error| error.to_string())?;
    Ok(of(&batches(client, &info).await?))
}

fn of(batches: &[RecordBatch]) -> Vec<f64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Float64Type>().values().to_vec()).collect()
}

const VALUES: &str = "SELECT value FROM points ORDER BY value";

#[tokio::test]
async fn rows_and_records_are_those_of_http() {
    let scene = Scene::new().await;
    let mut doctor = scene.client(Some(&scene.doctor.key)).await;
    assert_eq!(values(&mut doctor, VALUES).await.unwrap(), [60.0, 62.0]);
    assert_eq!(values(&mut scene.client(Some(&scene.eve.key)).await, VALUES).await.unwrap(), [161.0]);
    let trail = scene.stage.read(&scene.ada.token, "/audit").await;
    assert_eq!((&trail["records"][0]["sql"], &trail["records"][0]["what"]), (&json!(VALUES), &json!("sql")));
    assert_eq!((trail["records"].as_array().unwrap().len(), &trail["records"][0]["address"]), (1, &json!("127.0.0.1")));
    assert_eq!(scene.stage.read(&scene.eve.token, "/audit").await["records"], json!([]));
    // It is who fetches that stands there, by what they fetch with.
    let info = doctor.execute(VALUES.to_owned(), None).await.unwrap();
    batches(&mut scene.client(Some(&scene.doctor.token)).await, &info).await.unwrap();
    let means = async || {
        let trail = scene.stage.read(&scene.ada.token, "/audit").await;
        let records = trail["records"].as_array().unwrap().iter();
        records.map(|record| record["means"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(means().await, ["token", "key"]);
    // Texts arrive as texts, and a statement without rows has columns.
    let info = doctor.execute("SELECT metric, recorded_at FROM points WHERE value < 0".to_owned(), None).await.unwrap();
    let schema = info.clone().try_decode_schema().unwrap();
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
    assert_eq!(batches(&mut doctor, &info).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    for (sql, word) in [
        ("SELECT valu FROM points", "at byte 7 of the statement"),
        ("DELETE FROM points", "SQL here only reads"),
        ("SELECT * FROM information_schema.tables", "information_schema"),
    ] {
        let refused = values(&mut doctor, sql).await.unwrap_err();
        assert!(refused.contains(word), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn a_grant_that_ends_between_ticket_and_rows_shows_nothing() {
    let scene = Scene::new().await;
    let mut doctor = scene.client(Some(&scene.doctor.key)).await;
    let info = doctor.execute(VALUES.to_owned(), None).await.unwrap();
    scene.stage.revoke(&scene.ada, &scene.grant).await;
    assert_eq!(of(&batches(&mut doctor, &info).await.unwrap()), Vec::<f64>::new());
    assert_eq!(scene.stage.read(&scene.ada.token, "/audit").await["records"], json!([]));
}

#[tokio::test]
async fn a_session_sees_no_rows_behind_the_end_of_a_grant() {
    let scene = Scene::new().await;
    let mut doctor = scene.client(Some(&scene.doctor.key)).await;
    let mut prepared = doctor.prepare(VALUES.to_owned(), None).await.unwrap();
    let info = prepared.execute().await.unwrap();
    assert_eq!(of(&batches(&mut doctor, &info).await.unwrap()), [60.0, 62.0]);
    assert_eq!(values(&mut doctor, VALUES).await.unwrap(), [60.0, 62.0]);
    scene.stage.revoke(&scene.ada, &scene.grant).await;
    assert_eq!(values(&mut doctor, VALUES).await.unwrap(), Vec::<f64>::new());
    let info = prepared.execute().await.unwrap();
    assert_eq!(of(&batches(&mut doctor, &info).await.unwrap()), Vec::<f64>::new());
    assert_eq!(scene.stage.read(&scene.ada.token, "/audit").await["records"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn rows_break_off_when_a_grant_ends_while_they_leave() {
    let scene = Scene::new().await;
    let mut rows = scene.long(&scene.doctor).await;
    scene.stage.revoke(&scene.ada, &scene.grant).await;
    scene.stage.clock.advance(Duration::from_secs(1));
    let mut left = 0;
    let broken = loop {
        match rows.try_next().await {
            Ok(Some(batch)) => left += batch.num_rows(),
            Ok(None) => panic!("it came to its end"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(left < 400_000 && broken.contains("no active grant"), "{left} rows left before: {broken}");
    scene.stage.queries_running(0).await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_query() {
    let scene = Scene::new().await;
    let rows = scene.long(&scene.ada).await;
    drop(rows);
    scene.stage.queries_running(0).await;
}

#[tokio::test]
async fn a_bound_that_is_hit_is_told_behind_the_rows() {
    let scene = Scene::new().await;
    let rows = scene.long(&scene.ada).await;
    let told = rows.try_collect::<Vec<_>>().await.unwrap_err().to_string();
    assert!(told.contains("exhausted") && told.contains("1000000 rows"), "{told}");
}

#[tokio::test]
async fn no_row_leaves_where_the_record_cannot_be_written() {
    use sea_orm::ConnectionTrait as _;
    let scene = Scene::new().await;
    let broken = "CREATE TRIGGER t BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ABORT, 'no room'); END";
    scene.stage.state.control.read().execute_unprepared(broken).await.unwrap();
    let mut doctor = scene.client(Some(&scene.doctor.key)).await;
    values(&mut doctor, VALUES).await.unwrap_err();
    let mut prepared = doctor.prepare(VALUES.to_owned(), None).await.unwrap();
    let info = prepared.execute().await.unwrap();
    batches(&mut doctor, &info).await.unwrap_err();
    assert_eq!(values(&mut scene.client(Some(&scene.ada.key)).await, VALUES).await.unwrap(), [60.0, 62.0]);
}

#[tokio::test]
async fn a_ticket_is_its_callers_and_good_for_once() {
    let scene = Scene::new().await;
    let mut ada = scene.client(Some(&scene.ada.token)).await;
    let mut eve = scene.client(Some(&scene.eve.key)).await;
    let info = ada.execute(VALUES.to_owned(), None).await.unwrap();
    assert!(batches(&mut eve, &info).await.unwrap_err().contains("no such ticket"));
    assert_eq!(of(&batches(&mut ada, &info).await.unwrap()), [60.0, 62.0]);
    assert!(batches(&mut ada, &info).await.unwrap_err().contains("no such ticket"));
    let late = ada.execute(VALUES.to_owned(), None).await.unwrap();
    scene.stage.clock.advance(Duration::from_mins(1));
    assert!(batches(&mut ada, &late).await.unwrap_err().contains("no such ticket"));
    let forged = FlightInfo::new()
        .with_endpoint(arrow_flight::FlightEndpoint::new().with_ticket(Ticket::new(b"forged".to_vec())));
    batches(&mut ada, &forged).await.unwrap_err();
}

#[tokio::test]
async fn a_ticket_of_another_server_is_told_to_ask_again_and_to_fetch_there() {
    let scene = Scene::new().await;
    let beside = Stage::with_state_of(&scene.stage).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let bounds = Bounds::of(&beside.state.config);
    let serving = tokio::spawn(serve_within(bounds, beside.state.clone(), listener, stop.clone(), Duration::ZERO));
    let mut here = scene.client(Some(&scene.ada.key)).await;
    let mut there = FlightSqlServiceClient::new(Endpoint::from_shared(address).unwrap().connect().await.unwrap());
    there.set_header(scene.ada.key.0, scene.ada.key.1.as_str());
    let info = here.execute(VALUES.to_owned(), None).await.unwrap();
    let refused = batches(&mut there, &info).await.unwrap_err();
    assert!(
        refused.contains("aborted") && refused.contains("a ticket is good at the server that gave it"),
        "{refused}"
    );
    assert_eq!(of(&batches(&mut here, &info).await.unwrap()), [60.0, 62.0], "where it came from it is good still");
    // The same of what is prepared.
    let command = CommandPreparedStatementQuery { prepared_statement_handle: vec![0; shelf::HANDLE_BYTES].into() };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let mut there = there.into_inner();
    let mut request = tonic::Request::new(descriptor);
    request.metadata_mut().insert(scene.ada.key.0, scene.ada.key.1.parse().unwrap());
    let refused = there.get_flight_info(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Aborted, "{refused}");
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn credentials_are_those_of_http_and_what_drivers_make_of_them() {
    let scene = Scene::new().await;
    let key = &scene.ada.key.1;
    let bearer = ("authorization", format!("Bearer {key}"));
    for who in [&scene.ada.token, &scene.ada.key, &scene.ada.read_key, &bearer] {
        assert_eq!(values(&mut scene.client(Some(who)).await, VALUES).await.unwrap(), [60.0, 62.0]);
    }
    let mut by_name = scene.client(None).await;
    by_name.handshake("anybody", key).await.unwrap();
    assert_eq!(values(&mut by_name, VALUES).await.unwrap(), [60.0, 62.0]);
    assert!(scene.client(None).await.handshake("anybody", "avk_wrong").await.is_err());
    for (who, word) in [
        (None, "Unauthenticated"),
        (Some(("x-api-key", "avk_wrong".to_owned())), "Unauthenticated"),
        (Some(scene.ada.write_key.clone()), "scope"),
    ] {
        let mut client = scene.client(who.as_ref()).await;
        let refused = values(&mut client, VALUES).await.unwrap_err();
        assert!(refused.contains(word) || refused.contains("credentials"), "{refused}");
        assert!(client.get_catalogs().await.is_err(), "nor what tables there are");
        assert!(client.prepare(VALUES.to_owned(), None).await.is_err());
    }
}

#[tokio::test]
async fn a_prepared_statement_takes_values() {
    let scene = Scene::new().await;
    let mut ada = scene.client(Some(&scene.ada.key)).await;
    let sql = "SELECT value FROM points WHERE metric = $1 AND recorded_at < $2";
    let mut statement = ada.prepare(sql.to_owned(), None).await.unwrap();
    let params = statement.parameter_schema().unwrap().clone();
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(
        params.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>(),
        [DataType::Utf8, at.clone()]
    );
    assert_eq!(statement.dataset_schema().unwrap().field(0).data_type(), &DataType::Float64);
    let schema = Arc::new(Schema::new(vec![Field::new("$1", DataType::Utf8, true), Field::new("$2", at, true)]));
    let between = scene.stage.state.clock.now_us() - 88_000_000_000;
    let row = |metric: &str| {
        let metric = StringArray::from(vec![metric]);
        let times = TimestampMicrosecondArray::from(vec![between]).with_timezone("UTC");
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(metric), Arc::new(times)]).unwrap()
    };
    for (metric, expected) in [("heart_rate", vec![62.0]), ("hrv", vec![])] {
        statement.set_parameters(row(metric)).unwrap();
        let info = statement.execute().await.unwrap();
        assert_eq!(of(&batches(&mut ada, &info).await.unwrap()), expected);
    }
    statement.close().await.unwrap();
    let mut without = ada.prepare("SELECT 1.5".to_owned(), None).await.unwrap();
    let info = without.execute().await.unwrap();
    assert_eq!(of(&batches(&mut ada, &info).await.unwrap()), [1.5]);
    assert!(ada.execute_update("DELETE FROM points".to_owned(), None).await.is_err());
    assert!(ada.begin_transaction().await.is_err());
}

#[tokio::test]
async fn drivers_find_the_tables() {
    let scene = Scene::new().await;
    let mut ada = scene.client(Some(&scene.ada.key)).await;
    let texts = |batches: &[RecordBatch], column: usize| -> Vec<String> {
        let of = |batch: &RecordBatch| {
            let texts = batch.column(column).as_string::<i32>().clone();
            (0..texts.len()).map(|row| texts.value(row).to_owned()).collect::<Vec<_>>()
        };
        batches.iter().flat_map(of).collect()
    };
    let info = ada.get_catalogs().await.unwrap();
    assert_eq!(texts(&batches(&mut ada, &info).await.unwrap(), 0), ["avycenna"]);
    let info = ada.get_db_schemas(CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: None }).await.unwrap();
    assert_eq!(texts(&batches(&mut ada, &info).await.unwrap(), 1), ["public"]);
    let info = ada.get_table_types().await.unwrap();
    assert_eq!(texts(&batches(&mut ada, &info).await.unwrap(), 0), ["TABLE"]);
    let all = CommandGetTables {
        catalog: None,
        db_schema_filter_pattern: None,
        table_name_filter_pattern: Some("%".to_owned()),
        table_types: vec![],
        include_schema: true,
    };
    let info = ada.get_tables(all).await.unwrap();
    let tables = batches(&mut ada, &info).await.unwrap();
    assert_eq!(texts(&tables, 2), ["latest", "metrics", "points"]);
    assert_eq!(tables[0].num_columns(), 5, "with their columns");
    let info = ada.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap();
    assert_eq!(batches(&mut ada, &info).await.unwrap()[0].num_rows(), 1);
}

#[tokio::test]
async fn drivers_find_keys_and_types() {
    let scene = Scene::new().await;
    let mut ada = scene.client(Some(&scene.ada.key)).await;
    for (table, expected) in [
        ("points", vec!["metric", "user_id", "recorded_at", "source", "source_device_id"]),
        ("metrics", vec!["metric"]),
        ("latest", vec!["metric", "user_id"]),
        ("users", vec![]),
    ] {
        let asked =
            CommandGetPrimaryKeys { catalog: None, db_schema: Some("public".to_owned()), table: table.to_owned() };
        let info = ada.get_primary_keys(asked).await.unwrap();
        let keys = batches(&mut ada, &info).await.unwrap();
        let columns: Vec<_> =
            keys.iter().flat_map(|batch| batch.column(3).as_string::<i32>().iter()).flatten().collect();
        assert_eq!(columns, expected, "{table}");
        assert_eq!(info.try_decode_schema().unwrap().field(5).name(), "key_sequence");
    }
    let elsewhere =
        CommandGetPrimaryKeys { catalog: None, db_schema: Some("pg".to_owned()), table: "points".to_owned() };
    let info = ada.get_primary_keys(elsewhere).await.unwrap();
    assert_eq!(batches(&mut ada, &info).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    let table = || "points".to_owned();
    let exported = CommandGetExportedKeys { catalog: None, db_schema: None, table: table() };
    let imported = CommandGetImportedKeys { catalog: None, db_schema: None, table: table() };
    let crossing = CommandGetCrossReference {
        pk_catalog: None,
        pk_db_schema: None,
        pk_table: table(),
        fk_catalog: None,
        fk_db_schema: None,
        fk_table: table(),
    };
    let exported = ada.get_exported_keys(exported).await.unwrap();
    let imported = ada.get_imported_keys(imported).await.unwrap();
    let crossing = ada.get_cross_reference(crossing).await.unwrap();
    for info in [exported, imported, crossing] {
        assert_eq!(batches(&mut ada, &info).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
        assert_eq!(info.try_decode_schema().unwrap().fields().len(), 13);
    }
    for (data_type, expected) in [(None, 6), (Some(XdbcDataType::XdbcDouble as i32), 1), (Some(-1), 0)] {
        let info = ada.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type }).await.unwrap();
        let types = batches(&mut ada, &info).await.unwrap();
        assert_eq!(types.iter().map(RecordBatch::num_rows).sum::<usize>(), expected, "{data_type:?}");
    }
}

#[tokio::test]
async fn places_are_those_of_http() {
    let scene = Scene::new().await;
    let owner = storage::UserId::parse(&scene.ada.id).unwrap();
    let each_max = scene.stage.state.config.limits.queries_each_max;
    let mut ada = scene.client(Some(&scene.ada.key)).await;
    // Tickets that wait take no place.
    let mut waiting = Vec::new();
    for _ in 0..=each_max {
        waiting.push(ada.execute("SELECT 1.0".to_owned(), None).await.unwrap());
    }
    let places: Vec<_> = (0..each_max).map(|_| scene.stage.state.queries.begin(owner).unwrap()).collect();
    assert!(batches(&mut ada, &waiting[0]).await.unwrap_err().contains("too many"));
    drop(places);
    assert_eq!(of(&batches(&mut ada, &waiting[1]).await.unwrap()), [1.0]);
}

#[tokio::test]
async fn what_is_under_way_ends_before_the_server_does() {
    let scene = Scene::new().await;
    let mut ada = scene.client(Some(&scene.ada.key)).await;
    let sql = "SELECT count(*) FROM points a, points b, points c, points d, points e, points f";
    let info = ada.execute(sql.to_owned(), None).await.unwrap();
    let mut rows = ada.do_get(ticket(&info)).await.unwrap();
    scene.stop.cancel();
    let mut count = 0;
    while let Some(batch) = rows.try_next().await.unwrap() {
        count += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    }
    assert_eq!(count, 64);
    drop((rows, ada));
    tokio::time::timeout(Duration::from_secs(20), scene.serving).await.expect("it ends").unwrap();
    assert!(Endpoint::from_shared(scene.address.clone()).unwrap().connect().await.is_err());
}
