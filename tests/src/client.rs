//! Requests and answers, short enough to read as prose in a test.

use std::time::Duration;

use serde_json::Value;

/// A client with one credential, or none.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    header: Option<(&'static str, String)>,
}

/// An answer that was read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields.
    pub headers: reqwest::header::HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; panics with the text where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text))
    }

    /// A header field as text, empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer itself if it has this status; panics with the body otherwise.
    #[expect(clippy::return_self_not_must_use, reason = "most tests only check")]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The `loc` of each fault of a 422.
    #[track_caller]
    pub fn locations(&self) -> Vec<Value> {
        assert_eq!(self.status, 422, "{}", self.text);
        let body = self.json();
        body.get("detail")
            .and_then(Value::as_array)
            .expect("a 422 lists its faults")
            .iter()
            .map(|fault| fault.get("loc").cloned().unwrap_or_default())
            .collect()
    }
}

impl Client {
    /// A client of the server at `base` without a credential.
    pub fn new(base: &str) -> Self {
        install_tls();
        let http = reqwest::Client::builder().timeout(Duration::from_mins(1)).build().expect("client");
        Self { http, base: base.to_owned(), header: None }
    }

    /// The same with an API key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { header: Some(("x-api-key", key.to_owned())), ..self.clone() }
    }

    /// The same with an access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { header: Some(("authorization", format!("Bearer {token}"))), ..self.clone() }
    }

    /// The same for the server at `base`.
    #[must_use]
    pub fn moved_to(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The access token, if it has one.
    pub fn token(&self) -> Option<&str> {
        let (_, value) = self.header.as_ref()?;
        value.strip_prefix("Bearer ")
    }

    /// A request to build on: path from the root, credential set.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("method");
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.header {
            Some((name, value)) => request.header(*name, value),
            None => request,
        }
    }

    /// Sends a request and reads its answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Sends a request; the error is the connection's.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    /// `POST` of a JSON value.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).json(body)).await
    }

    /// `POST` of bytes that claim to be JSON.
    pub async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request("POST", path).header("content-type", "application/json").body(body)).await
    }

    /// `PATCH` of a JSON value.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request("PATCH", path).json(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path)).await
    }
}

/// reqwest is built without a TLS provider of its own; the first client installs ring.
fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
