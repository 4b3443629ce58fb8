//! The one way into a search and into an operation: what stands behind the `?`, and in the body where it is a `POST`.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};

use crate::error::ApiError;
use crate::extract::Payload;
use crate::fhir::answer::{Base, check_form};
use crate::fhir::operation;
use crate::fhir::outcome::Failure;
use crate::fhir::search::link::CURSOR;
use crate::fhir::search::parameter::{GENERAL, Handling, Parameters};
use crate::fhir::search::table::Searchable;
use crate::state::AppState;

/// A search as it was sent.
#[derive(Debug)]
pub(super) struct Sent {
    headers: HeaderMap,
    query: String,
    form: Option<Payload>,
}

/// What a search says.
#[derive(Debug)]
pub(super) enum Question {
    /// Its own words.
    Anew(Parameters),
    /// A link to a page of one that was asked before.
    Page(String),
}

impl FromRequest<AppState> for Sent {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Failure> {
        let (headers, query) = (request.headers().clone(), request.uri().query().unwrap_or_default().to_owned());
        let form = if *request.method() == Method::POST {
            let form = Payload::from_request(request, state).await?;
            check_is_form(&headers, &form)?;
            Some(form)
        } else {
            None
        };
        Ok(Self { headers, query, form })
    }
}

impl Sent {
    /// The same search in a patient's compartment, which is one that names them too.
    #[must_use]
    pub(super) fn of_patient(mut self, id: &str) -> Self {
        let patient = url::form_urlencoded::Serializer::new(String::new()).append_pair("patient", id).finish();
        self.query = if self.query.is_empty() { patient } else { format!("{patient}&{}", self.query) };
        self
    }

    /// Reads what is asked, by the line of the table that says what may be.
    ///
    /// # Errors
    /// 400, 406; 400 also for a link with anything beside it.
    pub(super) fn read(&self, of: &Searchable) -> Result<Question, Failure> {
        let names = of.names();
        let cursor = if of.is_paged { &[CURSOR][..] } else { &[] };
        let (form, handling) = (self.form.as_deref().unwrap_or_default(), Handling::of(&self.headers));
        let mut parameters = Parameters::read(&[self.query.as_bytes(), form], &[&names, &GENERAL, cursor], handling)?;
        check_form(parameters.one("_format")?, &self.headers)?;
        if let Some(sealed) = parameters.one(CURSOR)? {
            return match names.iter().find(|name| parameters.has(name)) {
                Some(other) => Err(Failure::value(other, "a link to a page says it already")),
                None => Ok(Question::Page(sealed.to_owned())),
            };
        }
        parameters.check_along(of, handling)?;
        parameters.check_sort(of, handling);
        Ok(Question::Anew(parameters))
    }

    /// As [`Self::read`], of what has no pages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn parameters(&self, of: &Searchable) -> Result<Parameters, Failure> {
        match self.read(of)? {
            Question::Anew(parameters) => Ok(parameters),
            Question::Page(_) => Err(Failure::unsupported(CURSOR, "there are no pages")),
        }
    }
}

/// An operation as it was sent.
#[derive(Debug)]
pub(super) struct Invoked {
    pub(super) headers: HeaderMap,
    query: String,
    body: Option<Payload>,
}

impl FromRequest<AppState> for Invoked {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Failure> {
        let (headers, query) = (request.headers().clone(), request.uri().query().unwrap_or_default().to_owned());
        let is_post = *request.method() == Method::POST;
        let body = if is_post { Some(Payload::from_request(request, state).await?) } else { None };
        Ok(Self { headers, query, body })
    }
}

impl Invoked {
    /// What the query and the body say.
    ///
    /// # Errors
    /// As [`operation::pairs`].
    pub(super) fn pairs(&self) -> Result<Vec<(String, String)>, Failure> {
        operation::pairs(&self.query, &self.headers, self.body.as_deref().unwrap_or_default())
    }

    /// The same as parameters of a search.
    ///
    /// # Errors
    /// As [`operation::pairs`] and [`Parameters::read`]; 406.
    pub(super) fn parameters(&self, known: &[&str]) -> Result<Parameters, Failure> {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()?).finish();
        let parameters = Parameters::read(&[query.as_bytes()], &[known, &GENERAL], Handling::of(&self.headers))?;
        check_form(parameters.one("_format")?, &self.headers)?;
        Ok(parameters)
    }
}

/// The link to what was asked.
pub(super) fn own_link(base: &Base, of: &Searchable, parameters: &Parameters) -> String {
    format!("{}/{}?{}", base.0, of.resource, parameters.to_query())
}

/// Refuses a body of a search that is no form.
fn check_is_form(headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if body.is_empty() || kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    let what = "the body of a search is application/x-www-form-urlencoded";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what).into())
}
