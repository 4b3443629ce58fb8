//! The trails of many patients at once, and what was asked of all of them.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, InsertStatement, OnConflict, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, RuntimeErr, Statement,
};

use super::super::entities::{audit_head, audit_query, audit_record};
use super::super::error::{Result, at};

/// Trails that one statement speaks of. The thread of SQLite has the priority of requests, and some of them would wait for all
/// of a longer one; of a hundred it takes less than a request, and all but the last are the same statement, which is kept.
const TRAILS_AT_ONCE: usize = 100;

/// Where the trails of these patients end, held until the transaction ends. `patients` is sorted, so that of two who hold
/// many none waits for the other.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn hold_heads(on: &impl ConnectionTrait, patients: &[&str]) -> Result<HashMap<String, audit_head::Model>> {
    let mut heads = HashMap::with_capacity(patients.len());
    for patients in patients.chunks(TRAILS_AT_ONCE) {
        let mut found = held(on, patients).await?;
        if found.len() < patients.len() {
            let missing = patients.iter().filter(|id| found.iter().all(|head| head.patient_id != **id));
            let first = missing.map(|id| {
                let head = audit_head::Model { patient_id: (*id).to_owned(), seq: 0, hash: vec![0; 32] };
                head.into_active_model()
            });
            // Of two that begin the same trail one waits for the other here, and finds its row below.
            let insert = audit_head::Entity::insert_many(first)
                .on_conflict(OnConflict::column(audit_head::Column::PatientId).do_nothing().to_owned());
            insert.exec_without_returning(on).await.map_err(at("begin trails"))?;
            found = held(on, patients).await?;
        }
        heads.extend(found.into_iter().map(|head| (head.patient_id.clone(), head)));
    }
    Ok(heads)
}

/// As one text: each row of an answer is handed from one thread to another.
async fn held(on: &impl ConnectionTrait, patients: &[&str]) -> Result<Vec<audit_head::Model>> {
    let hash = match on.get_database_backend() {
        DbBackend::Postgres => "encode(hash, 'hex')",
        _ => "hex(hash)",
    };
    // Neither ids nor numbers have a comma or a semicolon in them.
    let listed = format!("string_agg(patient_id || ',' || CAST(seq AS text) || ',' || {hash}, ';')");
    let columns = [audit_head::Column::PatientId, audit_head::Column::Seq, audit_head::Column::Hash];
    let heads = audit_head::Entity::find()
        .select_only()
        .columns(columns)
        .filter(audit_head::Column::PatientId.is_in(patients.iter().copied()))
        .order_by_asc(audit_head::Column::PatientId)
        .lock_exclusive()
        .into_query();
    let listed = Query::select().expr_as(Expr::cust(listed), "listed").from_subquery(heads, "held").to_owned();
    let found = on.query_one(&listed).await.and_then(|row| row.map(|row| row.try_get("", "listed")).transpose());
    let listed: Option<String> = found.map_err(at("find the ends of trails"))?.flatten();
    let Some(listed) = listed else { return Ok(Vec::new()) };
    let malformed = || at("read the ends of trails")(DbErr::Type("a head is no head".to_owned()));
    listed.split(';').map(|row| read_head(row).ok_or_else(malformed)).collect()
}

fn read_head(row: &str) -> Option<audit_head::Model> {
    let mut columns = row.split(',');
    let (patient_id, seq, hash) = (columns.next()?, columns.next()?, columns.next()?);
    Some(audit_head::Model { patient_id: patient_id.to_owned(), seq: seq.parse().ok()?, hash: hex::decode(hash).ok()? })
}

/// What tells a record of a look at many patients from the others.
#[derive(Debug)]
pub struct Own {
    /// Whose trail it is in.
    pub patient_id: String,
    /// Its place there, from 1.
    pub seq: i64,
    /// By which grant.
    pub grant_id: String,
    /// Hash of the record before.
    pub prev_hash: Vec<u8>,
    /// Its own.
    pub hash: Vec<u8>,
}

/// Stores a record of a look in each trail and moves its end there. Of `look` counts what they share.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn append(on: &impl ConnectionTrait, look: &audit_record::Model, records: Vec<Own>) -> Result<()> {
    let mut records = records.into_iter();
    loop {
        let some: Vec<Own> = records.by_ref().take(TRAILS_AT_ONCE).collect();
        if some.is_empty() {
            return Ok(());
        }
        let heads = some.iter().map(|Own { patient_id, seq, hash, .. }| {
            audit_head::Model { patient_id: patient_id.clone(), seq: *seq, hash: hash.clone() }.into_active_model()
        });
        let moved = OnConflict::column(audit_head::Column::PatientId)
            .update_columns([audit_head::Column::Seq, audit_head::Column::Hash])
            .to_owned();
        let heads = audit_head::Entity::insert_many(heads).on_conflict(moved);
        heads.exec_without_returning(on).await.map_err(at("move the ends of trails"))?;
        on.execute(&insert(look.clone(), some)?).await.map_err(at("insert audit records"))?;
    }
}

/// What records share is bound once, which is most of what a thousand of them cost SQLite.
fn insert(look: audit_record::Model, records: Vec<Own>) -> Result<InsertStatement> {
    use audit_record::Column as To;
    let own = records
        .into_iter()
        .map(|Own { patient_id, seq, grant_id, prev_hash, hash }| (patient_id, seq, grant_id, prev_hash, hash));
    // Both databases give the columns of VALUES these names.
    let own_columns = [
        (To::PatientId, "column1"),
        (To::Seq, "column2"),
        (To::GrantId, "column3"),
        (To::PrevHash, "column4"),
        (To::Hash, "column5"),
    ];
    let shared = [
        (To::At, Expr::val(look.at)),
        (To::ActorId, Expr::val(look.actor_id)),
        (To::Means, Expr::val(look.means)),
        (To::MeansId, Expr::val(look.means_id)),
        (To::What, Expr::val(look.what)),
        (To::Metric, Expr::val(look.metric)),
        (To::RangeStart, Expr::val(look.range_start)),
        (To::RangeEnd, Expr::val(look.range_end)),
        (To::Address, Expr::val(look.address)),
        (To::QueryHash, Expr::val(look.query_hash)),
    ];
    let own_columns = own_columns.into_iter().map(|(to, name)| (to, Expr::col(("own", name))));
    let (columns, values): (Vec<To>, Vec<Expr>) = own_columns.chain(shared).unzip();
    let rows = Query::select().exprs(values).from_values(own, "own").to_owned();
    let mut insert = Query::insert().into_table(audit_record::Entity).columns(columns).to_owned();
    let unfit = |error: sea_orm::sea_query::error::Error| DbErr::Query(RuntimeErr::Internal(error.to_string()));
    insert.select_from(rows).map_err(unfit).map_err(at("insert audit records"))?;
    Ok(insert)
}

/// Stores a text, unless it is there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn keep_query(on: &impl ConnectionTrait, hash: Vec<u8>, text: String) -> Result<()> {
    let row = audit_query::Model { hash, text };
    let insert = audit_query::Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::column(audit_query::Column::Hash).do_nothing().to_owned());
    insert.exec_without_returning(on).await.map_err(at("store what was asked"))?;
    Ok(())
}

#[derive(Debug, FromQueryResult)]
struct Begin {
    hash: Vec<u8>,
    text: String,
}

/// The texts of these hashes, each up to so many characters; those that are gone are not there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn queries(
    on: &impl ConnectionTrait,
    mut hashes: Vec<Vec<u8>>,
    characters_max: u32,
) -> Result<HashMap<Vec<u8>, String>> {
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let text = Expr::cust(format!("substr(text, 1, {characters_max})"));
    let found = audit_query::Entity::find()
        .select_only()
        .column(audit_query::Column::Hash)
        .column_as(text, "text")
        .filter(audit_query::Column::Hash.is_in(hashes))
        .into_model::<Begin>()
        .all(on)
        .await
        .map_err(at("find what was asked"))?;
    Ok(found.into_iter().map(|begin| (begin.hash, begin.text)).collect())
}

/// Deletes the texts that hold one of these, in whatever case of ASCII letters. The records keep their hashes.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn forget_queries(on: &impl ConnectionTrait, named: [&str; 2]) -> Result<()> {
    let backend = on.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "DELETE FROM audit_queries WHERE position($1 in lower(text)) > 0 OR position($2 in lower(text)) > 0"
        }
        _ => "DELETE FROM audit_queries WHERE instr(lower(text), ?) > 0 OR instr(lower(text), ?) > 0",
    };
    let values = named.map(|text| text.to_ascii_lowercase().into());
    let statement = Statement::from_sql_and_values(backend, sql, values);
    on.execute_raw(statement).await.map(|_| ()).map_err(at("erase what was asked"))
}
