//! The end of an account: every row that names the person, in one transaction, and the note of what is left to do.

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use sea_orm::{QuerySelect, sea_query::OnConflict, sea_query::Query};

use super::super::entities::erasure::{Column, Entity, Model};
use super::super::entities::{
    api_key, bulk_file, bulk_job, check_in, grant, import, otp, refresh_token, session, smart_client, symptom, user,
};
use super::super::error::{Result, at};
use super::{audit_many, days, nights, outbox};

/// Unfinished erasures that are taken up at once.
const PENDING_MAX: u64 = 100;

/// Ids that one walk over all accounts reads at once.
pub const IDS_MAX: u64 = 10_000;

/// Deletes everything of a person, `codes` being the names of their one-time codes, and notes that points and mail are
/// left to do. What the trails of reads say stays.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn begin(on: &impl ConnectionTrait, person: &user::Model, codes: &[Vec<u8>], now_us: i64) -> Result<()> {
    remove_rows(on, person, codes).await?;
    let note = Model { user_id: person.id.clone(), email: person.email.clone(), asked_at: now_us };
    let insert = Entity::insert(note.into_active_model())
        .on_conflict(OnConflict::column(Column::UserId).update_column(Column::Email).to_owned());
    insert.exec_without_returning(on).await.map_err(at("note an erasure"))?;
    Ok(())
}

/// Deletes the rows of a person, table by table: a table that names people is named here. The trails of reads are not:
/// they stay, with ids alone, and lose the texts of queries that name the person.
async fn remove_rows(on: &impl ConnectionTrait, person: &user::Model, codes: &[Vec<u8>]) -> Result<()> {
    let id = person.id.as_str();
    let check_ins = check_in::Entity::delete_many().filter(check_in::Column::UserId.eq(id));
    check_ins.exec(on).await.map_err(at("erase check-ins"))?;
    let symptoms = symptom::Entity::delete_many().filter(symptom::Column::UserId.eq(id));
    symptoms.exec(on).await.map_err(at("erase symptoms"))?;
    // From either side, and invitations that only know the address.
    let of_theirs = Condition::any()
        .add(grant::Column::DoctorId.eq(id))
        .add(grant::Column::PatientId.eq(id))
        .add(grant::Column::PatientEmail.eq(&person.email));
    grant::Entity::delete_many().filter(of_theirs).exec(on).await.map_err(at("erase grants"))?;
    outbox::forget_person(on, id).await?;
    // Files without a row are removed behind the transaction, or at the next start.
    let imports = import::Entity::delete_many().filter(import::Column::UserId.eq(id));
    imports.exec(on).await.map_err(at("erase imports"))?;
    days::erase(on, id).await?;
    nights::erase(on, id).await?;
    let keys = api_key::Entity::delete_many().filter(api_key::Column::UserId.eq(id));
    keys.exec(on).await.map_err(at("erase API keys"))?;
    let files = bulk_file::Entity::delete_many().filter(bulk_file::Column::PatientId.eq(id));
    files.exec(on).await.map_err(at("erase files of exports"))?;
    let exports = bulk_job::Entity::delete_many().filter(bulk_job::Column::UserId.eq(id));
    exports.exec(on).await.map_err(at("erase exports"))?;
    let clients = smart_client::Entity::delete_many().filter(smart_client::Column::UserId.eq(id));
    clients.exec(on).await.map_err(at("erase SMART clients"))?;
    let sessions = Query::select()
        .column(session::Column::Id)
        .from(session::Entity)
        .and_where(session::Column::UserId.eq(id))
        .to_owned();
    let tokens = refresh_token::Entity::delete_many().filter(refresh_token::Column::SessionId.in_subquery(sessions));
    tokens.exec(on).await.map_err(at("erase refresh tokens"))?;
    let sessions = session::Entity::delete_many().filter(session::Column::UserId.eq(id));
    sessions.exec(on).await.map_err(at("erase sessions"))?;
    let codes = otp::Entity::delete_many().filter(otp::Column::EmailHash.is_in(codes.iter().cloned()));
    codes.exec(on).await.map_err(at("erase one-time codes"))?;
    audit_many::forget_queries(on, [id, &person.email]).await?;
    user::Entity::delete_many().filter(user::Column::Id.eq(id)).exec(on).await.map_err(at("erase a user"))?;
    Ok(())
}

/// Erasures that are not finished, the oldest first, a few of them.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn pending(on: &impl ConnectionTrait) -> Result<Vec<Model>> {
    Entity::find().order_by_asc(Column::AskedAt).limit(PENDING_MAX).all(on).await.map_err(at("list open erasures"))
}

/// Notes that nothing is left to do.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn finish(on: &impl ConnectionTrait, user_id: &str) -> Result<()> {
    let done = Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(on).await;
    done.map(|_| ()).map_err(at("finish an erasure"))
}

/// Ids of people in their order, those behind `after`, at most [`IDS_MAX`].
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn ids(on: &impl ConnectionTrait, after: &str) -> Result<Vec<String>> {
    let ids = user::Entity::find()
        .select_only()
        .column(user::Column::Id)
        .filter(user::Column::Id.gt(after))
        .order_by_asc(user::Column::Id)
        .limit(IDS_MAX)
        .into_tuple();
    ids.all(on).await.map_err(at("list ids"))
}
