//! Somebody comes for a patient's observations: their own, or those that a grant lets them see.
//!
//! ```text
//! Visit::begin (one's own: nothing to ask; another's: access::admit) ─▶ check-ins read in it ─▶ Visit::enter (the record
//! is durable) ─▶ Inside::behind (points are read, the grant is looked at once more)
//! ```

use sea_orm::DatabaseTransaction;
use storage::UserId;

use super::day::Days;
use super::kind::Series;
use super::outcome::Failure;
use crate::access::{Admitted, Look, Permission, Standing, Visitor, admit};
use crate::control::entities::user;
use crate::control::repository::users;
use crate::error::ApiError;
use crate::state::AppState;

/// What lets points be read: [`Permission::CheckIns`] includes it.
static POINTS: [Permission; 1] = [Permission::Wearables];
static CHECK_INS: [Permission; 1] = [Permission::CheckIns];

/// What somebody comes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Points, or who the patient is.
    Points,
    /// Values of check-ins.
    CheckIns,
    /// Points, and values of check-ins where these may be seen too.
    Both,
}

/// A visit that is allowed; nothing may be answered before [`Self::enter`].
#[derive(Debug)]
#[must_use = "nothing may be answered before `enter`"]
pub struct Visit {
    user: UserId,
    admitted: Option<(Admitted, Standing)>,
    /// One's own row, if it was looked up.
    known: Option<user::Model>,
    /// Whether values of check-ins may be seen.
    pub with_check_ins: bool,
}

impl Visit {
    /// Lets a visitor in to a patient: to themselves always, to another one if a grant allows it.
    ///
    /// # Errors
    /// 403, alike for patients who are not there.
    pub async fn begin(
        state: &AppState,
        visitor: &Visitor,
        patient: &str,
        wish: Wish,
        look: Look,
    ) -> Result<Self, Failure> {
        let own = visitor.principal().user;
        if own.as_str() == patient {
            return Ok(Self { user: own, admitted: None, known: None, with_check_ins: wish != Wish::Points });
        }
        let permissions = if wish == Wish::CheckIns { &CHECK_INS } else { &POINTS };
        let admitted = admit(&state.control, visitor, patient, permissions, look).await?;
        let with_check_ins = wish != Wish::Points && admitted.also_allows(Permission::CheckIns);
        let still: &'static [Permission] = if with_check_ins { &CHECK_INS } else { &POINTS };
        let standing = Standing::new(&state.control, visitor, patient, still);
        Ok(Self { user: admitted.user, admitted: Some((admitted, standing)), known: None, with_check_ins })
    }

    /// Whose observations they are.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The transaction in which another's rows must be read; `None` for one's own.
    pub fn on(&self) -> Option<&DatabaseTransaction> {
        self.admitted.as_ref().map(|(admitted, _)| admitted.on())
    }

    /// The patient's days, where what any of these is made of can be totals of them; days of UTC otherwise, which nobody
    /// sees. Cost: one's own row is looked up.
    ///
    /// # Errors
    /// The row cannot be read; 401 if one's own account is gone.
    pub async fn days<'a>(
        &mut self,
        state: &AppState,
        mut series: impl Iterator<Item = &'a Series>,
    ) -> Result<Days, Failure> {
        let now_us = state.clock.now_us();
        if !series.any(Days::may_be_totals) {
            return Ok(Days::utc(now_us));
        }
        if let Some((admitted, _)) = &self.admitted {
            return Ok(Days::of(&admitted.patient, now_us));
        }
        let known = own(state, self.user).await?;
        Ok(Days::of(self.known.insert(known), now_us))
    }

    /// Makes the record of the visit durable.
    ///
    /// # Errors
    /// The record cannot be written.
    pub async fn enter(self) -> Result<Inside, Failure> {
        match self.admitted {
            Some((admitted, standing)) => {
                let (patient, user) = admitted.commit().await?;
                Ok(Inside { user, patient: Some(patient), standing: Some(standing) })
            }
            None => Ok(Inside { user: self.user, patient: self.known, standing: None }),
        }
    }
}

/// A visit that is written down.
#[derive(Debug)]
pub struct Inside {
    /// Whose observations they are.
    pub user: UserId,
    /// Known already of another person, who was looked up to be let in to, and of one whose days were asked for.
    patient: Option<user::Model>,
    standing: Option<Standing>,
}

impl Inside {
    /// Who the patient is. Cost: one's own row is looked up the first time, so ask only where it matters.
    ///
    /// # Errors
    /// It cannot be read; 401 if one's own account is gone.
    pub async fn patient(&mut self, state: &AppState) -> Result<&user::Model, Failure> {
        let known = match self.patient.take() {
            Some(known) => known,
            None => own(state, self.user).await?,
        };
        Ok(self.patient.insert(known))
    }

    /// What `read` finds, if it may still be seen then.
    ///
    /// # Errors
    /// That of `read`; 403 for a grant that has ended meanwhile.
    pub async fn behind<T>(&self, read: impl Future<Output = engine::Result<T>>) -> Result<T, Failure> {
        match &self.standing {
            Some(standing) => Ok(standing.behind(read).await?),
            None => Ok(read.await?),
        }
    }
}

/// The row of somebody who comes for their own.
async fn own(state: &AppState, user: UserId) -> Result<user::Model, Failure> {
    let known = users::by_id(state.control.read(), user.as_str()).await?;
    Ok(known.ok_or_else(|| ApiError::from(crate::auth::AuthError::Invalid))?)
}
