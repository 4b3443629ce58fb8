//! From the invitation to the end of a grant: each function is one transaction and one move of [`super::state`].

use sea_orm::ConnectionTrait;

use super::permission::{Permission, Permissions};
use super::state::{self, Move, Status};
use crate::auth::random;
use crate::control::entities::{grant, user};
use crate::control::repository::{grants, users};
use crate::control::{self, Control};
use crate::error::ApiError;
use crate::mail::{Mail, Mailer};
use crate::webhooks::Webhooks;
use crate::webhooks::outbox::{self, Cause};

/// Most invitations of one doctor that wait for an answer: an account is free, and each of them is a mail.
const PENDING_MAX: u64 = 200;

/// Most invitations of one doctor in [`DAY_US`], whatever became of them: one that runs out at once is a mail, too.
const MADE_PER_DAY_MAX: u64 = 200;

/// Most mails about invitations that one address gets in [`DAY_US`], whoever asks. Further invitations wait unannounced.
const MAILED_PER_DAY_MAX: u64 = 10;

/// Microseconds of the span in which invitations are counted.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// An invitation to send.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// In its normal form.
    pub patient_email: String,
    /// What is asked for; not empty.
    pub permissions: Permissions,
    /// From doctor to patient.
    pub message: Option<String>,
    /// When invitation or grant ends by itself, microseconds.
    pub expires_at: Option<i64>,
}

/// Why a grant did not move.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// No grant of this id that the caller takes part in.
    #[error("no such grant")]
    Unknown,
    /// The caller takes part, but this is for the other side to do.
    #[error("only the patient can do this")]
    NotYours,
    /// A doctor invites their own address.
    #[error("is your own address")]
    Oneself,
    /// The grant stands where this move does not begin.
    #[error("the grant is {}", .0.as_str())]
    Impossible(Status),
    /// More than was granted, or nothing at all: located by the caller.
    #[error("not a part of what was asked for")]
    NotPart(Vec<Permission>),
    /// The control database refused.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The operating system has no randomness to give.
    #[error("no randomness from the operating system")]
    Random(#[from] rand::rngs::SysError),
    /// The event could not be written down.
    #[error(transparent)]
    Announce(#[from] outbox::Error),
}

impl From<GrantError> for ApiError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Unknown => Self::not_found(error.to_string()),
            GrantError::NotYours => Self::forbidden(error.to_string()),
            GrantError::Oneself => {
                let loc = [engine::Loc::Key("body"), engine::Loc::Key("patient_email")];
                Self::fault(&loc, error.to_string(), engine::FaultKind::Value)
            }
            GrantError::Impossible(_) => Self::conflict(error.to_string()),
            GrantError::NotPart(_) => {
                let loc = [engine::Loc::Key("body"), engine::Loc::Key("permissions")];
                Self::fault(&loc, error.to_string(), engine::FaultKind::Value)
            }
            GrantError::Control(error) => error.into(),
            GrantError::Random(error) => Self::internal(error),
            GrantError::Announce(error) => error.into(),
        }
    }
}

/// Asks a patient by their address. The work is the same whether or not the address has an account: nobody looks. Nor does
/// the answer tell whether a mail goes out.
///
/// # Errors
/// [`control::Error::Conflict`] and [`control::Error::Limit`] in [`GrantError::Control`].
pub async fn invite(
    control: &Control,
    mail: &Mailer,
    doctor_id: &str,
    invitation: Invitation,
) -> Result<grant::Model, GrantError> {
    let now_us = control.now_us();
    let row = grant::Model {
        id: random::base62("grt_", 16)?,
        doctor_id: doctor_id.to_owned(),
        patient_email: invitation.patient_email,
        patient_id: None,
        permissions: invitation.permissions.to_string(),
        message: invitation.message,
        status: Status::Pending.as_str().to_owned(),
        created_at: now_us,
        accepted_at: None,
        ended_at: None,
        expires_at: invitation.expires_at,
    };
    let write = control.write().await?;
    // Held, so that invitations of one doctor are counted one after the other.
    let doctor = users::hold(write.on(), doctor_id).await?.ok_or(GrantError::Unknown)?;
    if doctor.email == row.patient_email {
        return Err(GrantError::Oneself);
    }
    let since_us = now_us.saturating_sub(DAY_US);
    if grants::made_since(write.on(), doctor_id, since_us).await? >= MADE_PER_DAY_MAX {
        return Err(control::Error::Limit { what: "invitations in a day", count_max: MADE_PER_DAY_MAX }.into());
    }
    grants::expire(write.on(), doctor_id, now_us).await?;
    grants::insert(write.on(), row.clone(), PENDING_MAX).await?;
    let addressed = grants::addressed_since(write.on(), &row.patient_email, since_us).await?;
    write.commit().await?;
    if addressed <= MAILED_PER_DAY_MAX {
        mail.send_later(letter(&row.patient_email, &doctor));
    } else {
        tracing::info!(grant = row.id, "an invitation is not mailed: its address got enough of them today");
    }
    Ok(row)
}

/// What an invited person reads. Only the name is the doctor's own words, and it stands in the body: a subject is a
/// header, and a message of theirs waits until the person has logged in.
fn letter(to: &str, doctor: &user::Model) -> Mail {
    Mail {
        to: to.to_owned(),
        subject: "An invitation to share your health data".to_owned(),
        body: format!(
            "{} <{}> asks to see health data of yours on avycenna.\n\n\
             Log in with this address, or make an account with it, to see what is asked for and to answer. \
             Nothing is shared until you accept, and you can end it at any time.\n\n\
             If you do not know this person, do nothing.\n",
            doctor.name, doctor.email
        ),
    }
}

/// Lets the doctor in, with all that was asked for or a part of it. An earlier grant of the same doctor ends. The doctor's
/// `webhooks` are told.
///
/// # Errors
/// [`GrantError`].
pub async fn accept(
    control: &Control,
    webhooks: &Webhooks,
    patient_id: &str,
    id: &str,
    part: Option<Permissions>,
) -> Result<grant::Model, GrantError> {
    let write = control.write().await?;
    let now_us = control.now_us();
    let mut grant = hold_for_patient(write.on(), patient_id, id).await?;
    let status = moved(&grant, Move::Accept, now_us)?;
    if let Some(part) = part {
        grant.permissions = part_of(&grant, part)?.to_string();
    }
    let mut ended = None;
    if let Some(mut earlier) = grants::between(write.on(), &grant.doctor_id, patient_id).await? {
        let end = moved(&earlier, Move::Revoke, now_us).unwrap_or(Status::Expired);
        put(&mut earlier, end, now_us);
        grants::update(write.on(), &earlier).await?;
        if end == Status::Revoked {
            ended = Some(outbox::announce(write.on(), Cause::Revoked(&earlier), now_us).await?);
        }
    }
    grant.patient_id = Some(patient_id.to_owned());
    put(&mut grant, status, now_us);
    grants::update(write.on(), &grant).await?;
    let begun = outbox::announce(write.on(), Cause::Accepted(&grant), now_us).await?;
    write.commit().await?;
    ended.into_iter().chain([begun]).for_each(|announced| announced.tell(webhooks));
    Ok(grant)
}

/// Says no.
///
/// # Errors
/// [`GrantError`].
pub async fn decline(control: &Control, patient_id: &str, id: &str) -> Result<grant::Model, GrantError> {
    let write = control.write().await?;
    let now_us = control.now_us();
    let mut grant = hold_for_patient(write.on(), patient_id, id).await?;
    let status = moved(&grant, Move::Decline, now_us)?;
    put(&mut grant, status, now_us);
    grants::update(write.on(), &grant).await?;
    write.commit().await?;
    Ok(grant)
}

/// Takes permissions back; those of `part` stay.
///
/// # Errors
/// [`GrantError`].
pub async fn narrow(
    control: &Control,
    patient_id: &str,
    id: &str,
    part: Permissions,
) -> Result<grant::Model, GrantError> {
    let write = control.write().await?;
    let mut grant = hold_for_patient(write.on(), patient_id, id).await?;
    moved(&grant, Move::Narrow, control.now_us())?;
    grant.permissions = part_of(&grant, part)?.to_string();
    grants::update(write.on(), &grant).await?;
    write.commit().await?;
    Ok(grant)
}

/// Ends a grant, from either side. When this returns no read by it begins any more. The doctor's `webhooks` are told.
///
/// # Errors
/// [`GrantError`].
pub async fn revoke(
    control: &Control,
    webhooks: &Webhooks,
    caller_id: &str,
    id: &str,
) -> Result<grant::Model, GrantError> {
    let write = control.write().await?;
    let now_us = control.now_us();
    let (mut grant, _) = hold(write.on(), caller_id, id).await?;
    let status = moved(&grant, Move::Revoke, now_us)?;
    put(&mut grant, status, now_us);
    grants::update(write.on(), &grant).await?;
    let ended = outbox::announce(write.on(), Cause::Revoked(&grant), now_us).await?;
    write.commit().await?;
    ended.tell(webhooks);
    Ok(grant)
}

/// Ends every grant that a patient has accepted, inside the caller's transaction; their doctors are told.
///
/// # Errors
/// [`outbox::Error`].
pub async fn end_accepted(on: &impl ConnectionTrait, patient_id: &str, now_us: i64) -> Result<(), outbox::Error> {
    for mut grant in grants::hold_accepted(on, patient_id).await? {
        let end = moved(&grant, Move::Revoke, now_us).unwrap_or(Status::Expired);
        put(&mut grant, end, now_us);
        grants::update(on, &grant).await?;
        if end == Status::Revoked {
            // Nobody waits for it: the dispatcher finds it by itself within a second.
            let _ = outbox::announce(on, Cause::Revoked(&grant), now_us).await?;
        }
    }
    Ok(())
}

/// On which side of a grant somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Doctor,
    Patient,
}

/// The grant of an id that the caller takes part in, held until the transaction ends.
async fn hold(on: &impl ConnectionTrait, caller_id: &str, id: &str) -> Result<(grant::Model, Side), GrantError> {
    let grant = grants::hold(on, id).await?.ok_or(GrantError::Unknown)?;
    if grant.doctor_id == caller_id {
        return Ok((grant, Side::Doctor));
    }
    let is_patient = match &grant.patient_id {
        Some(patient_id) => patient_id == caller_id,
        None => users::by_id(on, caller_id).await?.is_some_and(|caller| caller.email == grant.patient_email),
    };
    if is_patient { Ok((grant, Side::Patient)) } else { Err(GrantError::Unknown) }
}

async fn hold_for_patient(on: &impl ConnectionTrait, caller_id: &str, id: &str) -> Result<grant::Model, GrantError> {
    match hold(on, caller_id, id).await? {
        (grant, Side::Patient) => Ok(grant),
        (_, Side::Doctor) => Err(GrantError::NotYours),
    }
}

/// Where a move leads a grant, as it stands at this moment.
fn moved(grant: &grant::Model, by: Move, now_us: i64) -> Result<Status, GrantError> {
    let status = status_at(grant, now_us)?;
    state::step(status, by).ok_or(GrantError::Impossible(status))
}

/// Puts a grant where a move has led it.
fn put(grant: &mut grant::Model, status: Status, now_us: i64) {
    status.as_str().clone_into(&mut grant.status);
    match status {
        Status::Active => grant.accepted_at = Some(now_us),
        _ => grant.ended_at = Some(now_us),
    }
}

/// Where a grant stands at this moment.
///
/// # Errors
/// [`control::Error::Row`] for a word that this program does not know.
pub fn status_at(grant: &grant::Model, now_us: i64) -> control::Result<Status> {
    let unknown = || control::Error::Row { table: "grants", id: grant.id.clone(), column: "status" };
    Ok(Status::parse(&grant.status).ok_or_else(unknown)?.at(now_us, grant.expires_at))
}

/// `part`, if it is one of what the grant says now.
fn part_of(grant: &grant::Model, part: Permissions) -> Result<Permissions, GrantError> {
    let whole = Permissions::stored(&grant.permissions);
    let beyond: Vec<_> = Permission::ALL.into_iter().filter(|one| part.names(*one) && !whole.allow(*one)).collect();
    if beyond.is_empty() && part != Permissions::NONE { Ok(part) } else { Err(GrantError::NotPart(beyond)) }
}
