//! The API's description: what the operations say of themselves, and what is true of all of them.

use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, PathItem, Ref, RefOr, Required, ResponseBuilder};

/// Where the description is served.
pub const PATH: &str = "/openapi.json";

const FAILURE: &str = "Failure";

#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    info(
        title = "avycenna",
        description = "Self-hosted server for wearable health data.\n\nTimes are RFC 3339 in UTC. An acknowledged point \
                       survives a crash and loss of power. Errors are `{\"detail\": …}`: a text, or located faults.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "wearables", description = "Points in, points out"),
        (name = "check-ins", description = "What people say of their day"),
        (name = "symptoms", description = "What people suffer from"),
        (name = "grants", description = "A patient lets a doctor in"),
        (name = "webhooks", description = "A doctor's system is told what happens"),
        (name = "audit", description = "Who has read what"),
        (name = "sql", description = "Questions of one's own making"),
        (name = "export", description = "Everything of one's own"),
        (name = "imports", description = "Files of watches and phones, and other senders"),
        (name = "accounts", description = "People, sessions"),
        (name = "api-keys", description = "Keys for pipelines"),
        (name = "operation", description = "For supervisors"),
    )
)]
struct Basis;

/// What every description begins with.
pub fn basis() -> OpenApi {
    Basis::openapi()
}

/// Adds what is true of all operations: how to authenticate, and the refusals that any of them may answer.
pub fn complete(mut api: OpenApi) -> OpenApi {
    let components = api.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    components.schemas.insert(FAILURE.to_owned(), RefOr::T(failure()));
    for item in api.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            add_refusals(operation);
        }
    }
    refuse_unknown_fields(&mut api);
    allow_no_body(&mut api);
    api
}

/// Bodies that may carry fields which nobody reads: devices send what they like beside a point.
const OPEN_BODIES: [&str; 2] = ["Point", "Points"];

/// Says of every other body what [`crate::routes`] does with a field that it does not know.
fn refuse_unknown_fields(api: &mut OpenApi) {
    let bodies: Vec<_> = api
        .paths
        .paths
        .values_mut()
        .flat_map(operations_mut)
        .filter_map(|operation| match operation.request_body.as_ref()? {
            RefOr::T(body) => body.content.get("application/json"),
            RefOr::Ref(_) => None,
        })
        .filter_map(|content| match content {
            RefOr::T(content) => content.schema.as_ref(),
            RefOr::Ref(_) => None,
        })
        .filter_map(|schema| match schema {
            RefOr::Ref(reference) => reference.ref_location.rsplit('/').next().map(str::to_owned),
            RefOr::T(_) => None,
        })
        .filter(|name| !OPEN_BODIES.contains(&name.as_str()))
        .collect();
    let schemas = api.components.iter_mut().flat_map(|components| &mut components.schemas);
    for (_, schema) in schemas.filter(|(name, _)| bodies.contains(name)) {
        if let RefOr::T(Schema::Object(object)) = schema {
            object.additional_properties.get_or_insert(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// Bodies that need not be there.
const OPTIONAL_BODIES: [&str; 1] = ["Accept"];

/// Says of an operation with such a body that it can be asked for without one.
fn allow_no_body(api: &mut OpenApi) {
    for operation in api.paths.paths.values_mut().flat_map(operations_mut) {
        let Some(RefOr::T(body)) = operation.request_body.as_mut() else { continue };
        let is_optional = body.content.values().any(|content| match content {
            RefOr::T(content) => match &content.schema {
                Some(RefOr::Ref(schema)) => {
                    OPTIONAL_BODIES.iter().any(|name| schema.ref_location.ends_with(&format!("/{name}")))
                }
                _ => false,
            },
            RefOr::Ref(_) => false,
        });
        if is_optional {
            body.required = Some(Required::False);
        }
    }
}

/// Method, path and whether it wants credentials, sorted: for tests and for the page.
pub fn operations(api: &OpenApi) -> Vec<(String, String, bool)> {
    let mut list = Vec::new();
    for (path, item) in &api.paths.paths {
        let methods = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                list.push((method.to_owned(), path.clone(), wants_credentials(operation)));
            }
        }
    }
    list
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// An empty requirement says that nothing is required.
fn wants_credentials(operation: &Operation) -> bool {
    let requirements = operation.security.as_deref().unwrap_or_default();
    serde_json::to_value(requirements)
        .is_ok_and(|value| value.as_array().is_some_and(|list| list.iter().any(|one| one != &serde_json::json!({}))))
}

fn add_refusals(operation: &mut Operation) {
    let mut refusals = vec![
        ("429", "too many requests; `Retry-After` says how long to wait"),
        ("500", "internal error; the server's log knows more by the `X-Request-Id`"),
        ("503", "not at the moment; `Retry-After` says how long to wait"),
        ("504", "no answer within the limit"),
    ];
    if wants_credentials(operation) {
        refusals.push(("401", "no valid credentials"));
        refusals.push(("403", "not allowed"));
    }
    if operation.request_body.is_some() {
        refusals.push(("408", "the body took too long to arrive"));
        refusals.push(("413", "the body is too long"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in refusals {
        responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(ResponseBuilder::new().description(description).build()));
    }
    for (status, response) in responses {
        if status.starts_with(['4', '5'])
            && let RefOr::T(response) = response
            && response.content.is_empty()
        {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(FAILURE))).build();
            response.content.insert("application/json".to_owned(), content.into());
        }
    }
}

/// `{"detail": "text"}` or `{"detail": [{"loc", "msg", "type"}]}`.
fn failure() -> Schema {
    let text = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    let step = OneOfBuilder::new().item(text()).item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)));
    let fault = ObjectBuilder::new()
        .property("loc", ArrayBuilder::new().items(step))
        .property("msg", text())
        .property("type", text())
        .required("loc")
        .required("msg")
        .required("type");
    let detail = OneOfBuilder::new().item(text()).item(ArrayBuilder::new().items(fault));
    ObjectBuilder::new().property("detail", detail).required("detail").into()
}
